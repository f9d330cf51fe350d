/**
 * Random bytes for the HTTP/1.1 readers: they never throw, agree with a slow simple reader, and say the same
 * however the bytes are cut. A failure names its seed: `PAASTIS_SEED=<seed> bun test test/http1-fuzz.test.ts`
 * plays the whole run again, and
 * `FUZZ_ROUNDS=9000` makes it so much longer.
 */

import { afterAll, expect, test } from "bun:test";
import fc from "fast-check";
import { type ChunkLimits, createChunkScanner } from "../src/engines/http1-chunks.ts";
import { answerFraming, requestFraming } from "../src/engines/http1-framing.ts";
import {
  createRequestHeadReader,
  createResponseHeadReader,
  type HeadLimits,
  type HeadReader,
  type HeadResult,
  type Http1RequestHead,
  type Http1ResponseHead,
  type MessageHead,
} from "../src/engines/http1-head.ts";
import {
  chunkedBody,
  chunkLimits,
  cut,
  headLimits,
  mutate,
  request,
  response,
  text,
} from "./support/http1-messages.ts";
import {
  type Reference,
  type ReferenceHead,
  referenceChunks,
  referenceLength,
  referenceRequest,
  referenceResponse,
} from "./support/http1-reference.ts";
import { type Chance, createChance } from "./support/random.ts";

const SEED = Number(process.env.PAASTIS_SEED ?? Math.floor(Math.random() * 2 ** 31));
/** Mutants of every message that fast-check makes: its own work is shared by so many cases. */
const MUTANTS = 16;
const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 2_500);
const CASES_MIN = 3 * MUTANTS * ROUNDS;

let cases = 0;

/** Runs a property; a failure says how to play it again, and shows the smallest message found. */
function hold<T>(arbitrary: fc.Arbitrary<T>, runs: number, property: (value: T) => void): void {
  const result = fc.check(fc.property(arbitrary, property), { seed: SEED, numRuns: runs });
  if (!result.failed) return;
  const why = result.errorInstance instanceof Error ? result.errorInstance.message : "";
  throw new Error(`replay with PAASTIS_SEED=${SEED}\n${fc.defaultReportMessage(result)}\n${why}`);
}

function bytesOf(text: string): Buffer {
  return Buffer.from(text, "latin1");
}

/** Fails with the bytes that were read. */
function mustEqual(found: unknown, wanted: unknown, text: string): void {
  if (Bun.deepEquals(found, wanted, true)) return;
  throw new Error(
    `${JSON.stringify(text)}\n  found  ${JSON.stringify(found)}\n  wanted ${JSON.stringify(wanted)}`,
  );
}

const seed = fc.integer({ min: 0, max: 2 ** 31 - 1 });

// ---- heads

/** Reads in pieces until something other than `incomplete` comes; `end` counts from the first byte. */
function readPieces<H>(reader: HeadReader<H>, pieces: readonly Buffer[]): HeadResult<H> {
  let before = 0;
  for (const piece of pieces) {
    const result = reader.read(piece, 0);
    if (result.kind === "head") return { ...result, end: before + result.end };
    if (result.kind === "refused") return result;
    before += piece.length;
  }
  return { kind: "incomplete" };
}

interface HeadSubject<H extends MessageHead> {
  readonly create: (limits: HeadLimits) => HeadReader<H>;
  readonly reference: (text: string, limits: HeadLimits) => Reference<ReferenceHead>;
  /** The same words as the reference's `first`. */
  readonly first: (head: H) => readonly string[];
  readonly framing: (head: H) => number | "chunked" | "none" | null;
  /** Whether the head shows such a field. */
  readonly shows: (first: readonly string[], name: string) => boolean;
}

const REQUESTS: HeadSubject<Http1RequestHead> = {
  create: createRequestHeadReader,
  reference: referenceRequest,
  first: (head) => [head.method, head.target, String(head.minor)],
  framing: (head) => {
    const framing = requestFraming(head, Number.MAX_SAFE_INTEGER);
    if ("why" in framing) return null;
    return framing.kind === "length" ? framing.bytes : framing.kind;
  },
  shows: () => true,
};

