/** An app that answers bytes with bytes, connection by connection, and understands nothing. */

import { createServer, type Socket } from "node:net";
import { until } from "./until.ts";

/** One connection to it. */
export interface RawConnection {
  /** Everything received, Latin-1. */
  readonly received: string;
  readonly isClosed: boolean;
  /** A string is one byte per character. */
  write(bytes: string | Uint8Array): void;
  end(): void;
  reset(): void;
  readonly socket: Socket;
}

export interface RawUpstream extends Disposable {
  readonly origin: string;
  /** Oldest first, closed ones included. */
  readonly connections: readonly RawConnection[];
  /** Waits until the connection with this number, from 0, has received `text`. */
  received(text: string, index?: number): Promise<RawConnection>;
}

/**
 * Listens on a free port, or on `port`.
 * @param onData called with each piece that arrives
 */
export async function startRawUpstream(
  onData: (connection: RawConnection, piece: string) => void = () => undefined,
  port = 0,
): Promise<RawUpstream> {
  const connections: RawConnection[] = [];
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (socket) => {
    const state = { text: "", closed: false };
    const connection: RawConnection = {
      get received() {
        return state.text;
      },
      get isClosed() {
        return state.closed;
      },
      write: (bytes) =>
        void socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
      end: () => void socket.end(),
      reset: () => void socket.resetAndDestroy(),
      socket,
    };
    connections.push(connection);
    socket.on("error", () => undefined);
    socket.on("end", () => socket.end());
    socket.on("close", () => {
      state.closed = true;
    });
    socket.on("data", (data) => {
      const piece = data.toString("latin1");
      state.text += piece;
      onData(connection, piece);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP server");
  return {
    origin: `http://127.0.0.1:${address.port}`,
    connections,
    async received(text, index = 0) {
      await until(() => connections[index]?.received.includes(text) === true);
      return connections[index]!;
    },
    [Symbol.dispose]() {
      server.close();
      for (const { socket } of connections) socket.destroy();
    },
  };
}
