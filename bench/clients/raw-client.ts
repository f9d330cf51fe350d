/** A TCP connection that costs the load as little as possible: no parser, no stream, bytes are only counted. */

import type { Socket } from "bun";

/** What is told of a connection. */
export interface RawListener {
  onBytes(bytes: Buffer): void;
  /** Everything is over; called once. */
  onOver?(): void;
}

/** A connection. */
export interface RawClient {
  /** Sends all of it, as soon as the socket takes it. The bytes must not be changed afterwards. */
  send(bytes: Uint8Array): void;
  /** Resolves when everything was handed to the system. */
  flushed(): Promise<void>;
  close(): void;
  readonly isOver: boolean;
}

interface State {
  socket: Socket<undefined> | null;
  rest: Uint8Array[];
  isOver: boolean;
  waiting: (() => void) | null;
}

/** Connects to a port of this machine. @throws Error when that fails */
export async function connectRaw(port: number, listener: RawListener): Promise<RawClient> {
  const state: State = { socket: null, rest: [], isOver: false, waiting: null };
  const over = () => {
    if (state.isOver) return;
    state.isOver = true;
    state.waiting?.();
    listener.onOver?.();
  };
  state.socket = await Bun.connect<undefined>({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (socket) => void socket.setNoDelay(true),
      data: (_socket, bytes) => listener.onBytes(bytes),
      drain: () => drain(state),
      close: over,
      error: over,
    },
  });
  return {
    send: (bytes) => send(state, bytes),
    flushed: () => flushed(state),
    close: () => void state.socket?.end(),
    get isOver() {
      return state.isOver;
    },
  };
}

function send(state: State, bytes: Uint8Array): void {
  const taken = state.rest.length > 0 ? 0 : (state.socket?.write(bytes) ?? 0);
  if (taken >= 0 && taken < bytes.length) state.rest.push(bytes.subarray(taken));
}

function drain(state: State): void {
  for (let [first] = state.rest; first !== undefined; [first] = state.rest) {
    const taken = state.socket?.write(first) ?? -1;
    if (taken < 0) return;
    if (taken < first.length) {
      state.rest[0] = first.subarray(taken);
      return;
    }
    state.rest.shift();
  }
  state.waiting?.();
}

function flushed(state: State): Promise<void> {
  if (state.rest.length === 0 || state.isOver) return Promise.resolve();
  return new Promise((resolve) => {
    state.waiting = () => {
      state.waiting = null;
      resolve();
    };
  });
}