const RESPONSES: HeadSubject<Http1ResponseHead> = {
  create: createResponseHeadReader,
  reference: referenceResponse,
  first: (head) => [String(head.minor), String(head.status), head.reason],
  framing: (head) => {
    // With a status that leaves all to the fields.
    const framing = answerFraming({ ...head, status: 200 }, "GET");
    if ("why" in framing) return null;
    if (framing.kind === "length") return framing.bytes;
    return framing.kind === "until-close" ? "none" : framing.kind;
  },
  shows: ([, status = ""], name) =>
    !(/^1|^204/.test(status) && /^(content-length|transfer-encoding)$/i.test(name)),
};

const KINDS = { read: "head", refused: "refused", unfinished: "incomplete" } as const;

function checkHead<H extends MessageHead>(
  subject: HeadSubject<H>,
  {
    bytes,
    limits,
    chance,
  }: { readonly bytes: string; readonly limits: HeadLimits; readonly chance: Chance },
): void {
  cases += 1;
  const whole = subject.create(limits).read(bytesOf(bytes), 0);
  const inPieces = readPieces(subject.create(limits), cut(bytesOf(bytes), chance));
  mustEqual(inPieces, whole, bytes);
  const wanted = subject.reference(bytes, limits);
  mustEqual(whole.kind, KINDS[wanted.kind], bytes);
  if (whole.kind !== "head" || wanted.kind !== "read") return;
  mustEqual(whole.end, wanted.end, bytes);
  const { first, fields } = wanted.value;
  mustEqual(subject.first(whole.head), first, bytes);
  mustEqual(
    whole.head.fields,
    fields
      .filter(([name]) => subject.shows(first, name))
      .map(([name, value]) => ({ name: name.toLowerCase(), value, line: `${name}: ${value}` })),
    bytes,
  );
  const length = referenceLength(wanted.value, String(whole.head.minor));
  mustEqual(subject.framing(whole.head), length, bytes);
}

test("fuzz: heads of requests are read as by the slow reader, however they are cut", () => {
  hold(fc.tuple(request, headLimits, seed), ROUNDS, ([message, limits, chosen]) => {
    const chance = createChance(chosen);
    for (let count = 0; count < MUTANTS; count += 1) {
      const bytes = count === 0 ? message : mutate(message, chance);
      checkHead(REQUESTS, { bytes, limits, chance });
    }
  });
}, 60_000);

test("fuzz: heads of answers are read as by the slow reader, however they are cut", () => {
  hold(fc.tuple(response, headLimits, seed), ROUNDS, ([message, limits, chosen]) => {
    const chance = createChance(chosen);
    for (let count = 0; count < MUTANTS; count += 1) {
      const bytes = count === 0 ? message : mutate(message, chance);
      checkHead(RESPONSES, { bytes, limits, chance });
    }
  });
}, 60_000);

// ---- chunks

function followChunks(pieces: readonly Buffer[], limits: ChunkLimits) {
  const scanner = createChunkScanner(limits);
  let data = "";
  let before = 0;
  for (const piece of pieces) {
    const result = scanner.feed(piece, 0, (bytes, from, end) => {
      data += bytes.toString("latin1", from, end);
    });
    if (result.kind === "done") return { ...result, end: before + result.end, data };
    if (result.kind === "refused") return { ...result, data };
    before += piece.length;
  }
  if (scanner.dataBytes !== data.length) throw new Error("data was counted wrongly");
  return { kind: "more" as const, data };
}

function checkChunks(bytes: string, limits: ChunkLimits, chance: Chance): void {
  cases += 1;
  const whole = followChunks([bytesOf(bytes)], limits);
  mustEqual(followChunks(cut(bytesOf(bytes), chance), limits), whole, bytes);
  const wanted = referenceChunks(bytes, limits);
  const kinds = { read: "done", refused: "refused", unfinished: "more" } as const;
  mustEqual(whole.kind, kinds[wanted.kind], bytes);
  if (whole.kind !== "done" || wanted.kind !== "read") return;
  mustEqual(
    { data: whole.data, end: whole.end, trailers: whole.trailers.map(({ line }) => line) },
    {
      data: wanted.value.data,
      end: wanted.end,
      trailers: wanted.value.trailers.map(([name, value]) => `${name}: ${value}`),
    },
    bytes,
  );
}

