/** One end of a TCP connection: keeps what the socket does not take, and says when it is gone. */

import type { Socket } from "bun";

/** What comes, and the end. */
export interface LineListener {
  onBytes(bytes: Buffer): void;
  /** The peer has ended its side, or everything is over. Called once. */
  onOver(): void;
}

export interface Line {
  /** A string is one byte per character. Bytes must not be changed afterwards. */
  send(bytes: Uint8Array | string): void;
  readonly unsentBytes: number;
  /** Called whenever nothing is unsent any more. */
  onEmpty: (() => void) | null;
  /** Resolves when nothing is unsent any more, or everything is over. */
  sent(): Promise<void>;
  pause(): void;
  resume(): void;
  /** Sends a FIN behind what was sent so far, and goes on reading. */
  halfClose(): void;
  /** Sends a FIN, and reads no more. */
  end(): void;
  /** Sends a RST. */
  cut(): void;
  /** It has been told to half-close. */
  readonly isHalfClosed: boolean;
  readonly isOver: boolean;
}

interface LineState {
  socket: Socket<unknown> | null;
  readonly unsent: Uint8Array[];
  unsentBytes: number;
  isOver: boolean;
  isHalfClosed: boolean;
  waiting: (() => void) | null;
}

export interface OpenLine {
  readonly line: Line;
  readonly handler: {
    readonly open: (socket: Socket<unknown>) => void;
    readonly data: (bytes: Buffer) => void;
    readonly drain: () => void;
    readonly over: () => void;
  };
}

/** A line for a socket that `handler` will be told of. */
export function createLine(listener: LineListener): OpenLine {
  const state: LineState = {
    socket: null,
    unsent: [],
    unsentBytes: 0,
    isOver: false,
    isHalfClosed: false,
    waiting: null,
  };
  const line: Line = {
    send: (bytes) => send(state, typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
    get unsentBytes() {
      return state.unsentBytes;
    },
    onEmpty: null,
    sent() {
      if (state.unsentBytes === 0 || state.isOver) return Promise.resolve();
      return new Promise((resolve) => {
        state.waiting = resolve;
      });
    },
    pause: () => void state.socket?.pause(),
    resume: () => void state.socket?.resume(),
    halfClose() {
      state.isHalfClosed = true;
      if (state.unsentBytes === 0 && !state.isOver) state.socket?.shutdown();
    },
    end() {
      if (!state.isOver) state.socket?.end();
    },
    cut() {
      if (!state.isOver) state.socket?.terminate();
    },
    get isHalfClosed() {
      return state.isHalfClosed;
    },
    get isOver() {
      return state.isOver;
    },
  };
  return {
    line,
    handler: {
      open(socket) {
        state.socket = socket;
        socket.setNoDelay(true);
      },
      data: (bytes) => listener.onBytes(bytes),
      drain() {
        drain(state);
        if (state.unsentBytes === 0 && !state.isOver) line.onEmpty?.();
      },
      over() {
        if (state.isOver) return;
        state.isOver = true;
        state.unsent.length = 0;
        state.unsentBytes = 0;
        state.waiting?.();
        listener.onOver();
      },
    },
  };
}

/**
 * Connects to a port of this machine.
 * @throws Error when that fails
 */
export async function connectLine(port: number, listener: LineListener): Promise<Line> {
  const { line, handler } = createLine(listener);
  await Bun.connect({
    hostname: "127.0.0.1",
    port,
    allowHalfOpen: true,
    socket: {
      open: handler.open,
      data: (_socket, bytes) => handler.data(bytes),
      drain: handler.drain,
      // Nothing is left to say to somebody who has ended.
      end: (socket) => void socket.end(),
      close: handler.over,
      error: handler.over,
    },
  });
  return line;
}

function send(state: LineState, bytes: Uint8Array): void {
  const { socket } = state;
  if (state.isOver || socket === null || bytes.length === 0) return;
  const taken = state.unsentBytes > 0 ? 0 : socket.write(bytes);
  if (taken < 0 || taken >= bytes.length) return;
  state.unsent.push(bytes.subarray(taken));
  state.unsentBytes += bytes.length - taken;
}

function drain(state: LineState): void {
  const { socket, unsent } = state;
  while (socket !== null && unsent[0] !== undefined) {
    const bytes = unsent[0];
    const taken = socket.write(bytes);
    if (taken < 0) return;
    state.unsentBytes -= taken;
    if (taken < bytes.length) {
      unsent[0] = bytes.subarray(taken);
      return;
    }
    unsent.shift();
  }
  const { waiting } = state;
  state.waiting = null;
  waiting?.();
  if (state.isHalfClosed && !state.isOver) socket?.shutdown();
}
