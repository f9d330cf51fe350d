/** Ports of the loopback addresses that stay one fake's own while nobody listens on them. */

/** A port of one's own. */
export interface OwnPort {
  readonly port: number;
  release(): void;
}

/** Below those that the system hands out by itself. Source: Linux, `net.ipv4.ip_local_port_range`. */
const LOWEST = 10_240;
const HIGHEST = 32_767;
const TRIES_MAX = 1_000;
/** Who holds a port listens on it here, so that other fakes, in other processes too, see that it is taken. */
const HOLDER = "127.255.255.254";

/** @throws Error when there is none to be had */
export function holdPort(): OwnPort {
  const from = Math.floor(Math.random() * (HIGHEST - LOWEST));
  for (let tries = 0; tries < TRIES_MAX; tries += 1) {
    const port = LOWEST + ((from + tries * 7) % (HIGHEST - LOWEST));
    const holder = listen(HOLDER, port);
    if (holder === null) continue;
    const isFree = listen("127.0.0.1", port);
    isFree?.stop(true);
    if (isFree !== null) return { port, release: () => holder.stop(true) };
    holder.stop(true);
  }
  throw new Error("no port is free");
}

function listen(hostname: string, port: number): Bun.TCPSocketListener | null {
  try {
    return Bun.listen({ hostname, port, socket: { data: () => undefined } });
  } catch {
    return null; // Somebody is there.
  }
}
