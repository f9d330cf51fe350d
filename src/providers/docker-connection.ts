/** How an engine is connected to: by its socket, or by TCP with the certificates of a folder. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { DockerConfig } from "../config.ts";
import { messageOf } from "../errors.ts";
import { ProviderError } from "./provider.ts";

/** What `fetch` must know besides the path. */
export interface EngineRoute {
  readonly origin: string;
  readonly init: BunFetchRequestInit;
}

/** The way to one engine. */
export interface EngineConnection {
  /** For people, as `DOCKER_HOST` has it: `unix:///var/run/docker.sock`, `tcp://10.0.0.5:2376`. */
  readonly address: string;
  /** @throws ProviderError `invalid` when a certificate cannot be read */
  route(): Promise<EngineRoute>;
  /** Certificates are read anew next time: they may have been renewed. */
  forget(): void;
}

/** Nothing is read before it is asked for. */
export function createConnection(api: DockerConfig["api"]): EngineConnection {
  if (api.kind === "unix") {
    const route = { origin: "http://docker", init: { unix: api.socketPath } };
    const nothing = () => undefined;
    return { address: `unix://${api.socketPath}`, route: async () => route, forget: nothing };
  }
  const { certificateDir, origin } = api;
  let certificates: Promise<Certificates> | null = null;
  return {
    address: origin.replace(/^https?:/, "tcp:"),
    async route() {
      // A proxy of the environment is not meant for engines: the runtime would use it for any address.
      if (certificateDir === null) return { origin, init: { proxy: false } };
      certificates ??= readCertificates(certificateDir);
      try {
        const tls = { ...(await certificates), rejectUnauthorized: true };
        return { origin, init: { proxy: false, tls } };
      } catch (error) {
        certificates = null;
        throw error;
      }
    },
    forget() {
      certificates = null;
    },
  };
}

interface Certificates {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** Source: Docker, "Protect the Docker daemon socket", names of the files of a client. */
async function readCertificates(folder: string): Promise<Certificates> {
  const [ca, cert, key] = await Promise.all(
    ["ca.pem", "cert.pem", "key.pem"].map((name) => readPem(join(folder, name))),
  );
  return { ca: ca ?? "", cert: cert ?? "", key: key ?? "" };
}

async function readPem(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    const why = `cannot read ${path}, which DOCKER_CERT_PATH leads to: ${messageOf(cause)}`;
    throw new ProviderError("invalid", why, { cause });
  }
}
