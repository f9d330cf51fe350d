/** One keep-alive connection that asks the same again and again, and knows where an answer ends. */

import { connectRaw } from "./raw-client.ts";

/** An answer as far as the load looks at it. */
export interface Answer {
  readonly status: number;
  /** Without its framing. */
  readonly bodyBytes: number;
  /** Head, in latin1. */
  readonly head: string;
}

/** A connection. One request at a time. */
export interface HttpClient {
  /** @throws Error when the connection ends before the answer does */
  ask(request: Uint8Array): Promise<Answer>;
  close(): void;
  readonly isOver: boolean;
}

interface Reading {
  head: string | null;
  seen: Buffer | null;
  status: number;
  /** What is still to come; `null`: the answer comes in chunks. */
  left: number | null;
  bodyBytes: number;
  tail: string;
}

/** The bytes of a request without a body. */
export function requestOf(path: string, host: string, fields: readonly string[] = []): Buffer {
  const lines = [`GET ${path} HTTP/1.1`, `Host: ${host}`, ...fields, "", ""];
  return Buffer.from(lines.join("\r\n"), "latin1");
}

/** Connects to a port of this machine. @throws Error when that fails */
export async function connectHttp(port: number): Promise<HttpClient> {
  let waiting: { resolve(answer: Answer): void; reject(error: Error): void } | null = null;
  let reading = fresh();
  const raw = await connectRaw(port, {
    onBytes(bytes) {
      if (!takes(reading, bytes)) return;
      const { status, bodyBytes, head } = reading;
      reading = fresh();
      const done = waiting;
      waiting = null;
      done?.resolve({ status, bodyBytes, head: head ?? "" });
    },
    onOver() {
      waiting?.reject(new Error("the connection ended before the answer did"));
      waiting = null;
    },
  });
  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        if (raw.isOver) return reject(new Error("the connection is over"));
        waiting = { resolve, reject };
        raw.send(request);
      }),
    close: raw.close,
    get isOver() {
      return raw.isOver;
    },
  };
}

function fresh(): Reading {
  return { head: null, seen: null, status: 0, left: 0, bodyBytes: 0, tail: "" };
}

/** @returns whether the answer is complete */
function takes(reading: Reading, bytes: Buffer): boolean {
  if (reading.head !== null) return takesBody(reading, bytes);
  const seen = reading.seen === null ? bytes : Buffer.concat([reading.seen, bytes]);
  const end = seen.indexOf("\r\n\r\n");
  if (end < 0) {
    reading.seen = seen;
    return false;
  }
  const head = seen.toString("latin1", 0, end + 2);
  reading.head = head;
  reading.status = Number(head.slice(9, 12));
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  const isChunked = length === undefined && /^transfer-encoding: *chunked/im.test(head);
  reading.left = isChunked ? null : Number(length ?? 0);
  return takesBody(reading, seen.subarray(end + 4));
}

function takesBody(reading: Reading, bytes: Buffer): boolean {
  reading.bodyBytes += bytes.length;
  if (reading.left !== null) {
    reading.left -= bytes.length;
    return reading.left <= 0;
  }
  // A body that has this inside, at the end of what arrives together, would end too early: none of ours has.
  reading.tail = (reading.tail + bytes.toString("latin1", Math.max(0, bytes.length - 7))).slice(-7);
  return (
    reading.tail.endsWith("\r\n0\r\n\r\n") ||
    (reading.bodyBytes === 5 && reading.tail === "0\r\n\r\n")
  );
}
