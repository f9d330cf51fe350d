/** Turns what a child prints into log lines, however long, fast or broken its output is. */

import { type Clock, sleep } from "../clock.ts";

/** Where lines go, and what is told when some were left out. */
export interface OutputSink {
  line(text: string): void;
  /** @param count lines that were not passed on because there were too many in one second */
  omitted(count: number): void;
}

/** The reading of one stream. */
export interface OutputReading {
  /** Resolves when the stream has ended and all was passed on, or after `stop`. Never rejects. */
  readonly done: Promise<void>;
  /** The child has ended: reads what is left without slowing anybody down. */
  hurry(): void;
  /** Passes on what has arrived and lets go of the stream, although somebody may still hold its other end. */
  stop(): void;
}

/** Longer lines are cut, in bytes. */
export const LINE_BYTES_MAX = 16 * 1024;

/** More lines in one second are counted and left out: the log must not take the proxy's time. */
export const LINES_PER_SECOND_MAX = 2_000;

/** More in one second is left in the pipe until the second is over; the child waits when that is full. */
export const BYTES_PER_SECOND_MAX = 4 * 1024 * 1024;

/** How much of what was left out is kept at hand for the last words. */
const TAIL_BYTES = 2 * 1024;

/** How many lines `createTail` keeps. */
const TAIL_LINES_MAX = 20;

/** A line is kept at most so long for the last words, in characters. */
const TAIL_LINE_CHARACTERS_MAX = 500;

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const SECOND_MS = 1_000;

interface Reader {
  readonly clock: Clock;
  readonly sink: OutputSink;
  readonly tail: OutputTail;
  readonly hurrying: AbortSignal;
  /** The beginning of a line that is not yet complete; never longer than `LINE_BYTES_MAX`. */
  held: Uint8Array;
  /** Bytes of that line that were cut off. */
  cutBytes: number;
  secondBeganMs: number;
  linesInSecond: number;
  bytesInSecond: number;
  omitted: number;
}

/** The last lines a child printed, on whichever stream. */
export interface OutputTail {
  add(line: string): void;
  /** The newest lines that fit into `charactersMax`, oldest first, harmless to show, joined by ` | ` if not otherwise. */
  text(charactersMax: number, separator?: string): string;
}

/** Keeps the last lines of a child's output for the message that explains its end. */
export function createTail(): OutputTail {
  const lines: string[] = [];
  return {
    add(line) {
      lines.push(line.slice(0, TAIL_LINE_CHARACTERS_MAX));
      if (lines.length > TAIL_LINES_MAX) lines.shift();
    },
    text: (charactersMax, separator = " | ") => joinNewest(lines, charactersMax, separator),
  };
}

/**
 * Reads a child's stream to its end, line by line. Invalid UTF-8 becomes U+FFFD. Memory stays bounded: a long
 * line is cut, and a child that prints too fast is slowed down.
 */
export function readOutput(
  stream: ReadableStream<Uint8Array>,
  deps: { readonly clock: Clock; readonly sink: OutputSink; readonly tail: OutputTail },
): OutputReading {
  const stopping = new AbortController();
  const hurrying = new AbortController();
  const reader: Reader = {
    ...deps,
    hurrying: hurrying.signal,
    held: new Uint8Array(0),
    cutBytes: 0,
    secondBeganMs: deps.clock.now(),
    linesInSecond: 0,
    bytesInSecond: 0,
    omitted: 0,
  };
  return {
    done: readAll(stream, reader, stopping.signal),
    hurry: () => hurrying.abort(),
    stop() {
      hurrying.abort();
      stopping.abort();
    },
  };
}

async function readAll(
  stream: ReadableStream<Uint8Array>,
  reader: Reader,
  stopping: AbortSignal,
): Promise<void> {
  const source = stream.getReader();
  const cancel = () => void source.cancel().catch(() => undefined);
  stopping.addEventListener("abort", cancel, { once: true });
  try {
    for (;;) {
      const { value, done } = await source.read();
      if (done) break;
      takeChunk(reader, value);
      await keepPace(reader);
    }
  } catch {
    // The stream broke off or was let go: what has arrived is all there is.
  } finally {
    stopping.removeEventListener("abort", cancel);
    cancel();
    if (reader.held.length > 0) takeLine(reader, new Uint8Array(0));
    reportOmitted(reader);
  }
}

