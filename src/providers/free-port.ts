/** Finds a TCP port on which a child process can listen. */

/** Below Linux's and above most services' ports: the kernel hands none of these out by itself. */
export const FREE_PORT_FIRST = 20_000;

/** The last port that is handed out. */
export const FREE_PORT_LAST = 29_999;

const ATTEMPTS_MAX = 200;

/**
 * Whether 127.0.0.1 has nobody listening on `port`, wildcard listeners included. Synchronous, so that two
 * wakes cannot be given the same port. A port that may not be bound (below 1024) counts as free.
 */
export function isPortFree(port: number): boolean {
  try {
    const listener = Bun.listen({
      hostname: "127.0.0.1",
      port,
      socket: { open: (socket) => socket.terminate(), data: ignore },
    });
    listener.stop(true);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "EADDRINUSE");
  }
}

/**
 * A random free port from `FREE_PORT_FIRST` to `FREE_PORT_LAST`.
 * @param random 0 to 1, exclusive
 * @param taken ports not to be handed out, although nobody may listen on them yet
 * @throws Error when none is found after many tries
 */
export function findFreePort(random: () => number, taken: ReadonlySet<number>): number {
  const span = FREE_PORT_LAST - FREE_PORT_FIRST + 1;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
    const port = FREE_PORT_FIRST + Math.floor(random() * span);
    if (!taken.has(port) && isPortFree(port)) return port;
  }
  throw new Error(
    `no free port from ${FREE_PORT_FIRST} to ${FREE_PORT_LAST} was found in ${ATTEMPTS_MAX} tries`,
  );
}

/** Bun asks for a `data` callback; a listener that lives for an instant has nothing to read. */
function ignore(): undefined {
  return undefined;
}
