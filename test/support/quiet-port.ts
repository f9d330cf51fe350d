/** Ports that stay somebody's while nobody listens there for a moment. */

/** Below those that systems give to clients and to servers that do not care; Linux begins with 32768. */
const FIRST = 12_000;
const LAST = 32_000;

const given = new Set<number>();

/**
 * A port of this machine, free now, that no other program gets by chance: whoever lets go of it for a while finds it
 * free again. Another one each time.
 */
export function quietPort(): number {
  for (let tries = 0; tries < 1_000; tries += 1) {
    const port = FIRST + Math.floor(Math.random() * (LAST - FIRST));
    if (given.has(port) || !isFree(port)) continue;
    given.add(port);
    return port;
  }
  throw new Error("no port is free");
}

function isFree(port: number): boolean {
  try {
    using _server = Bun.serve({ hostname: "127.0.0.1", port, fetch: () => new Response("") });
    return true;
  } catch {
    return false; // Somebody listens there.
  }
}
