/**
 * HTTP/1.1 read the simple and slow way, from one whole string with regular expressions, for the
 * fuzzers to compare the real readers with. Shares no code with them.
 */

import type { ChunkLimits } from "../../src/engines/http1-chunks.ts";
import type { HeadLimits } from "../../src/engines/http1-head.ts";

/** `unfinished`: more bytes could make it right. */
export type Reference<T> =
  | { readonly kind: "read"; readonly value: T; readonly end: number }
  | { readonly kind: "refused" }
  | { readonly kind: "unfinished" };

const REFUSED = { kind: "refused" } as const;
const UNFINISHED = { kind: "unfinished" } as const;

const REQUEST_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!"$-~\x80-\xff]+) HTTP\/1\.([01])\r\n$/;
const STATUS_LINE = /^HTTP\/1\.([01]) ([1-9][0-9][0-9])(?: ([\t -~\x80-\xff]*))?\r\n$/;
const FIELD_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)\r\n$/;
const CHUNK_LINE = /^([0-9A-Fa-f]{1,13})(?:;([\t -~\x80-\xff]*))?\r\n$/;
const HOST = /^(?:[0-9A-Za-z._-]+|\[([0-9A-Fa-f:.]+)\])(?::([0-9]{0,5}))?$/;

export interface ReferenceHead {
  readonly first: readonly string[];
  /** Name as it came, and value. */
  readonly fields: readonly (readonly [name: string, value: string])[];
}

/** Whether some ending of `ideal` makes a right line of this beginning of one. */
function canBecome(line: string, form: RegExp, ideal: string): boolean {
  for (let cut = 0; cut <= ideal.length; cut += 1) {
    if (form.test(line + ideal.slice(cut))) return true;
  }
  return false;
}

/** Lines with their ends; the last one may have none. */
function linesOf(text: string): string[] {
  return text.match(/[^\n]*\n|[^\n]+$/g) ?? [];
}

function readFields(
  lines: readonly string[],
  linesMax: number,
): Reference<ReferenceHead["fields"]> {
  const fields: [string, string][] = [];
  let end = 0;
  for (const line of lines) {
    end += line.length;
    if (line === "\r\n") return { kind: "read", value: fields, end };
    if (line === "\r") return UNFINISHED;
    if (fields.length === linesMax) return REFUSED;
    if (!line.endsWith("\n")) return canBecome(line, FIELD_LINE, "x:\r\n") ? UNFINISHED : REFUSED;
    const match = FIELD_LINE.exec(line);
    if (match === null) return REFUSED;
    fields.push([match[1] ?? "", (match[2] ?? "").replace(/^[ \t]+/, "").replace(/[ \t]+$/, "")]);
  }
  return UNFINISHED;
}

function readHead(
  text: string,
  limits: HeadLimits,
  first: { readonly form: RegExp; readonly ideal: string; readonly emptyLinesMax: number },
): Reference<ReferenceHead> {
  const lineBytesMax = Math.min(limits.lineBytesMax, limits.headBytesMax);
  const lines = linesOf(text);
  let before = 0;
  while (lines[0] === "\r\n" && before < 2 * first.emptyLinesMax) {
    lines.shift();
    before += 2;
    if (before >= lineBytesMax) return REFUSED;
  }
  const line = lines.shift();
  if (line === undefined) return UNFINISHED;
  const length = before + line.length;
  if (!line.endsWith("\n")) {
    if (length >= lineBytesMax) return REFUSED;
    if (line === "\r" && before < 2 * first.emptyLinesMax) return UNFINISHED;
    return canBecome(line, first.form, first.ideal) ? UNFINISHED : REFUSED;
  }
  const match = first.form.exec(line);
  if (length > lineBytesMax || match === null) return REFUSED;
  const fields = readFields(lines, limits.fieldLinesMax);
  if (fields.kind === "refused") return REFUSED;
  const end = fields.kind === "read" ? length + fields.end : text.length;
  if (end > limits.headBytesMax) return REFUSED;
  if (fields.kind === "unfinished") return end === limits.headBytesMax ? REFUSED : UNFINISHED;
  return {
    kind: "read",
    value: { first: match.slice(1).map((part) => part ?? ""), fields: fields.value },
    end,
  };
}

function valuesOf({ fields }: ReferenceHead, wanted: string): string[] {
  return fields.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
}

function isHost(host: string): boolean {
  const [, address, port = "0"] = HOST.exec(host) ?? ["", "", "99999"];
  if (Number(port) > 65535 || host.length > 261) return false;
  // A URL is read by another parser than `isIPv6` is; Bun's lets a last colon pass.
  const isAddress = (text: string) => !/[^:]:$/.test(text) && URL.canParse(`http://[${text}]/`);
  return address === undefined || isAddress(address);
}

function isTarget(method: string, target: string, host: string | undefined): boolean {
  if (method === "CONNECT") return isHost(target) && /:[0-9]+$/.test(target);
  if (target.startsWith("/")) return true;
  if (target === "*") return method === "OPTIONS";
  const [, scheme = "", authority = ""] = /^(https?):\/\/([^/?]*)/i.exec(target) ?? [];
  if (!isHost(authority)) return false;
  const plain = (value: string) => {
    const standard = scheme.toLowerCase() === "https" ? "443" : "80";
    return value.toLowerCase().replace(new RegExp(`:(?:${standard})?$`), "");
  };
  return host === undefined || plain(host) === plain(authority);
}

function hasTooManyOptions(head: ReferenceHead): boolean {
  const options = valuesOf(head, "connection").join(",").split(",");
  return options.filter((option) => /[^ \t]/.test(option)).length > 32;
}

