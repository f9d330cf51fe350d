/** Ports for servers that cannot choose one themselves. */

/** Not one that the system hands out by itself: it must still be free when the server starts, and starts again. */
export function freePort(): number {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } }).stop(true);
      return port;
    } catch {
      // Taken: the next one.
    }
  }
}
