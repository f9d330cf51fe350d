/** WebSockets that cost the load next to nothing: frames are made once, and answers are only counted. */

import { HOST } from "../contenders/contender.ts";
import { connectRaw, type RawClient } from "./raw-client.ts";

const UPGRADE = Buffer.from(
  [
    "GET /socket HTTP/1.1",
    `Host: ${HOST}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "",
    "",
  ].join("\r\n"),
);

/** A WebSocket that is open. */
export interface RawWebSocket {
  /** Sends a text that is echoed, waits for the echo, and sends it again, until it is told to stop. */
  chatter(payload: string, isOver: () => boolean): Promise<number>;
  close(): void;
  readonly isOver: boolean;
}

/** Opens one. @throws Error when it is refused */
export async function openWebSocket(port: number): Promise<RawWebSocket> {
  const opened = Promise.withResolvers<void>();
  let head = "";
  let onBytes = (bytes: Buffer): void => {
    head += bytes.toString("latin1");
    if (!head.endsWith("\r\n\r\n")) return;
    if (head.startsWith("HTTP/1.1 101")) opened.resolve();
    else opened.reject(new Error(`no WebSocket: ${head}`));
  };
  let onOver = (): void => opened.reject(new Error(`the WebSocket was ended: ${head}`));
  const raw = await connectRaw(port, {
    onBytes: (bytes) => onBytes(bytes),
    onOver: () => onOver(),
  });
  raw.send(UPGRADE);
  await opened.promise;
  return {
    async chatter(payload, isEnough) {
      const { promise, resolve, reject } = Promise.withResolvers<number>();
      onOver = () => reject(new Error("a WebSocket ended while it was in use"));
      onBytes = echoes(raw, { payload, isEnough, resolve, reject });
      raw.send(maskedFrame(payload));
      return promise;
    },
    close: raw.close,
    get isOver() {
      return raw.isOver;
    },
  };
}

/** Counts echoes, and answers each with the next message. The first is compared byte for byte, the others by length. */
function echoes(
  raw: RawClient,
  talk: {
    readonly payload: string;
    isEnough(): boolean;
    resolve(count: number): void;
    reject(error: Error): void;
  },
): (bytes: Buffer) => void {
  const frame = maskedFrame(talk.payload);
  const echo = plainFrame(talk.payload);
  let count = 0;
  let seen: Buffer = Buffer.alloc(0);
  return (bytes) => {
    // Nearly always an echo comes whole.
    seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes]);
    if (seen.length < echo.length) return;
    if (seen.length > echo.length || (count === 0 && !seen.equals(echo))) {
      return talk.reject(new Error("an echo is not what was sent"));
    }
    seen = seen.subarray(0, 0);
    count += 1;
    if (talk.isEnough()) talk.resolve(count);
    else raw.send(frame);
  };
}

/** RFC 6455 §5.2; the mask is zeros, so that nothing has to be computed. */
function maskedFrame(payload: string): Buffer {
  const plain = plainFrame(payload);
  const headBytes = plain.length - payload.length;
  const head = Buffer.from(plain.subarray(0, headBytes));
  head[1] = (head[1] ?? 0) | 0x80;
  return Buffer.concat([head, Buffer.alloc(4), plain.subarray(headBytes)]);
}

function plainFrame(payload: string): Buffer {
  const { length } = payload;
  const head = length < 126 ? [0x81, length] : [0x81, 126, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Buffer.from(head), Buffer.from(payload, "latin1")]);
}

/** Opens many, some at a time. */
export async function openWebSockets(port: number, count: number): Promise<RawWebSocket[]> {
  const sockets: RawWebSocket[] = [];
  while (sockets.length < count) {
    const batch = Math.min(100, count - sockets.length);
    sockets.push(...(await Promise.all(Array.from({ length: batch }, () => openWebSocket(port)))));
  }
  return sockets;
}
