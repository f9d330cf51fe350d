/** WebSocket by hand (RFC 6455), for peers that vanish, lie or refuse. */

import { createHash } from "node:crypto";

/** What the server must answer to a client's key. */
export function acceptOf(key: string): string {
  return createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
}

/** A client's upgrade request. */
export function upgradeRequest(target: string, extra = ""): string {
  return [
    `GET ${target} HTTP/1.1`,
    "Host: shop.test",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Version: 13",
    `Sec-WebSocket-Key: ${CLIENT_KEY}`,
    `${extra}\r\n`,
  ].join("\r\n");
}

export const CLIENT_KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** A server's agreement. */
export function upgradeAnswer(key: string, extra = ""): string {
  return [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptOf(key)}`,
    `${extra}\r\n`,
  ].join("\r\n");
}

export const OPCODES = { text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface FrameOptions {
  readonly opcode: number;
  readonly payload?: Uint8Array | string;
  /** Clients mask. */
  readonly masked?: boolean;
  /** More fragments follow. */
  readonly more?: boolean;
}

/** One frame; payloads below 64 KiB. */
export function frame({
  opcode,
  payload = "",
  masked = false,
  more = false,
}: FrameOptions): Buffer {
  const body = Buffer.from(payload);
  const length = body.length < 126 ? [body.length] : [126, body.length >> 8, body.length & 0xff];
  const first = (more ? 0 : 0x80) | opcode;
  const head = [first, (length[0] ?? 0) | (masked ? 0x80 : 0), ...length.slice(1)];
  if (!masked) return Buffer.concat([Buffer.from(head), body]);
  const mask = Buffer.from([1, 2, 3, 4]);
  const hidden = body.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
  return Buffer.concat([Buffer.from(head), mask, hidden]);
}

/** A close frame's payload. */
export function closePayload(code: number, reason = ""): Buffer {
  const payload = Buffer.alloc(2 + Buffer.byteLength(reason));
  payload.writeUInt16BE(code);
  payload.write(reason, 2);
  return payload;
}

export interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
}

/** Whole frames in what was received after the head. Latin-1 in, unmasked out. */
export function framesIn(received: string): Frame[] {
  const bytes = Buffer.from(received, "latin1");
  const frames: Frame[] = [];
  let at = 0;
  while (at + 2 <= bytes.length) {
    const opcode = bytes.readUInt8(at) & 0x0f;
    const second = bytes.readUInt8(at + 1);
    let length = second & 0x7f;
    let from = at + 2;
    if (length === 126) {
      if (bytes.length < from + 2) break;
      length = bytes.readUInt16BE(from);
      from += 2;
    } else if (length === 127) {
      if (bytes.length < from + 8) break;
      length = Number(bytes.readBigUInt64BE(from));
      from += 8;
    }
    const mask = (second & 0x80) === 0 ? null : bytes.subarray(from, from + 4);
    if (mask !== null) from += 4;
    if (bytes.length < from + length) break;
    const raw = bytes.subarray(from, from + length);
    const payload = mask === null ? raw : raw.map((byte, index) => byte ^ (mask[index % 4] ?? 0));
    frames.push({ opcode, payload: Buffer.from(payload) });
    at = from + length;
  }
  return frames;
}
