/** One request to the app under load, with everything needed to know the right answer to it. */

import { crc32 } from "node:zlib";
import type { Chance } from "../support/random.ts";
import { chunkOf, LAST_CHUNK, type MessageHead } from "./message-reader.ts";
import { firstWrongByte, type Noise, PIECE_MAX_BYTES, pieceOf } from "./noise.ts";

/** What is asked, and what must come back. */
export interface LoadRequest {
  readonly app: string;
  readonly method: "GET" | "POST" | "HEAD";
  readonly target: string;
  /** No two requests have the same. */
  readonly tag: string;
  readonly status: number;
  /** The seed of its body and of the answer's. */
  readonly seed: number;
  readonly bodyBytes: number;
  readonly bodyFraming: "none" | "length" | "chunked";
  /** What the answer's body is; `json`: what the app has seen of our body. */
  readonly wanted: "noise" | "json" | "nothing" | "events";
  readonly wantedBytes: number;
  readonly wantedFraming: "length" | "chunked" | "until-close" | "none";
}

/** What a request may be. */
export interface Appetite {
  readonly bytesMax: number;
  /** Only the connection's end says where these answers end: a killed app's look complete. */
  readonly withUntilClose: boolean;
  /** Without a body, and nothing that ends connections. */
  readonly isPlain?: boolean;
}

/** One in so many is large. */
const LARGE_SHARE = 0.01;

/** @param number makes the tag: no two alike */
export function drawRequest(
  chance: Chance,
  app: string,
  number: number,
  appetite: Appetite,
): LoadRequest {
  const seed = chance.between(0, 2 ** 31);
  const common = { app, seed, tag: `${app}-${number}-${seed}`, status: 200 };
  const kind = chance.next();
  if (kind < 0.05) return statusRequest(chance, common);
  if (kind < 0.1) return eventsRequest(chance, common);
  if (kind < 0.4 && appetite.isPlain !== true) return sumRequest(chance, common, appetite);
  return blobRequest(chance, common, appetite);
}

type Common = Pick<LoadRequest, "app" | "seed" | "tag" | "status">;

const NO_BODY = { bodyBytes: 0, bodyFraming: "none" } as const;

function statusRequest(chance: Chance, common: Common): LoadRequest {
  const status = chance.oneOf([200, 204, 304, 404, 500]);
  return {
    ...common,
    ...NO_BODY,
    method: "GET",
    target: `/status?status=${status}`,
    status,
    wanted: "nothing",
    wantedBytes: 0,
    wantedFraming: status === 204 || status === 304 ? "none" : "length",
  };
}

function eventsRequest(chance: Chance, common: Common): LoadRequest {
  const count = chance.between(1, 5);
  return {
    ...common,
    ...NO_BODY,
    method: "GET",
    target: `/events?count=${count}&gapMs=${chance.between(0, 5)}`,
    wanted: "events",
    wantedBytes: count,
    wantedFraming: "chunked",
  };
}

function sumRequest(chance: Chance, common: Common, { bytesMax }: Appetite): LoadRequest {
  return {
    ...common,
    method: "POST",
    target: `/sum?seed=${common.seed}&x=${chance.between(0, 9)}`,
    bodyBytes: drawBytes(chance, bytesMax),
    bodyFraming: chance.oneOf(["length", "chunked"]),
    wanted: "json",
    wantedBytes: 0,
    wantedFraming: "length",
  };
}

function blobRequest(chance: Chance, common: Common, appetite: Appetite): LoadRequest {
  const bytes = drawBytes(chance, appetite.bytesMax);
  const framing =
    appetite.withUntilClose && chance.happens(0.1)
      ? "until-close"
      : chance.oneOf<"length" | "chunked">(["length", "chunked"]);
  const isHead = chance.happens(0.1);
  const closing = chance.happens(0.05) && appetite.isPlain !== true ? "&close=1" : "";
  return {
    ...common,
    ...NO_BODY,
    method: isHead ? "HEAD" : "GET",
    target: `/blob?seed=${common.seed}&bytes=${bytes}&framing=${framing}${closing}`,
    wanted: "noise",
    wantedBytes: isHead ? 0 : bytes,
    wantedFraming: framing,
  };
}

/** Mostly small, sometimes about as large as buffers are, seldom large. */
function drawBytes(chance: Chance, max: number): number {
  if (chance.happens(LARGE_SHARE)) return Math.min(max, chance.between(0, 4_000_000));
  const limit = chance.oneOf([1, 1_000, 1_000, 16_400, 70_000, 300_000]);
  return Math.min(max, chance.between(0, limit));
}

