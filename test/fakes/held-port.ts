/** A port that refuses connections, and that nobody else gets who asks for a free one meanwhile. */

import { connect, createServer, type Socket } from "node:net";

/** The port is nobody's again once `letGo` has resolved. */
export interface HeldPort {
  letGo(): Promise<void>;
}

/**
 * Holds a port of 127.0.0.1 that nothing listens on any more, by a connection that comes from it: whoever connects to
 * it is refused, and the system gives it to no server that listens on port 0. Otherwise one fake that is down may find
 * another in its place, which is then called by its clients.
 */
export async function holdPort(port: number): Promise<HeldPort> {
  const ends = new Set<Socket>();
  const sink = createServer((socket) => {
    socket.on("error", () => undefined);
    ends.add(socket);
  });
  await new Promise<void>((resolve, reject) => {
    sink.once("error", reject);
    sink.listen(0, "127.0.0.1", resolve);
  });
  const address = sink.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP server");
  const options = { port: address.port, host: "127.0.0.1", localAddress: "127.0.0.1" };
  const holder = connect({ ...options, localPort: port });
  await new Promise<void>((resolve, reject) => {
    holder.once("error", reject);
    holder.once("connect", resolve);
  });
  return {
    async letGo() {
      const gone = new Promise((resolve) => holder.once("close", resolve));
      holder.resetAndDestroy();
      for (const end of ends) end.destroy();
      await gone;
      await new Promise<void>((resolve) => sink.close(() => resolve()));
    },
  };
}
