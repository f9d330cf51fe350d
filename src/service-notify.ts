/** Tells systemd how the service is: ready, reloading, stopping, and alive. */

import type { Clock } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

/** What systemd hands to a service of `Type=notify`. */
export interface ServiceManager {
  /** A path, or `@` and the name of an abstract socket. */
  readonly notifySocket: string;
  /** Without a sign of life for so long the service is started again; `null`: it is not watched. */
  readonly watchdogMs: number | null;
}

/** The service's side. Nothing here ever throws, and without a service manager it does nothing at all. */
export interface ServiceNotifier {
  /** It listens; also the end of a reload. From the first call on, the watchdog is fed. */
  ready(): void;
  reloading(): void;
  stopping(): void;
  /** Another process is the service from here on: it feeds the watchdog. */
  handOn(pid: number): void;
  /** No more signs of life. */
  end(): void;
}

/** Variables of systemd's that are about this process alone: who inherits them would speak in its name. */
export const SERVICE_VARIABLES: readonly string[] = [
  "NOTIFY_SOCKET",
  "WATCHDOG_USEC",
  "WATCHDOG_PID",
];

/**
 * Pure. `null` where no service manager asks for it.
 * Source: sd_notify(3), sd_watchdog_enabled(3): a `WATCHDOG_PID` of another process means somebody else is watched.
 */
export function serviceManagerOf(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): ServiceManager | null {
  const notifySocket = environment.NOTIFY_SOCKET ?? "";
  if (!/^[/@]./.test(notifySocket)) return null;
  const { WATCHDOG_USEC: microseconds = "", WATCHDOG_PID: watched = String(pid) } = environment;
  const isWatched = /^[1-9]\d*$/.test(microseconds) && watched === String(pid);
  return { notifySocket, watchdogMs: isWatched ? Number(microseconds) / 1000 : null };
}

/** The C library's names: of GNU's, and of musl's. */
const C_LIBRARIES = ["libc.so.6", "libc.so"];
/** socket(2), sendto(2), clock_gettime(2) on Linux; the same on every architecture we are built for. */
const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const MSG_NOSIGNAL = 0x4000;
const CLOCK_MONOTONIC = 1;

/** Makes one. The runtime's way into the C library is loaded only when there is a service manager. */
export async function createServiceNotifier({
  manager,
  clock,
  log,
}: {
  readonly manager: ServiceManager | null;
  readonly clock: Clock;
  readonly log: Log;
}): Promise<ServiceNotifier> {
  if (manager === null) return SILENT;
  const channel = await openChannel(manager.notifySocket, log);
  if (channel === null) return SILENT;
  let cancel: (() => void) | null = null;
  const feed = (everyMs: number) => {
    channel.send("WATCHDOG=1");
    cancel = clock.after(everyMs, () => feed(everyMs));
  };
  return {
    ready() {
      channel.send("READY=1");
      if (cancel === null && manager.watchdogMs !== null) feed(manager.watchdogMs / 2);
    },
    reloading: () => channel.send(`RELOADING=1\nMONOTONIC_USEC=${channel.monotonicUsec()}`),
    stopping: () => channel.send("STOPPING=1"),
    handOn(pid) {
      cancel?.();
      channel.send(`MAINPID=${pid}`);
    },
    end: () => cancel?.(),
  };
}

const SILENT: ServiceNotifier = {
  ready: () => undefined,
  reloading: () => undefined,
  stopping: () => undefined,
  handOn: () => undefined,
  end: () => undefined,
};

interface Channel {
  send(message: string): void;
  /** Of the clock that systemd compares it with, which is not the runtime's. */
  monotonicUsec(): bigint;
}

/**
 * Bun has no datagram sockets of the unix family (1.4.5), so the C library is called, about 0.2 ms in all. A child
 * such as `systemd-notify` would need `NotifyAccess=all`, which lets every app that we start speak for us.
 */
async function openChannel(path: string, log: Log): Promise<Channel | null> {
  try {
    const { ptr } = await import("bun:ffi");
    const c = await openLibrary();
    const address = addressOf(path);
    // Kept: when no more files can be opened, the watchdog must still be fed.
    const socket = c.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    let hasFailed = false;
    return {
      send(message) {
        const bytes = new TextEncoder().encode(message);
        const body = [ptr(bytes), bytes.length] as const;
        const to = [ptr(address), address.length] as const;
        const sent = Number(c.sendto(socket, ...body, MSG_NOSIGNAL, ...to));
        if (sent === bytes.length || hasFailed) return;
        hasFailed = true;
        const next = "NOTIFY_SOCKET must be the one that systemd gave to this process";
        log.warn({ socket: path, next }, "systemd cannot be told how the service is");
      },
      monotonicUsec() {
        const time = new BigInt64Array(2);
        c.clock_gettime(CLOCK_MONOTONIC, ptr(time));
        const [seconds = 0n, nanoseconds = 0n] = time;
        return seconds * 1_000_000n + nanoseconds / 1000n;
      },
    };
  } catch (error) {
    const reason = messageOf(error);
    log.warn(
      { reason },
      "systemd cannot be told how the service is: the C library is out of reach",
    );
    return null;
  }
}

async function openLibrary() {
  const { dlopen } = await import("bun:ffi");
  const functions = {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i64" },
    clock_gettime: { args: ["i32", "ptr"], returns: "i32" },
  } as const;
  let failure: unknown = null;
  for (const name of C_LIBRARIES) {
    try {
      return dlopen(name, functions).symbols;
    } catch (error) {
      failure = error;
    }
  }
  throw failure;
}

/** `struct sockaddr_un`: the family, then the path with a zero at its end, or a zero and the abstract name (unix(7)). */
function addressOf(path: string): Uint8Array {
  const text = path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`;
  const name = new TextEncoder().encode(text);
  const address = new Uint8Array(2 + name.length);
  new Uint16Array(address.buffer, 0, 1)[0] = AF_UNIX;
  address.set(name, 2);
  return address;
}
