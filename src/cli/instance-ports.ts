/** Ports of this machine: which are listened on, which belong to instances, which are free. */

import { readFileSync } from "node:fs";
import { codeOf } from "../text-file.ts";
import { InstanceFailure } from "./instance-failure.ts";
import type { Instance } from "./instance-file.ts";

/** Where ports are looked for, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** For instances to listen on. */
export const LISTEN_RANGE: PortRange = { first: 3000, last: 3999 };
/** For their apps. */
export const TARGET_RANGE: PortRange = { first: 8000, last: 8999 };

/** `st` of a listening socket in `/proc/net/tcp` (include/net/tcp_states.h: TCP_LISTEN). */
const LISTENING = "0A";

/** TCP ports that anybody on this machine listens on, whatever the address. */
export function listeningPorts(): ReadonlySet<number> {
  const tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(textOf);
  return new Set(tables.flatMap(portsIn));
}

/** Pure. Source: proc_net_tcp.rst: `sl local_address rem_address st …`, addresses and ports in hexadecimal. */
export function portsIn(text: string): readonly number[] {
  return text.split("\n").flatMap((line) => {
    const [, local = "", , state] = line.trim().split(/\s+/);
    const port = Number.parseInt(local.split(":")[1] ?? "", 16);
    return state === LISTENING && port > 0 ? [port] : [];
  });
}

/** Pure. Who has each port in a file: the name of the instance. */
export function ownersOf(instances: readonly Instance[]): ReadonlyMap<number, string> {
  return new Map(
    instances.flatMap(({ name, port, targetPort }) =>
      [port, targetPort].flatMap((own) => (own === null ? [] : [[own, name] as const])),
    ),
  );
}

/** Pure. The first one in the range that is not taken. @throws InstanceFailure when all are */
export function freePort({ first, last }: PortRange, isTaken: (port: number) => boolean): number {
  for (let port = first; port <= last; port += 1) if (!isTaken(port)) return port;
  throw new InstanceFailure({
    what: "Cannot choose a port",
    why: `all of ${first} to ${last} are taken`,
    next: "Name one with --port or --target",
  });
}

function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    // A kernel without IPv6 has no second table; other systems have neither.
    if (codeOf(error) === "ENOENT") return "";
    throw error;
  }
}