function takeChunk(reader: Reader, chunk: Uint8Array): void {
  beginSecondIfDue(reader);
  reader.bytesInSecond += chunk.length;
  const omittedBefore = reader.omitted;
  let begin = 0;
  for (;;) {
    const end = chunk.indexOf(NEWLINE, begin);
    if (end === -1) break;
    takeLine(reader, chunk.subarray(begin, end));
    begin = end + 1;
  }
  hold(reader, chunk.subarray(begin));
  if (reader.omitted > omittedBefore) rememberTail(reader, chunk);
}

/** Passes on the held beginning and `rest` as one line, unless there were too many in this second. */
function takeLine(reader: Reader, rest: Uint8Array): void {
  reader.linesInSecond += 1;
  if (reader.linesInSecond > LINES_PER_SECOND_MAX) {
    reader.omitted += 1;
  } else {
    hold(reader, rest);
    const text = textOfHeld(reader);
    reader.tail.add(text);
    reader.sink.line(text);
  }
  reader.held = new Uint8Array(0);
  reader.cutBytes = 0;
}

function hold(reader: Reader, bytes: Uint8Array): void {
  if (bytes.length === 0) return;
  const taken = bytes.subarray(0, LINE_BYTES_MAX - reader.held.length);
  // Copied: a view would keep the whole chunk in memory.
  reader.held = Buffer.concat([reader.held, taken]);
  reader.cutBytes += bytes.length - taken.length;
}

function textOfHeld(reader: Reader): string {
  const { held, cutBytes } = reader;
  if (cutBytes > 0) {
    // As a stream, a character that the cut went through is dropped rather than shown as broken.
    return `${new TextDecoder().decode(held, { stream: true })}… (${cutBytes} bytes cut off)`;
  }
  const end = held.at(-1) === CARRIAGE_RETURN ? held.length - 1 : held.length;
  return new TextDecoder().decode(held.subarray(0, end));
}

/** What was left out of the log may still be what explains the end. */
function rememberTail(reader: Reader, chunk: Uint8Array): void {
  const complete = chunk.subarray(0, chunk.lastIndexOf(NEWLINE) + 1);
  const lines = new TextDecoder().decode(complete.subarray(-TAIL_BYTES)).trimEnd().split("\n");
  for (const line of lines.slice(-TAIL_LINES_MAX)) reader.tail.add(line);
}

async function keepPace(reader: Reader): Promise<void> {
  if (reader.bytesInSecond < BYTES_PER_SECOND_MAX || reader.hurrying.aborted) return;
  const leftMs = reader.secondBeganMs + SECOND_MS - reader.clock.now();
  // Rejects when it is time to hurry: the pause is over then, too.
  if (leftMs > 0) await sleep(reader.clock, leftMs, reader.hurrying).catch(() => undefined);
  beginSecondIfDue(reader);
}

function beginSecondIfDue(reader: Reader): void {
  const nowMs = reader.clock.now();
  // A clock that was set back also begins a new second.
  if (nowMs >= reader.secondBeganMs && nowMs < reader.secondBeganMs + SECOND_MS) return;
  reportOmitted(reader);
  reader.secondBeganMs = nowMs;
  reader.linesInSecond = 0;
  reader.bytesInSecond = 0;
}

function reportOmitted(reader: Reader): void {
  if (reader.omitted === 0) return;
  reader.sink.omitted(reader.omitted);
  reader.omitted = 0;
}

function joinNewest(lines: readonly string[], charactersMax: number, separator: string): string {
  let text = "";
  for (const line of lines.toReversed()) {
    const shown = harmless(line);
    if (shown === "") continue;
    const longer = text === "" ? shown : `${shown}${separator}${text}`;
    if (longer.length > charactersMax) return text === "" ? shown.slice(0, charactersMax) : text;
    text = longer;
  }
  return text;
}

/** Without colours, cursor movements and other control characters. */
function harmless(line: string): string {
  return Bun.stripANSI(line)
    .replaceAll("\t", " ")
    .replaceAll(/\p{Cc}/gu, "")
    .trim();
}
