/** A TCP relay in front of a server, to freeze, slow down or cut what goes through. */

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface TcpRelay extends AsyncDisposable {
  readonly port: number;
  /** Nothing passes any more, in either direction; connections stay, and new ones are taken. */
  freeze(): void;
  /** What was held back passes now, and all that follows. */
  thaw(): void;
  /** Every piece is passed on so much later, ms. */
  delay(byMs: number): void;
  /** Ends all connections. */
  cut(): void;
  /** The same, and every new one is ended at once, until `accept`. */
  refuse(): void;
  accept(): void;
  /** Connections taken since the start. */
  taken(): number;
}

/** @param port where the server listens, on this machine */
export async function startTcpRelay(port: number): Promise<TcpRelay> {
  const sockets = new Set<Socket>();
  const held: (() => void)[] = [];
  let frozen = false;
  let refusing = false;
  let delayMs = 0;
  let taken = 0;

  function pass(piece: Buffer, to: Socket): void {
    const write = () => {
      if (to.writable) to.write(piece);
    };
    if (frozen) held.push(write);
    else if (delayMs > 0) setTimeout(write, delayMs);
    else write();
  }
  function join(from: Socket, to: Socket): void {
    sockets.add(from);
    from.on("data", (piece: Buffer) => pass(piece, to));
    // Its end follows as "close".
    from.on("error", () => undefined);
    from.on("close", () => {
      sockets.delete(from);
      to.destroy();
    });
  }
  const server = createServer((client) => {
    taken += 1;
    if (refusing) {
      client.destroy();
      return;
    }
    const upstream = connect(port, "127.0.0.1");
    join(client, upstream);
    join(upstream, client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the relay has no port");

  function cut(): void {
    held.length = 0;
    for (const socket of sockets) socket.destroy();
  }
  return {
    port: address.port,
    freeze() {
      frozen = true;
    },
    thaw() {
      frozen = false;
      for (const write of held.splice(0)) write();
    },
    delay(byMs) {
      delayMs = byMs;
    },
    cut,
    refuse() {
      refusing = true;
      cut();
    },
    accept() {
      refusing = false;
    },
    taken: () => taken,
    async [Symbol.asyncDispose]() {
      cut();
      server.close();
    },
  };
}
