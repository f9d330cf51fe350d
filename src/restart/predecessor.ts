/** The process whose place this one takes, as this one sees it. */

import { createHearers } from "./hearers.ts";
import {
  type Channel,
  type Estate,
  PREDECESSOR_VARIABLE,
  type ToPredecessor,
  type ToSuccessor,
} from "./messages.ts";

/** The process whose place we take. */
export interface Predecessor extends Channel<ToPredecessor, ToSuccessor> {
  readonly pid: number;
  /**
   * Says that we are ready to take its place, and waits until it has let go of everything.
   * @throws Error when it has ended meanwhile
   */
  takePlace(): Promise<Estate>;
}

/** The part of `process` that is used here. */
export interface ConnectedProcess {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly ppid: number;
  send?(message: unknown): unknown;
  on(event: "message", listener: (message: unknown) => void): unknown;
  on(event: "disconnect", listener: () => void): unknown;
}

/** @returns `null` for a process that was started by anybody else */
export function predecessorOf(self: ConnectedProcess): Predecessor | null {
  const pid = Number(self.env[PREDECESSOR_VARIABLE] ?? "");
  // A variable alone may have been inherited.
  if (self.send === undefined || pid !== self.ppid) return null;
  const { onMessage, tell } = createHearers<ToSuccessor>();
  const closed = Promise.withResolvers<void>();
  let isOpen = true;
  self.on("message", (message) => {
    // Nobody else has the other end.
    tell(message as ToSuccessor);
  });
  self.on("disconnect", () => {
    isOpen = false;
    closed.resolve();
  });
  const send = (message: ToPredecessor) => {
    if (!isOpen) return;
    try {
      self.send?.(message);
    } catch {
      // It has ended, which `closed` says.
      return;
    }
  };
  return {
    pid,
    send,
    onMessage,
    closed: closed.promise,
    async takePlace() {
      const told = Promise.withResolvers<Estate>();
      const stop = onMessage((message) => {
        if (message.kind === "begin") told.resolve(message.estate);
      });
      const left = closed.promise.then(() => {
        throw new Error(`process ${pid}, whose place this one was to take, has ended`);
      });
      left.catch(() => undefined);
      send({ kind: "prepared" });
      try {
        return await Promise.race([told.promise, left]);
      } finally {
        stop();
      }
    },
  };
}
