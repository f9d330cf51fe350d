# Builds the executable where Node and npm are, and keeps nothing but that one file.
#   docker build --build-arg PAASTIS_COMMIT="$(git rev-parse HEAD)" --tag paastis .
#   docker run --read-only --publish 3000:3000 --env PROVIDER_NAME=… --volume paastis:/data \
#     --volume ./paastis.yml:/etc/paastis/paastis.yml:ro paastis
FROM --platform=${BUILDPLATFORM:-linux/amd64} node:22.20.0-bookworm-slim AS build
# For which processor: `docker buildx build --platform linux/amd64,linux/arm64` builds for both without emulation.
ARG TARGETARCH=amd64
ARG PAASTIS_COMMIT=unknown
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY release ./release
COPY src ./src
RUN npm run build -- "linux-$(echo "$TARGETARCH" | sed s/amd64/x64/)"

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Paastis" \
      org.opencontainers.image.description="Puts idle web apps to sleep and wakes them when somebody asks for them" \
      org.opencontainers.image.licenses="AGPL-3.0-only"
# Certificates, so that apps elsewhere can be reached over https; tini, so that what an app leaves behind is reaped.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates tini \
 && rm -rf /var/lib/apt/lists/*
RUN groupadd --gid 10001 paastis \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin paastis \
 && install --directory --owner=paastis --group=paastis /data /etc/paastis
COPY --from=build /build/dist/paastis /usr/local/bin/paastis

ENV DATA_DIR=/data
# By number, so that orchestrators see that it is not root.
USER 10001:10001
# A paastis.yml that lies here is picked up. Nothing but /data is written, so that the rest may be read-only.
WORKDIR /etc/paastis
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
# By the unix socket in /data, whatever the port, and with TLS as well.
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/paastis", "status"]
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/paastis"]
