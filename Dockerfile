# Builds the executable where Node and npm are, and keeps nothing but that one file.
FROM node:22-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY src ./src
RUN npm run build

FROM debian:bookworm-slim
# Certificates, so that apps elsewhere can be reached over https; tini, so that what an app leaves behind is reaped.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates tini \
 && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /data --shell /usr/sbin/nologin paastis \
 && install --directory --owner=paastis --group=paastis /data /etc/paastis
COPY --from=build /build/dist/paastis /usr/local/bin/paastis

ENV DATA_DIR=/data
USER paastis
WORKDIR /etc/paastis
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/paastis"]
