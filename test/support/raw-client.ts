/** A client that writes the bytes it is told to, and reads answers without forgiving anything. */

import { connect, type Socket } from "node:net";
import { until } from "./until.ts";

/** One answer as it came. */
export interface RawAnswer {
  readonly status: number;
  readonly statusLine: string;
  /** Names as sent. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** Values of one name, any case. */
  all(name: string): string[];
  /** The first value of a name, or `null`. */
  header(name: string): string | null;
  /** Latin-1: one character per byte. */
  readonly body: string;
  /** The body came to the end that its framing promised. */
  readonly isComplete: boolean;
}

export interface RawClient extends Disposable {
  /** A string is one byte per character. */
  send(bytes: string | Uint8Array): void;
  /** Everything received so far, Latin-1. */
  readonly received: string;
  readonly isClosed: boolean;
  /** The connection was reset rather than ended. */
  readonly isReset: boolean;
  /** Waits for the next whole answer; later ones follow on the same connection. */
  answer(options?: { method?: string }): Promise<RawAnswer>;
  until(condition: () => boolean): Promise<void>;
  /** Sends a FIN. */
  end(): void;
  /** Ends the connection with a RST. */
  reset(): void;
  pause(): void;
  resume(): void;
}

/**
 * Connects to a port, of this machine unless `options.address` says otherwise.
 * @param options.allowHalfOpen goes on reading after `end`
 */
export async function connectRaw(
  port: number,
  options: { readonly allowHalfOpen?: boolean; readonly address?: string } = {},
): Promise<RawClient> {
  const state = { text: "", at: 0, closed: false, reset: false };
  const { allowHalfOpen = false, address = "127.0.0.1" } = options;
  const socket = await open({ port, host: address }, allowHalfOpen);
  socket.on("data", (data: Buffer) => {
    state.text += data.toString("latin1");
  });
  socket.on("error", () => {
    state.reset = true;
  });
  socket.on("close", () => {
    state.closed = true;
  });
  return {
    send: (bytes) =>
      void socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
    get received() {
      return state.text;
    },
    get isClosed() {
      return state.closed;
    },
    get isReset() {
      return state.reset;
    },
    async answer(options = {}) {
      let found: Parsed | null = null;
      await until(() => {
        found = parseAnswer(state.text, state.at, {
          closed: state.closed,
          method: options.method ?? "GET",
        });
        return found !== null;
      });
      const { answer, end } = found as unknown as Parsed;
      state.at = end;
      return answer;
    },
    until: (condition) => until(condition),
    end: () => void socket.end(),
    reset: () => void socket.resetAndDestroy(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
    [Symbol.dispose]: () => void socket.destroy(),
  };
}

/** One request on a connection of its own. */
export async function exchangeRaw(port: number, request: string): Promise<RawAnswer> {
  using client = await connectRaw(port);
  client.send(request);
  return await client.answer({ method: request.slice(0, request.indexOf(" ")) });
}

function open(
  where: { readonly port: number; readonly host: string },
  allowHalfOpen: boolean,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...where, noDelay: true, allowHalfOpen });
    if (allowHalfOpen) socket.on("end", () => socket.end());
    socket.once("connect", () => resolve(socket));
    socket.once("error", reject);
  });
}

interface Parsed {
  readonly answer: RawAnswer;
  readonly end: number;
}

function parseAnswer(
  text: string,
  from: number,
  context: { closed: boolean; method: string },
): Parsed | null {
  const headEnd = text.indexOf("\r\n\r\n", from);
  if (headEnd === -1) {
    if (!context.closed) return null;
    const [statusLine = ""] = text.slice(from).split("\r\n");
    return finish(statusLine, [], { body: "", end: text.length, isComplete: false });
  }
  const [statusLine = "", ...lines] = text.slice(from, headEnd).split("\r\n");
  if (statusLine.startsWith("HTTP/1.1 100")) return parseAnswer(text, headEnd + 4, context);
  const headers = lines.map((line) => {
    const colon = line.indexOf(":");
    return [line.slice(0, colon), line.slice(colon + 1).trim()] as const;
  });
  const body = parseBody(text, headEnd + 4, { ...context, statusLine, headers });
  return body === null ? null : finish(statusLine, headers, body);
}

interface Body {
  readonly body: string;
  readonly end: number;
  readonly isComplete: boolean;
}

function parseBody(
  text: string,
  from: number,
  context: {
    closed: boolean;
    method: string;
    statusLine: string;
    headers: readonly (readonly [string, string])[];
  },
): Body | null {
  const status = Number(context.statusLine.split(" ")[1]);
  if (context.method === "HEAD" || status === 204 || status === 304 || status === 101) {
    return { body: "", end: from, isComplete: true };
  }
  const find = (name: string) =>
    context.headers.find(([key]) => key.toLowerCase() === name)?.[1] ?? null;
  if (find("transfer-encoding") === "chunked") return parseChunks(text, from, context.closed);
  const length = find("content-length");
  if (length !== null) {
    const end = from + Number(length);
    if (text.length >= end) return { body: text.slice(from, end), end, isComplete: true };
    return context.closed ? { body: text.slice(from), end: text.length, isComplete: false } : null;
  }
  return context.closed ? { body: text.slice(from), end: text.length, isComplete: true } : null;
}

function parseChunks(text: string, from: number, closed: boolean): Body | null {
  let at = from;
  let body = "";
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    const size = lineEnd === -1 ? Number.NaN : Number.parseInt(text.slice(at, lineEnd), 16);
    const end = lineEnd + 2 + size;
    if (Number.isNaN(size) || text.length < end + 2) {
      return closed ? { body, end: text.length, isComplete: false } : null;
    }
    if (size === 0) return { body, end: end + 2, isComplete: true };
    body += text.slice(lineEnd + 2, end);
    at = end + 2;
  }
}

function finish(
  statusLine: string,
  headers: readonly (readonly [string, string])[],
  body: Body,
): Parsed {
  const all = (name: string) =>
    headers.filter(([key]) => key.toLowerCase() === name.toLowerCase()).map(([, value]) => value);
  return {
    end: body.end,
    answer: {
      status: Number(statusLine.split(" ")[1] ?? 0),
      statusLine,
      headers,
      all,
      header: (name) => all(name)[0] ?? null,
      body: body.body,
      isComplete: body.isComplete,
    },
  };
}