/** The head as it is sent. */
export function requestHead(request: LoadRequest): Buffer {
  const { method, target, app, tag, bodyFraming, bodyBytes } = request;
  const lines = [`${method} ${target} HTTP/1.1`, `Host: ${app}.example`, `X-Tag: ${tag}`];
  if (bodyFraming === "length") lines.push(`Content-Length: ${bodyBytes}`);
  if (bodyFraming === "chunked") lines.push("Transfer-Encoding: chunked");
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "latin1");
}

/** The body as it is sent, in pieces whose sizes are up to chance. */
export function* requestBody(noise: Noise, chance: Chance, request: LoadRequest) {
  const { bodyBytes, bodyFraming, seed } = request;
  if (bodyFraming === "none") return;
  const pieceMax = chance.oneOf([100, 5_000, PIECE_MAX_BYTES, PIECE_MAX_BYTES]);
  const least = Math.max(1, Math.floor(bodyBytes / 50));
  for (let at = 0; at < bodyBytes; ) {
    const bytes = Math.max(least, chance.between(1, pieceMax));
    const piece = pieceOf(noise, seed, at, Math.min(bytes, bodyBytes - at));
    at += piece.length;
    yield bodyFraming === "chunked" ? chunkOf(piece) : piece;
  }
  if (bodyFraming === "chunked") yield LAST_CHUNK;
}

/** Checks an answer's head against its request. @returns what is wrong with it; `null`: nothing */
export function headFault(request: LoadRequest, head: MessageHead, exact: boolean): string | null {
  const { fields } = head;
  const status = Number(head.first.split(" ")[1]);
  if (fields.get("x-tag") !== request.tag) return `it belongs to ${fields.get("x-tag")}`;
  if (fields.get("x-target") !== request.target) return `asked ${fields.get("x-target")}`;
  if (status !== request.status) return `status ${status}`;
  if (!exact) return null;
  const length = fields.get("content-length");
  const coding = fields.get("transfer-encoding");
  const wantsLength = request.wantedFraming === "length";
  if (wantsLength !== (length !== undefined)) return `Content-Length: ${length}`;
  const wantsChunks = request.wantedFraming === "chunked";
  const isUntilClose = request.wantedFraming === "until-close";
  if (!isUntilClose && wantsChunks !== (coding !== undefined)) return `coding: ${coding}`;
  return null;
}

/** Follows an answer's body. */
export interface BodyCheck {
  piece(bytes: Buffer): void;
  /** @returns what is wrong with the whole; `null`: nothing */
  end(): string | null;
  /** What is wrong with what came until now; `null`: nothing */
  readonly fault: string | null;
  readonly bytes: number;
}

export function checkBody(noise: Noise, request: LoadRequest): BodyCheck {
  const texts: Buffer[] = [];
  const state = { bytes: 0, fault: null as string | null };
  const isNoise = request.wanted === "noise";
  return {
    get fault() {
      return state.fault;
    },
    get bytes() {
      return state.bytes;
    },
    piece(bytes) {
      if (isNoise) {
        const at = firstWrongByte(noise, request.seed, state.bytes, bytes);
        if (at !== null) state.fault ??= `byte ${at} of ${request.wantedBytes} is wrong`;
      } else texts.push(Buffer.from(bytes));
      state.bytes += bytes.length;
    },
    end() {
      if (state.fault !== null) return state.fault;
      if (isNoise || request.wanted === "nothing") {
        return state.bytes === request.wantedBytes ? null : `${state.bytes} bytes came`;
      }
      const text = Buffer.concat(texts).toString();
      return request.wanted === "json"
        ? sumFault(noise, request, text)
        : eventsFault(request, text);
    },
  };
}

function sumFault(noise: Noise, request: LoadRequest, text: string): string | null {
  let crc = 0;
  for (let at = 0; at < request.bodyBytes; at += PIECE_MAX_BYTES) {
    crc = crc32(pieceOf(noise, request.seed, at, request.bodyBytes - at), crc);
  }
  const right = {
    method: request.method,
    bytes: request.bodyBytes,
    crc,
    wrongAt: null,
    hasChunks: request.bodyFraming === "chunked",
  };
  return text === JSON.stringify(right)
    ? null
    : `the app saw ${text}: not ${JSON.stringify(right)}`;
}

/** Comments mean nothing; the fetch engine begins with one. */
function eventsIn(text: string): string[] {
  const blocks = text.split("\n\n").slice(0, -1);
  return blocks.filter((block) => !block.startsWith(":"));
}

function eventsFault(request: LoadRequest, text: string): string | null {
  const events = eventsIn(text);
  const isRight =
    events.length === request.wantedBytes &&
    events.every((event, id) => {
      const data = JSON.parse(event.slice("data: ".length));
      return data.id === id && data.tag === request.tag;
    });
  return isRight ? null : `events: ${text.slice(0, 200)}`;
}
