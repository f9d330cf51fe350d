/** Reads HTTP/1.1 messages in pieces of any size, for peers that trust nothing: what is odd is thrown. */

/** The head of a request or of an answer. */
export interface MessageHead {
  /** Request line or status line. */
  readonly first: string;
  /** By lower-case name; of repeated ones the last. */
  readonly fields: ReadonlyMap<string, string>;
}

/** How a body ends; `interim`: another head follows; `raw`: everything else is no HTTP. */
export type Framing =
  | { readonly kind: "length"; readonly bytes: number }
  | { readonly kind: "chunked" | "until-close" | "interim" | "raw" };

export interface MessageListener {
  onHead(head: MessageHead): Framing;
  onBody(piece: Buffer): void;
  /** The message is complete; the next one may follow. */
  onEnd(): void;
}

export interface MessageReader {
  /** @throws Error what is wrong with it */
  push(bytes: Buffer): void;
  /** The connection has ended. @returns whether nothing was missing of the message that had begun */
  close(): boolean;
}

type State = "head" | "length" | "size" | "data" | "data-end" | "trailer" | "until-close" | "raw";

interface Reading {
  readonly listener: MessageListener;
  state: State;
  /** A line or head that has begun. */
  kept: Buffer | null;
  leftBytes: number;
}

const LINE_MAX_BYTES = 65_536;

export function createMessageReader(listener: MessageListener): MessageReader {
  const reading: Reading = { listener, state: "head", kept: null, leftBytes: 0 };
  return {
    push(bytes) {
      let rest: Buffer | null = bytes;
      while (rest !== null && rest.length > 0) rest = step(reading, rest);
    },
    close() {
      if (reading.state === "until-close") {
        reading.state = "head";
        listener.onEnd();
        return true;
      }
      return reading.state === "raw" || (reading.state === "head" && reading.kept === null);
    },
  };
}

function step(reading: Reading, bytes: Buffer): Buffer | null {
  switch (reading.state) {
    case "head":
      return upTo(reading, bytes, "\r\n\r\n", (text) => begin(reading, text));
    case "length":
    case "data":
      return takeData(reading, bytes);
    case "size":
      return upTo(reading, bytes, "\r\n", (text) => beginChunk(reading, text));
    case "data-end":
      return upTo(reading, bytes, "\r\n", (text) => {
        if (text !== "") throw new Error(`"${text.slice(0, 40)}" behind a chunk`);
        reading.state = "size";
      });
    case "trailer":
      return upTo(reading, bytes, "\r\n", (text) => {
        if (text === "") finish(reading);
      });
    case "until-close":
    case "raw":
      reading.listener.onBody(bytes);
      return null;
  }
}

/** Takes text up to `end`. @returns what stands behind it; `null`: its end has not come yet */
function upTo(
  reading: Reading,
  bytes: Buffer,
  end: string,
  onText: (text: string) => void,
): Buffer | null {
  const all = reading.kept === null ? bytes : Buffer.concat([reading.kept, bytes]);
  const at = all.indexOf(end);
  if (at === -1) {
    if (all.length > LINE_MAX_BYTES) throw new Error("a line without an end");
    reading.kept = all;
    return null;
  }
  reading.kept = null;
  onText(all.toString("latin1", 0, at));
  return all.subarray(at + end.length);
}

function begin(reading: Reading, text: string): void {
  const [first = "", ...lines] = text.split("\r\n");
  const fields = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`"${line.slice(0, 40)}" is no header`);
    fields.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  const framing = reading.listener.onHead({ first, fields });
  switch (framing.kind) {
    case "length":
      reading.leftBytes = framing.bytes;
      reading.state = "length";
      if (framing.bytes === 0) finish(reading);
      return;
    case "chunked":
      reading.state = "size";
      return;
    case "interim":
      return;
    case "until-close":
    case "raw":
      reading.state = framing.kind;
  }
}

function beginChunk(reading: Reading, text: string): void {
  if (!/^[0-9a-f]{1,8}$/i.test(text)) throw new Error(`"${text.slice(0, 40)}" is no chunk size`);
  reading.leftBytes = Number.parseInt(text, 16);
  reading.state = reading.leftBytes === 0 ? "trailer" : "data";
}

function takeData(reading: Reading, bytes: Buffer): Buffer | null {
  const taken = Math.min(reading.leftBytes, bytes.length);
  reading.leftBytes -= taken;
  reading.listener.onBody(taken === bytes.length ? bytes : bytes.subarray(0, taken));
  if (reading.leftBytes === 0) {
    if (reading.state === "length") finish(reading);
    else reading.state = "data-end";
  }
  return taken === bytes.length ? null : bytes.subarray(taken);
}

function finish(reading: Reading): void {
  reading.state = "head";
  reading.listener.onEnd();
}

/** The framing that a head's own fields announce; `null`: none. */
export function announcedFraming({ fields }: MessageHead): Framing | null {
  const coding = fields.get("transfer-encoding");
  const length = fields.get("content-length");
  if (coding !== undefined && length !== undefined) throw new Error("two framings in one head");
  if (coding?.toLowerCase() === "chunked") return { kind: "chunked" };
  if (coding !== undefined) throw new Error(`Transfer-Encoding: ${coding}`);
  if (length === undefined) return null;
  if (!/^\d+$/.test(length)) throw new Error(`Content-Length: ${length}`);
  return { kind: "length", bytes: Number(length) };
}

/** One chunk around a piece. */
export function chunkOf(piece: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${piece.length.toString(16)}\r\n`), piece, LINE_END]);
}

const LINE_END = Buffer.from("\r\n");

export const LAST_CHUNK = Buffer.from("0\r\n\r\n");
