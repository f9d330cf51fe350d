/**
 * What stands before the fake Clever Cloud's router where bytes matter: TLS, and answers that are
 * not quite HTTP.
 */

import { connect, createServer, type Server, type Socket } from "node:net";
import { createServer as createTlsServer } from "node:tls";
import { ROUTER_CERTIFICATE, ROUTER_KEY } from "./fake-clever-cloud-certificate.ts";

export interface GateOptions {
  /** Of the router, on 127.0.0.1. */
  readonly routerPort: number;
  readonly isTls: boolean;
  /** The bytes that a host is answered with, instead of being led to the router; `null`: none. */
  readonly bytesFor: (host: string) => string | null;
}

export interface Gate extends AsyncDisposable {
  readonly port: number;
  /** Requests for this host that were answered here. */
  answered(host: string): number;
  /**
   * Ends connections to the router whose host is answered here from now on: their next request must
   * come to us.
   */
  changed(): void;
}

interface State {
  readonly options: GateOptions;
  readonly counts: Map<string, number>;
  readonly sockets: Set<Socket>;
  /** Clients that were led to the router, and the host that they asked for first. */
  readonly led: Map<Socket, string>;
}

/** More than this before the end of a head is no request. */
const HEAD_BYTES_MAX = 65_536;

/** One host per connection: all that follows the first request goes where it went. */
export async function startGate(options: GateOptions): Promise<Gate> {
  const state: State = { options, counts: new Map(), sockets: new Set(), led: new Map() };
  const server = options.isTls
    ? createTlsServer({ cert: ROUTER_CERTIFICATE, key: ROUTER_KEY }, (socket) =>
        accept(state, socket),
      )
    : createServer((socket) => accept(state, socket));
  // Clients that do not trust the certificate break off; that is their business.
  server.on("tlsClientError", () => undefined);
  const port = await listen(server);
  return {
    port,
    answered: (host) => state.counts.get(host) ?? 0,
    changed() {
      for (const [socket, host] of state.led) {
        if (options.bytesFor(host) !== null) socket.destroy();
      }
    },
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of state.sockets) socket.destroy();
      await closed;
    },
  };
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP server");
  return address.port;
}

function accept(state: State, client: Socket): void {
  keep(state, client);
  let head = "";
  const onData = (data: Buffer) => {
    head += data.toString("latin1");
    if (!head.includes("\r\n\r\n") && head.length < HEAD_BYTES_MAX) return;
    client.off("data", onData);
    client.pause();
    lead(state, client, head);
  };
  client.on("data", onData);
}

function lead(state: State, client: Socket, received: string): void {
  const [, named = ""] = /\r\nhost:[ \t]*([^\r\n]*)/i.exec(received) ?? [];
  const host = named.trim().replace(/:\d+$/, "").toLowerCase();
  const bytes = state.options.bytesFor(host);
  if (bytes !== null) {
    state.counts.set(host, (state.counts.get(host) ?? 0) + 1);
    client.end(bytes, "latin1");
    return;
  }
  state.led.set(client, host);
  const router = connect(state.options.routerPort, "127.0.0.1");
  keep(state, router);
  router.write(received, "latin1");
  client.pipe(router);
  router.pipe(client);
  client.once("close", () => {
    state.led.delete(client);
    router.destroy();
  });
  router.once("close", () => client.destroy());
}

function keep(state: State, socket: Socket): void {
  state.sockets.add(socket);
  // Whoever breaks off ends the other side through "close".
  socket.on("error", () => undefined);
  socket.once("close", () => state.sockets.delete(socket));
}