test("fuzz: chunked bodies are followed as by the slow reader, however they are cut", () => {
  hold(fc.tuple(chunkedBody, chunkLimits, seed), ROUNDS, ([body, limits, chosen]) => {
    const chance = createChance(chosen);
    for (let count = 0; count < MUTANTS; count += 1) {
      checkChunks(count === 0 ? body : mutate(body, chance), limits, chance);
    }
  });
}, 60_000);

// ---- whole connections

interface Sent {
  readonly target: string;
  readonly body: string;
}

interface Sending extends Sent {
  readonly as: string;
  readonly emptyLines: string;
}

const sent: fc.Arbitrary<Sending> = fc.record({
  target: fc.string({ unit: fc.constantFrom(..."abc/?%") }).map((path) => `/${path}`),
  body: fc.oneof(
    text,
    fc.constantFrom("", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", "0\r\n\r\n"),
  ),
  as: fc.constantFrom("length", "chunked", "none"),
  emptyLines: fc.constantFrom("", "", "\r\n", "\r\n\r\n"),
});

function written({ target, body, as, emptyLines }: Sending, chance: Chance): string {
  const head = `${emptyLines}POST ${target} HTTP/1.1\r\nHost: a\r\n`;
  if (as === "none") return `${head}\r\n`;
  if (as === "length") return `${head}Content-Length: ${body.length}\r\n\r\n${body}`;
  let chunks = "";
  for (const part of cut(bytesOf(body), chance)) {
    if (part.length > 0) chunks += `${part.length.toString(16)}\r\n${part.toString("latin1")}\r\n`;
  }
  return `${head}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`;
}

/** Reads what an engine would read from one connection: head, framing, body, and so on. */
function readConnection(pieces: readonly Buffer[]): Sent[] {
  const reader = createRequestHeadReader({
    headBytesMax: 4096,
    lineBytesMax: 1024,
    fieldLinesMax: 50,
  });
  const read: { target: string; body: string }[] = [];
  let left = 0;
  let scanner: ReturnType<typeof createChunkScanner> | null = null;
  for (const piece of pieces) {
    let at = 0;
    while (at < piece.length) {
      const last = read.at(-1);
      if (last !== undefined && scanner !== null) {
        const result = scanner.feed(piece, at, (bytes, from, end) => {
          last.body += bytes.toString("latin1", from, end);
        });
        if (result.kind === "refused") throw new Error(result.refusal.why);
        if (result.kind === "done") scanner = null;
        at = result.kind === "done" ? result.end : piece.length;
      } else if (last !== undefined && left > 0) {
        const end = Math.min(piece.length, at + left);
        last.body += piece.toString("latin1", at, end);
        left -= end - at;
        at = end;
      } else {
        const result = reader.read(piece, at);
        if (result.kind === "refused") throw new Error(result.refusal.why);
        if (result.kind === "incomplete") break;
        const framing = requestFraming(result.head, 10_000);
        if ("why" in framing) throw new Error(framing.why);
        read.push({ target: result.head.target, body: "" });
        left = framing.kind === "length" ? framing.bytes : 0;
        scanner = framing.kind === "chunked" ? createChunkScanner(CONNECTION_LIMITS) : null;
        at = result.end;
      }
    }
  }
  return read;
}

const CONNECTION_LIMITS: ChunkLimits = {
  dataBytesMax: 10_000,
  extensionBytesMax: 100,
  trailerBytesMax: 100,
  trailerLinesMax: 5,
};

test("fuzz: requests on one connection come out as they went in, however they are cut", () => {
  const several = fc.array(sent, { minLength: 1, maxLength: 5 });
  hold(fc.tuple(several, seed), ROUNDS, ([requests, chosen]) => {
    const chance = createChance(chosen);
    const stream = requests.map((one) => written(one, chance)).join("");
    const wanted = requests.map(({ target, body, as }) => ({
      target,
      body: as === "none" ? "" : body,
    }));
    for (let count = 0; count < 4; count += 1) {
      cases += 1;
      mustEqual(readConnection(cut(bytesOf(stream), chance)), wanted, stream);
    }
  });
}, 60_000);

afterAll(() => {
  expect(cases).toBeGreaterThanOrEqual(CASES_MIN);
});
