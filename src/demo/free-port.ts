/** Finds a port for the demo. */

import { createServer } from "node:net";

/** How many ports after the wanted one are tried before any free one will do. */
const TRIES = 20;

/** The wanted port, the next free one after it, or any. Somebody may still take it before it is used. */
export async function freePort(host: string, wanted: number): Promise<number> {
  for (let port = wanted; port < wanted + TRIES && port <= 65_535; port += 1) {
    const found = await listenOnce(host, port);
    if (found !== null) return found;
  }
  return (await listenOnce(host, 0)) ?? 0;
}

function listenOnce(host: string, port: number): Promise<number | null> {
  return new Promise((done) => {
    const server = createServer();
    server.once("error", () => done(null));
    server.listen({ host, port, exclusive: true }, () => {
      const address = server.address();
      server.close(() =>
        done(typeof address === "object" && address !== null ? address.port : null),
      );
    });
  });
}
