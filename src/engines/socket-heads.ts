/** The text of heads: towards the target, towards the client, and of the answers that are ours. */

import { STATUS_CODES } from "node:http";
import {
  CLIENT_CLAIMS,
  type Forwarding,
  HOP_BY_HOP,
  isClientClaim,
  type Leg,
  namedByConnection,
  requestIdOf,
  SECRET_HEADERS,
  toPublicCookie,
  toPublicRefresh,
  toPublicUrl,
} from "../headers.ts";
import type { Answer } from "./engine.ts";
import type { HeaderField } from "./http1-fields.ts";
import type { Http1RequestHead, Http1ResponseHead } from "./http1-head.ts";

/** What is to be said to a target. */
export interface RequestCall {
  readonly request: Http1RequestHead;
  readonly isUpgrade: boolean;
  readonly forwarding: Forwarding;
}

/** What is to be said to a client. */
export interface AnswerCall {
  readonly answer: Http1ResponseHead;
  readonly leg: Leg;
  readonly isUpgrade: boolean;
  /** How the body goes on its way: as it came, in chunks of ours, or without its chunks. */
  readonly passage: "as-it-came" | "in-chunks" | "unchunked";
  /** What the client is told about the connection; `null`: nothing. */
  readonly persistence: "close" | "keep-alive" | null;
}

const NONE: readonly string[] = [];

/** Framing is written anew, announcements of trailers and of a wait for 100 are passed on. */
const STAYS_BEHIND: ReadonlySet<string> = new Set(
  HOP_BY_HOP.filter((name) => name !== "trailer" && name !== "expect"),
);

/** Request headers that are looked at; all others pass as they are. */
const NOTABLE: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  ...CLIENT_CLAIMS,
  ...SECRET_HEADERS,
  "host",
  "origin",
]);

/** Answer headers that are looked at. */
const NOTABLE_IN_ANSWERS: ReadonlySet<string> = new Set([
  ...HOP_BY_HOP,
  "content-length",
  "content-location",
  "location",
  "refresh",
  "set-cookie",
]);

/** Names that `Connection` declares to be for this connection only. */
function namesIn(connection: readonly string[]): readonly string[] {
  if (connection.every(isOption)) return NONE;
  return namedByConnection(connection.join());
}

/** What stands in most `Connection` headers names no header that would not stay behind anyway. */
function isOption(listed: string): boolean {
  return listed === "keep-alive" || listed === "close" || listed === "upgrade";
}

/**
 * The head of a request for its target. Order, case and repetitions are the client's.
 * @param persistence what the target is told about the connection; an upgrade has its own word for that
 */
export function requestText(
  call: RequestCall,
  leg: Leg,
  persistence: "close" | null = null,
): string {
  const { request } = call;
  const named = namesIn(request.connection);
  const said: Claims = { forwardedFor: "", forwarded: null, hasPort: false, hasRequestId: false };
  let text = `${request.method} ${request.path} HTTP/1.1\r\n`;
  if (request.isHostless) text += `Host: ${leg.host}\r\n`;
  for (const field of request.fields) {
    const { name } = field;
    if (!NOTABLE.has(name) && !(name.includes("_") && isClientClaim(name))) {
      if (named.length > 0 && named.includes(name)) continue;
      if (name === "x-request-id") said.hasRequestId = true;
      text += `${field.line}\r\n`;
      continue;
    }
    const line = isClientClaim(name) ? claimLine(call, field, said) : notableLine(call, field, leg);
    if (line !== null) text += `${line}\r\n`;
  }
  if (persistence !== null && !call.isUpgrade) text += `Connection: ${persistence}\r\n`;
  return `${text}${forwardedText(call, said)}\r\n`;
}

/** What trusted proxies have said, for us to add to. */
interface Claims {
  forwardedFor: string;
  forwarded: string | null;
  hasPort: boolean;
  hasRequestId: boolean;
}

/** `null`: the line goes no further. */
function claimLine({ forwarding }: RequestCall, field: HeaderField, said: Claims): string | null {
  if (!forwarding.peer.trusted) return null;
  if (!forwarding.enabled) return field.line;
  switch (field.name) {
    case "x-forwarded-for":
      said.forwardedFor = joined(said.forwardedFor, field.value);
      return null;
    case "forwarded":
      said.forwarded = joined(said.forwarded ?? "", field.value);
      return null;
    case "x-forwarded-proto":
    case "x-forwarded-host":
      return null;
    case "x-forwarded-port":
      said.hasPort = true;
      return field.line;
    default:
      return field.line;
  }
}

function joined(before: string, value: string): string {
  return before === "" ? value : `${before}, ${value}`;
}

function notableLine(call: RequestCall, field: HeaderField, leg: Leg): string | null {
  switch (field.name) {
    case "host":
      return withValue(field, leg.host);
    case "origin":
      return withValue(field, originFor(field.value, leg));
    case "authorization":
    case "cookie":
    case "x-admin-token":
      return secretLine(call, field, field.name);
    case "connection":
      return call.isUpgrade ? withValue(field, "Upgrade") : null;
    case "upgrade":
      return call.isUpgrade ? field.line : null;
    case "te":
      return call.request.acceptsTrailers ? withValue(field, "trailers") : null;
    case "transfer-encoding":
      // The framing has found it to be chunked and nothing else, in whatever case: a strict app must see so, too.
      return withValue(field, "chunked");
    case "expect":
      // RFC 9110, section 10.1.1: who speaks HTTP/1.0 cannot wait for a 100.
      return call.request.minor === 1 ? field.line : null;
    default:
      return STAYS_BEHIND.has(field.name) ? null : field.line;
  }
}

