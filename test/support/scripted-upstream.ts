/**
 * An app made of a script: it records the exact bytes it receives and answers with the bytes it is
 * told.
 */

import { createServer, type Socket } from "node:net";
import { until } from "./until.ts";

/** One request as it arrived. */
export interface UpstreamRequest {
  readonly method: string;
  readonly target: string;
  /** The head as received, without the last empty line. */
  readonly head: string;
  /** Values of one header, any case, one entry per line. */
  all(name: string): string[];
  header(name: string): string | null;
  /** Body bytes so far, decoded, Latin-1. */
  readonly body: string;
  /** The body is complete. */
  readonly isComplete: boolean;
  /** The connection ended before the body did, or at any time after it. */
  readonly isGone: boolean;
  complete(): Promise<void>;
  write(bytes: string | Uint8Array): void;
  /** Answers 200 with this body and a length. */
  reply(body: string, headers?: string): void;
  end(): void;
  /** Ends the connection with a RST. */
  reset(): void;
  readonly socket: Socket;
}

export interface ScriptedUpstream extends Disposable {
  readonly port: number;
  readonly origin: string;
  /** Every request, oldest first. */
  readonly requests: readonly UpstreamRequest[];
  /** Connections open now. */
  readonly open: number;
  /** Waits for the request with this number, from 0. */
  request(index?: number): Promise<UpstreamRequest>;
}

/**
 * Listens on a free port, or on `port`.
 * @param onRequest called when a head is complete; the body may still be coming
 */
export async function startScriptedUpstream(
  onRequest: (request: UpstreamRequest) => unknown = (request) => request.reply("hello"),
  port = 0,
): Promise<ScriptedUpstream> {
  const requests: UpstreamRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => sockets.delete(socket));
    readRequests(socket, (request) => {
      requests.push(request);
      void onRequest(request);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not a TCP server");
  return {
    port: address.port,
    origin: `http://127.0.0.1:${address.port}`,
    requests,
    get open() {
      return sockets.size;
    },
    async request(index = 0) {
      await until(() => requests.length > index);
      return requests[index] as UpstreamRequest;
    },
    [Symbol.dispose]() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

function readRequests(socket: Socket, onRequest: (request: UpstreamRequest) => void): void {
  let text = "";
  let current: { feed(text: string): string | null } | null = null;
  socket.on("data", (data) => {
    text += data.toString("latin1");
    for (;;) {
      if (current !== null) {
        const rest = current.feed(text);
        text = rest ?? "";
        if (rest === null) return;
        current = null;
      }
      const end = text.indexOf("\r\n\r\n");
      if (end === -1) return;
      const { request, reader } = begin(socket, text.slice(0, end));
      text = text.slice(end + 4);
      current = reader;
      const rest = reader.feed(text);
      text = rest ?? "";
      if (rest !== null) current = null;
      onRequest(request);
      if (rest === null) return;
    }
  });
}

function begin(socket: Socket, head: string) {
  const state = { body: "", complete: false, gone: false };
  socket.on("close", () => {
    state.gone = true;
  });
  const [line = "", ...lines] = head.split("\r\n");
  const [method = "", target = ""] = line.split(" ");
  const all = (name: string) =>
    lines
      .filter((entry) => entry.toLowerCase().startsWith(`${name.toLowerCase()}:`))
      .map((entry) => entry.slice(name.length + 1).trim());
  const header = (name: string) => all(name)[0] ?? null;
  const request: UpstreamRequest = {
    method,
    target,
    head,
    all,
    header,
    get body() {
      return state.body;
    },
    get isComplete() {
      return state.complete;
    },
    get isGone() {
      return state.gone;
    },
    complete: () => until(() => state.complete),
    write: (bytes) => void socket.write(bytes),
    reply: (body, headers = "") =>
      void socket.write(
        `HTTP/1.1 200 OK\r\nContent-Length: ${Buffer.byteLength(body)}\r\n${headers}\r\n${body}`,
      ),
    end: () => void socket.end(),
    reset: () => void socket.resetAndDestroy(),
    socket,
  };
  const reader =
    header("transfer-encoding") === "chunked"
      ? chunkedReader(state)
      : lengthReader(state, Number(header("content-length") ?? 0));
  return { request, reader };
}

interface BodyState {
  body: string;
  complete: boolean;
}

/** Takes text; returns what is left after the body, or `null` while the body goes on. */
function lengthReader(state: BodyState, length: number) {
  return {
    feed(text: string): string | null {
      const missing = length - state.body.length;
      state.body += text.slice(0, missing);
      if (state.body.length < length) return null;
      state.complete = true;
      return text.slice(missing);
    },
  };
}

function chunkedReader(state: BodyState) {
  let pending = "";
  return {
    feed(text: string): string | null {
      pending += text;
      for (;;) {
        const lineEnd = pending.indexOf("\r\n");
        if (lineEnd === -1) return null;
        const size = Number.parseInt(pending.slice(0, lineEnd), 16);
        const end = lineEnd + 2 + size;
        if (pending.length < end + 2) return null;
        state.body += pending.slice(lineEnd + 2, end);
        pending = pending.slice(end + 2);
        if (size !== 0) continue;
        state.complete = true;
        return pending;
      }
    },
  };
}
