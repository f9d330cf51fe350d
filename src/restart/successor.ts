/** Starts the process that is to take this one's place, and hears what it says. */

import type { Clock } from "../clock.ts";
import { sleep } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { createHearers } from "./hearers.ts";
import {
  type Channel,
  type Estate,
  PREDECESSOR_VARIABLE,
  type ToPredecessor,
  type ToSuccessor,
} from "./messages.ts";

/** How to start it: the executable, which may be a newer one by now, its arguments, and everything it inherits. */
export interface Image {
  /** Absolute. */
  readonly executable: string;
  readonly args: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Number of this process. */
  readonly pid: number;
}

/** The process that is to take our place. */
export interface Successor extends Channel<ToSuccessor, ToPredecessor> {
  readonly pid: number;
  /** It can begin as soon as it is told to. @throws Error why it cannot */
  prepared(): Promise<void>;
  /** Tells it to begin. @returns its private socket, as soon as it listens. @throws Error why it does not */
  begin(estate: Estate): Promise<string>;
  /** It is not wanted any more. */
  kill(): void;
}

/** Reading a configuration takes a moment; more means that something hangs, ms. */
const PREPARE_MS = 30_000;
/** To open what is stored, ms. */
const BEGIN_MS = 30_000;

/**
 * Starts it.
 * @param fd what listens
 * @throws Error when the system refuses to
 */
export function launchSuccessor(image: Image, fd: number, clock: Clock): Successor {
  // The watchdog is to be fed by whoever is the service: a number would say that it is nobody but us.
  const { WATCHDOG_PID: _, ...environment } = image.environment;
  const { onMessage, tell } = createHearers<ToPredecessor>();
  const closed = Promise.withResolvers<void>();
  const child = Bun.spawn([image.executable, ...image.args], {
    env: { ...environment, [PREDECESSOR_VARIABLE]: String(image.pid) },
    stdio: ["inherit", "inherit", "inherit", fd],
    serialization: "json",
    ipc(message) {
      // Nobody else has the other end.
      tell(message as ToPredecessor);
    },
    onDisconnect: () => closed.resolve(),
  });
  const ended = child.exited.then(() => {
    closed.resolve();
    throw new Error(endOf(child));
  });
  // Whoever waits for something looks at it.
  ended.catch(() => undefined);
  const said = <K extends ToPredecessor["kind"]>(kind: K) => firstOf(onMessage, kind);
  const prepared = said("prepared");
  const within = async <T>(wanted: Promise<T>, limitMs: number, what: string): Promise<T> => {
    const over = new AbortController();
    const late = sleep(clock, limitMs, over.signal).then(() => {
      throw new Error(`it has not ${what} within ${limitMs / 1000} s`);
    });
    late.catch(() => undefined);
    try {
      return await Promise.race([wanted, ended, late]);
    } finally {
      over.abort();
    }
  };
  const send = (message: ToSuccessor) => sendTo(child, message);
  return {
    pid: child.pid,
    send,
    onMessage,
    closed: closed.promise,
    prepared: async () =>
      void (await within(prepared, PREPARE_MS, "come to read its configuration")),
    async begin(estate) {
      const listening = said("listening");
      send({ kind: "begin", estate });
      return (await within(listening, BEGIN_MS, "begun to listen")).socketPath;
    },
    kill: () => child.kill("SIGKILL"),
  };
}

function firstOf<K extends ToPredecessor["kind"]>(
  onMessage: (callback: (message: ToPredecessor) => void) => () => void,
  kind: K,
): Promise<Extract<ToPredecessor, { readonly kind: K }>> {
  const { promise, resolve } =
    Promise.withResolvers<Extract<ToPredecessor, { readonly kind: K }>>();
  const stop = onMessage((message) => {
    if (message.kind !== kind) return;
    stop();
    // Its kind was looked at.
    resolve(message as Extract<ToPredecessor, { readonly kind: K }>);
  });
  return promise;
}

function sendTo(child: Bun.Subprocess, message: ToSuccessor): void {
  try {
    child.send(message);
  } catch {
    // It has ended, which `closed` says.
    return;
  }
}

function endOf({ exitCode, signalCode }: Bun.Subprocess): string {
  const how =
    signalCode === null ? `exited with status ${exitCode}` : `was killed by ${signalCode}`;
  return `it ${how}; what it said stands in the log`;
}

/** Why something that is started could not be; for logs. */
export function whyNotStarted(image: Image, error: unknown): string {
  return `${image.executable} could not be started: ${messageOf(error)}`;
}