/** What is meant for us alone stays behind. */
function secretLine(
  { forwarding, request }: RequestCall,
  field: HeaderField,
  name: (typeof SECRET_HEADERS)[number],
): string | null {
  // The others may not be named there.
  if (name === "x-admin-token" && namesIn(request.connection).includes(name)) return null;
  if (forwarding.withoutSecrets === undefined) return field.line;
  const value = forwarding.withoutSecrets(name, field.value);
  return value === null ? null : withValue(field, value);
}

/** The line itself when nothing changes. */
function withValue(field: HeaderField, value: string): string {
  if (value === field.value) return field.line;
  return `${field.line.slice(0, field.name.length)}: ${value}`;
}

/** An `Origin` that is the public address becomes the target's own. */
function originFor(origin: string, leg: Leg): string {
  if (leg.host !== leg.target.host) return origin;
  const host = origin.toLowerCase().replace(/^https?:\/\//, "");
  return host !== origin.toLowerCase() && host === leg.public.host.toLowerCase()
    ? leg.target.origin
    : origin;
}

function forwardedText(call: RequestCall, said: Claims): string {
  const { enabled, peer, public: address } = call.forwarding;
  if (!enabled) return "";
  let text = "";
  const chain = peer.address === "" ? said.forwardedFor : joined(said.forwardedFor, peer.address);
  if (chain !== "") text += `X-Forwarded-For: ${chain}\r\n`;
  text += `X-Forwarded-Proto: ${address.scheme}\r\nX-Forwarded-Host: ${address.host}\r\n`;
  if (!said.hasPort) text += `X-Forwarded-Port: ${address.port}\r\n`;
  if (said.forwarded !== null) {
    text += `Forwarded: ${joined(said.forwarded, `for=${forwardedNode(peer.address)}`)}\r\n`;
  }
  if (!said.hasRequestId) text += `X-Request-Id: ${requestIdOf(call.forwarding)}\r\n`;
  return `${text}Via: 1.${call.request.minor} paastis\r\n`;
}

/** RFC 7239, section 6: an IPv6 address stands in brackets and quotes. */
function forwardedNode(address: string): string {
  if (address === "") return "unknown";
  return address.includes(":") ? `"[${address}]"` : address;
}

/** The head of a target's answer for the client. */
export function answerText(call: AnswerCall): string {
  const { answer } = call;
  const named = namesIn(answer.connection);
  let text = `HTTP/1.1 ${answer.status} ${answer.reason}\r\n`;
  for (const field of answer.fields) {
    const { name } = field;
    if (!NOTABLE_IN_ANSWERS.has(name)) {
      if (named.length > 0 && named.includes(name)) continue;
      text += `${field.line}\r\n`;
      continue;
    }
    const line = notableAnswerLine(call, field);
    if (line !== null) text += `${line}\r\n`;
  }
  if (call.passage === "in-chunks") text += "Transfer-Encoding: chunked\r\n";
  if (call.persistence !== null) text += `Connection: ${call.persistence}\r\n`;
  return `${text}\r\n`;
}

function notableAnswerLine(call: AnswerCall, field: HeaderField): string | null {
  const { leg } = call;
  switch (field.name) {
    case "location":
    case "content-location":
      return withValue(field, toPublicUrl(field.value, leg));
    case "refresh":
      return withValue(field, toPublicRefresh(field.value, leg));
    case "set-cookie":
      return withValue(field, toPublicCookie(field.value, leg));
    case "connection":
      return call.isUpgrade ? withValue(field, "Upgrade") : null;
    case "upgrade":
      return call.isUpgrade ? field.line : null;
    case "content-length":
      return hasNoBody(call) ? null : field.line;
    case "transfer-encoding":
    case "trailer":
      if (hasNoBody(call)) return null;
      return call.passage === "as-it-came" ? field.line : null;
    default:
      return STAYS_BEHIND.has(field.name) ? null : field.line;
  }
}

/** Announces none either (RFC 9110, section 8.6; RFC 9112, section 6.1). */
function hasNoBody({ answer }: AnswerCall): boolean {
  return answer.status === 204 || answer.status < 200;
}

/** How an answer of ours is sent. */
export interface OwnAnswerCall {
  readonly answer: Answer;
  readonly wallMs: number;
  /** Bytes of the body; `null`: none is known, and it goes in chunks or to the connection's end. */
  readonly length: number | null;
  readonly isChunked: boolean;
  readonly persistence: "close" | "keep-alive" | null;
}

/** The head of an answer of ours. */
export function ownAnswerText(call: OwnAnswerCall): string {
  const { status, headers } = call.answer;
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ""}\r\n`;
  for (const [name, value] of headers) text += `${name}: ${oneLine(value)}\r\n`;
  // RFC 9110, section 6.6.1: who makes an answer says when.
  text += `Date: ${new Date(call.wallMs).toUTCString()}\r\n`;
  if (call.length !== null) text += `Content-Length: ${call.length}\r\n`;
  if (call.isChunked) text += "Transfer-Encoding: chunked\r\n";
  if (call.persistence !== null) text += `Connection: ${call.persistence}\r\n`;
  return `${text}\r\n`;
}

/** A value of ours may quote others: nothing of it may end the line or be more than a byte. */
function oneLine(value: string): string {
  return value.replace(/[^\t\x20-\x7e\x80-\xff]/g, "?");
}