/** A request's head. */
export function referenceRequest(text: string, limits: HeadLimits): Reference<ReferenceHead> {
  const ideal = "X /x HTTP/1.1\r\n";
  const read = readHead(text, limits, { form: REQUEST_LINE, ideal, emptyLinesMax: 2 });
  if (read.kind !== "read") return read;
  const [method = "", target = "", minor] = read.value.first;
  const hosts = valuesOf(read.value, "host");
  if (hosts.length > 1 || (hosts.length === 0 && minor === "1")) return REFUSED;
  if (!hosts.every(isHost) || !isTarget(method, target, hosts[0])) return REFUSED;
  return hasTooManyOptions(read.value) ? REFUSED : read;
}

/** An answer's head. */
export function referenceResponse(text: string, limits: HeadLimits): Reference<ReferenceHead> {
  const ideal = "HTTP/1.1 200\r\n";
  const first = text.slice(0, text.indexOf("\n") + 1);
  if (!first.includes("\r") && STATUS_LINE.test(first.replace("\n", "\r\n"))) {
    return referenceBare(text, limits);
  }
  const read = readHead(text, limits, { form: STATUS_LINE, ideal, emptyLinesMax: 0 });
  if (read.kind !== "read") return read;
  return hasTooManyOptions(read.value) ? REFUSED : read;
}

/** Lines that all end with a bare line feed are read as if they ended as usual. */
function referenceBare(text: string, limits: HeadLimits): Reference<ReferenceHead> {
  const { headBytesMax, lineBytesMax } = limits;
  if (text.indexOf("\n") + 1 > Math.min(lineBytesMax, headBytesMax)) return REFUSED;
  const [head = "", ...rest] = text.split(/(?<=\n\n)/);
  const isWhole = rest.length > 0 || head.endsWith("\n\n");
  if (head.includes("\r") || head.length > headBytesMax) return REFUSED;
  if (!isWhole) return head.length === headBytesMax ? REFUSED : UNFINISHED;
  const room = { ...limits, headBytesMax: 2 * headBytesMax, lineBytesMax: lineBytesMax + 1 };
  const read = readHead(head.replaceAll("\n", "\r\n"), room, {
    form: STATUS_LINE,
    ideal: "",
    emptyLinesMax: 0,
  });
  if (read.kind !== "read" || hasTooManyOptions(read.value)) return REFUSED;
  return { ...read, end: head.length };
}

/** What a head announces: `null` when its fields must not be trusted, `none` when there are none. */
export function referenceLength(
  head: ReferenceHead,
  minor: string,
): number | "chunked" | "none" | null {
  const lengths = valuesOf(head, "content-length");
  const codings = valuesOf(head, "transfer-encoding");
  if (codings.length > 0) {
    const isPlain = lengths.length === 0 && minor === "1" && /^chunked$/i.test(codings.join(", "));
    return isPlain ? "chunked" : null;
  }
  if (lengths.length === 0) return "none";
  const [length = ""] = lengths;
  const isPlain = lengths.length === 1 && /^(?:0|[1-9][0-9]*)$/.test(length);
  return isPlain && BigInt(length) <= 2n ** 53n - 1n ? Number(length) : null;
}

export interface ReferenceBody {
  readonly data: string;
  readonly trailers: ReferenceHead["fields"];
}

/** Names of fields that must not stand in trailers, as far as the fuzzers make any. */
const NO_TRAILER =
  /^(?:(?:x-)?host|content-length|transfer-encoding|connection|trailer|cookie|x-forwarded-for)$/i;

/** A chunked body. */
export function referenceChunks(text: string, limits: ChunkLimits): Reference<ReferenceBody> {
  let data = "";
  let announced = 0;
  let extensions = 0;
  let at = 0;
  for (;;) {
    const [line = ""] = linesOf(text.slice(at, at + 10_000));
    const isWhole = line.endsWith("\n");
    if (!isWhole && !canBecome(line, CHUNK_LINE, "0\r\n")) return REFUSED;
    const [, digits = "", extension = ""] = /^([0-9A-Fa-f]*);?([^\r\n]*)/.exec(line) ?? [];
    const isSizeKnown = /^[0-9A-Fa-f]+[;\r]/.test(line);
    if (isSizeKnown && announced + Number.parseInt(digits, 16) > limits.dataBytesMax)
      return REFUSED;
    if (extensions + extension.length > limits.extensionBytesMax) return REFUSED;
    if (!isWhole) return UNFINISHED;
    if (!CHUNK_LINE.test(line)) return REFUSED;
    const size = Number.parseInt(digits, 16);
    at += line.length;
    announced += size;
    extensions = Math.max(0, extensions + extension.length - size);
    if (size === 0) break;
    data += text.slice(at, at + size);
    const after = text.slice(at + size, at + size + 2);
    if (!"\r\n".startsWith(after)) return REFUSED;
    if (after !== "\r\n") return UNFINISHED;
    at += size + 2;
  }
  const trailers = readFields(linesOf(text.slice(at)), limits.trailerLinesMax);
  if (trailers.kind === "refused") return REFUSED;
  const length = trailers.kind === "read" ? trailers.end : text.length - at;
  if (length > limits.trailerBytesMax) return REFUSED;
  if (trailers.kind === "unfinished") {
    return length === limits.trailerBytesMax ? REFUSED : UNFINISHED;
  }
  if (trailers.value.some(([name]) => NO_TRAILER.test(name))) return REFUSED;
  return { kind: "read", value: { data, trailers: trailers.value }, end: at + trailers.end };
}
