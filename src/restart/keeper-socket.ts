/**
 * How a process that keeps children is spoken to by whichever process is Paastis now: over a private unix socket, a
 * message a line. The first successor hands its address on to the next, so that nobody in between has to stay.
 */

import type { Socket, SocketHandler } from "bun";
import type { CancelTimer, Clock } from "../clock.ts";
import { createHearers } from "./hearers.ts";
import type { Channel, ToPredecessor, ToSuccessor } from "./messages.ts";

/** The end of the process that keeps children. */
export interface KeeperSocket extends Channel<ToSuccessor, ToPredecessor> {
  close(): void;
}

/** The end of the process that gives orders. */
export interface KeeperReach extends Channel<ToPredecessor, ToSuccessor> {
  /** Another process will speak from here on: `closed` is never fulfilled then. */
  handOn(): void;
}

/** A process that takes a place reads its configuration, opens what is stored, and may have to be started twice, ms. */
const HAND_ON_MS = 120_000;

/** @param path for nobody but us. @throws Error when it cannot be listened on */
export function listenAsKeeper(path: string, clock: Clock): KeeperSocket {
  const { onMessage, tell } = createHearers<ToPredecessor>();
  const closed = Promise.withResolvers<void>();
  let current: Line | null = null;
  // Only who has taken command can be missed: a process that comes to nothing before is followed by another.
  let isCommanded = false;
  let cancel: CancelTimer = clock.after(HAND_ON_MS, closed.resolve);
  const hear = (message: ToPredecessor) => {
    if (message.kind === "attend") {
      cancel();
      isCommanded = true;
    } else if (message.kind === "hand-on") {
      isCommanded = false;
      cancel = clock.after(HAND_ON_MS, closed.resolve);
    }
    tell(message);
  };
  const listener = Bun.listen<Line | undefined>({
    unix: path,
    socket: {
      open(socket) {
        current = createLine(socket, hear);
        socket.data = current;
      },
      data: (socket, bytes) => socket.data?.read(bytes),
      drain: (socket) => socket.data?.flush(),
      close(socket) {
        if (socket.data !== current) return;
        current = null;
        if (isCommanded) closed.resolve();
      },
      error: () => undefined,
    },
  });
  return {
    send: (message) => current?.write(message),
    onMessage,
    closed: closed.promise,
    close() {
      cancel();
      listener.stop(true);
    },
  };
}

/** Speaks to the process that listens there. One that does not is gone: `closed` is fulfilled. */
export function reachKeeper(path: string): KeeperReach {
  const { onMessage, tell } = createHearers<ToSuccessor>();
  const closed = Promise.withResolvers<void>();
  const early: ToPredecessor[] = [];
  let line: Line | null = null;
  let isHandedOn = false;
  const over = () => {
    if (!isHandedOn) closed.resolve();
  };
  const handler: SocketHandler<Line | undefined> = {
    open(socket) {
      line = createLine(socket, tell);
      socket.data = line;
      for (const message of early.splice(0)) line.write(message);
      if (isHandedOn) socket.end();
    },
    data: (socket, bytes) => socket.data?.read(bytes),
    drain: (socket) => socket.data?.flush(),
    close: over,
    error: () => undefined,
  };
  Bun.connect<Line | undefined>({ unix: path, socket: handler }).catch(over);
  const send = (message: ToPredecessor) => {
    if (line === null) early.push(message);
    else line.write(message);
  };
  return {
    send,
    onMessage,
    closed: closed.promise,
    handOn() {
      send({ kind: "hand-on" });
      isHandedOn = true;
      line?.end();
    },
  };
}

/** A connection that messages come and go on. */
interface Line {
  write(message: unknown): void;
  read(bytes: Buffer): void;
  flush(): void;
  /** Closes it behind what was written. */
  end(): void;
}

function createLine<Message>(socket: Socket<unknown>, hear: (message: Message) => void): Line {
  let unsent = Buffer.alloc(0);
  let unread = "";
  let isEnding = false;
  // Bytes, as a letter may come in two pieces.
  const decoder = new TextDecoder();
  function flush(): void {
    if (unsent.length > 0) unsent = unsent.subarray(Math.max(0, socket.write(unsent)));
    if (isEnding && unsent.length === 0) socket.end();
  }
  return {
    flush,
    write(message) {
      unsent = Buffer.concat([unsent, Buffer.from(`${JSON.stringify(message)}\n`)]);
      flush();
    },
    read(bytes) {
      const lines = (unread + decoder.decode(bytes, { stream: true })).split("\n");
      unread = lines.pop() ?? "";
      // Nobody else knows of the socket.
      for (const line of lines) hear(JSON.parse(line) as Message);
    },
    end() {
      isEnding = true;
      flush();
    },
  };
}
