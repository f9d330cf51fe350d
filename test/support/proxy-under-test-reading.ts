/**
 * Reads what a proxy has sent to an app as the strictest of servers would, and says where another
 * server could read it otherwise.
 */

/** One request, read in the only way there is. All strings Latin-1: one character per byte. */
export interface SentRequest {
  readonly method: string;
  readonly target: string;
  /** As they came, without line ends. */
  readonly lines: readonly string[];
  readonly framing: "none" | "length" | "chunked";
  /** Without chunks. */
  readonly body: string;
  /** Lines behind a chunked body. */
  readonly trailers: readonly string[];
  /** Values of one header, any case. */
  all(name: string): string[];
  header(name: string): string | null;
}

/** What came on one connection. */
export interface SentRequests {
  readonly requests: readonly SentRequest[];
  /** What could be read in two ways, and so must never have been sent; `null`: nothing. */
  readonly ambiguity: string | null;
  /** Bytes of a request that is not complete. */
  readonly unfinished: string;
}

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~\x80-\xff]+) HTTP\/1\.[01]$/;
// Other control bytes in a value are wrong, but no server ends a line at one.
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\0\r\n]*)$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,13})(;[\t -~\x80-\xff]*)?$/;

class Ambiguity extends Error {}

/** Reads all requests of one connection. Never throws. */
export function readSent(received: string): SentRequests {
  const requests: SentRequest[] = [];
  let at = 0;
  try {
    while (at < received.length) {
      const read = readOne(received, at);
      if (read === null) break;
      requests.push(read.request);
      at = read.end;
    }
    return { requests, ambiguity: null, unfinished: received.slice(at) };
  } catch (error) {
    if (!(error instanceof Ambiguity)) throw error;
    return { requests, ambiguity: error.message, unfinished: received.slice(at) };
  }
}

function readOne(text: string, from: number): { request: SentRequest; end: number } | null {
  const headEnd = text.indexOf("\r\n\r\n", from);
  if (headEnd === -1) return null;
  const [first = "", ...lines] = text.slice(from, headEnd).split("\r\n");
  const parts = REQUEST_LINE.exec(first);
  if (parts === null) throw new Ambiguity(`the request line ${JSON.stringify(first)}`);
  for (const line of lines) {
    if (!FIELD_LINE.test(line)) throw new Ambiguity(`the header line ${JSON.stringify(line)}`);
  }
  const all = (name: string) => valuesOf(lines, name);
  if (all("host").length > 1) throw new Ambiguity("more than one Host");
  const body = readBody(text, headEnd + 4, all);
  if (body === null) return null;
  const [, method = "", target = ""] = parts;
  const { framing, data, trailers, end } = body;
  const header = (name: string) => all(name)[0] ?? null;
  const request = { method, target, lines, framing, body: data, trailers, all, header };
  return { request, end };
}

function valuesOf(lines: readonly string[], name: string): string[] {
  const start = `${name.toLowerCase()}:`;
  return lines
    .filter((line) => line.toLowerCase().startsWith(start))
    .map((line) => line.slice(start.length).replace(/^[ \t]+|[ \t]+$/g, ""));
}

interface Body {
  readonly framing: SentRequest["framing"];
  readonly data: string;
  readonly trailers: readonly string[];
  readonly end: number;
}

function readBody(text: string, from: number, all: (name: string) => string[]): Body | null {
  const lengths = all("content-length");
  const codings = all("transfer-encoding");
  if (lengths.length > 0 && codings.length > 0) throw new Ambiguity("a length and a coding");
  if (lengths.length > 1) throw new Ambiguity("more than one Content-Length");
  const [length] = lengths;
  if (length !== undefined) {
    if (!/^\d{1,15}$/.test(length)) throw new Ambiguity(`the length ${JSON.stringify(length)}`);
    const end = from + Number(length);
    if (text.length < end) return null;
    return { framing: "length", data: text.slice(from, end), trailers: [], end };
  }
  if (codings.length === 0) return { framing: "none", data: "", trailers: [], end: from };
  if (codings.join() !== "chunked") throw new Ambiguity(`the coding ${JSON.stringify(codings)}`);
  return readChunks(text, from);
}

function readChunks(text: string, from: number): Body | null {
  let at = from;
  let data = "";
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1) return null;
    const parts = CHUNK_LINE.exec(text.slice(at, lineEnd));
    if (parts === null) {
      throw new Ambiguity(`the chunk line ${JSON.stringify(text.slice(at, lineEnd))}`);
    }
    const size = Number.parseInt(parts[1] ?? "", 16);
    const dataEnd = lineEnd + 2 + size;
    if (size === 0) return readTrailers(text, lineEnd + 2, data);
    if (text.length < dataEnd + 2) return null;
    if (text.slice(dataEnd, dataEnd + 2) !== "\r\n") throw new Ambiguity("the end of a chunk");
    data += text.slice(lineEnd + 2, dataEnd);
    at = dataEnd + 2;
  }
}

function readTrailers(text: string, from: number, data: string): Body | null {
  const trailers: string[] = [];
  let at = from;
  for (;;) {
    const lineEnd = text.indexOf("\r\n", at);
    if (lineEnd === -1) return null;
    const line = text.slice(at, lineEnd);
    at = lineEnd + 2;
    if (line === "") return { framing: "chunked", data, trailers, end: at };
    if (!FIELD_LINE.test(line)) throw new Ambiguity(`the trailer ${JSON.stringify(line)}`);
    trailers.push(line);
  }
}

/** Lines that a proxy may add to a message to say who it is and who asked. */
const OURS = /^(x-forwarded-[a-z]+|via|x-request-id):/i;

/** Lines of a head without those that a proxy may add. */
export function withoutOurs(lines: readonly string[]): string[] {
  return lines.filter((line) => !OURS.test(line));
}
