/** How the fake Docker engine's answers become bytes, and go wrong on the way. */

import type { ServerResponse } from "node:http";
import { type FakeAnswer, toWire, type WireAnswer } from "./fake-answer.ts";
import type { ApiVersion } from "./fake-docker-version.ts";
import type { Fault } from "./fake-faults.ts";
import type { JournalEntry } from "./fake-journal.ts";
import { makeStrange, type Strangeness } from "./fake-strangeness.ts";

/** The writing end of an endless answer. */
export interface LineStream {
  /** As it is; `false` when nobody reads any more. */
  write(text: string | Uint8Array): boolean;
  /** A proper end. */
  end(): void;
  /** The connection breaks. */
  cut(): void;
  readonly isOpen: boolean;
}

/** What a route says: an answer, an answer for later, or a stream. */
export type DockerReply =
  | FakeAnswer
  | { readonly later: (respond: (answer: FakeAnswer) => void) => void }
  | {
      readonly stream: (lines: LineStream) => void;
      readonly headers: Readonly<Record<string, string>>;
    };

/** One call on its way to an answer. */
export interface Exchange {
  readonly response: ServerResponse;
  readonly entry: JournalEntry;
  /** Of the engine. */
  readonly newest: ApiVersion;
  readonly strangeness: Strangeness;
  /** Fields of answers that are maps: they get no unknown fields. */
  readonly maps: readonly string[];
  now(): number;
  later(delayMs: number, action: () => void): void;
}

/** What every answer of an engine carries. */
function engineHeaders({ newest }: Exchange): Record<string, string> {
  return {
    "api-version": `${newest.major}.${newest.minor}`,
    "docker-experimental": "false",
    ostype: "linux",
    server: "Docker/27.5.1 (linux)",
  };
}

/** The answer of an engine that is well. */
export function toRight(exchange: Exchange, answer: FakeAnswer): WireAnswer {
  const { strangeness, maps } = exchange;
  const isStrange = strangeness.hasUnknownFields || Object.keys(strangeness.words).length > 0;
  const body =
    isStrange && typeof answer.body === "object"
      ? makeStrange(answer.body, strangeness, maps)
      : answer.body;
  const headers = { ...engineHeaders(exchange), ...answer.headers };
  return toWire({ status: answer.status, headers, body });
}

/** @param right `null`: the call was not carried out */
export function respond(exchange: Exchange, right: WireAnswer | null, fault: Fault | null): void {
  const { response } = exchange;
  if (fault?.kind === "never") return;
  if (fault?.kind === "reset") {
    response.socket?.destroy();
    return;
  }
  if (fault?.kind === "answer") {
    send(exchange, toWire(fault.answer));
    return;
  }
  if (right === null) throw new Error("a call that was not carried out has no right answer");
  if (fault?.kind === "slow") exchange.later(fault.delayMs, () => send(exchange, right));
  else if (fault?.kind === "half") send(exchange, { ...right, text: half(right.text) });
  else if (fault !== null) sendPart(exchange, right, fault.kind === "cut");
  else send(exchange, right);
}

function half(text: string): string {
  return text.slice(0, Math.floor(text.length / 2));
}

function send({ now, response, entry }: Exchange, answer: WireAnswer): void {
  if (response.destroyed || response.writableEnded) return; // The client did not wait.
  entry.status = answer.status;
  entry.answeredAtMs = now();
  const isEmpty = answer.status === 204 || answer.status === 304;
  response.writeHead(answer.status, answer.headers);
  if (isEmpty) response.end();
  else response.end(answer.text);
}

function sendPart({ response, entry }: Exchange, answer: WireAnswer, isCut: boolean): void {
  if (response.destroyed) return;
  entry.status = answer.status;
  const length = String(Buffer.byteLength(answer.text));
  response.writeHead(answer.status, { ...answer.headers, "content-length": length });
  response.write(half(answer.text), () => {
    if (isCut) response.socket?.destroy();
  });
}

/** Faults of a stream: `cut` ends it right after its head, `stall` keeps it silent, `slow` delays its head. */
export function openStream(
  exchange: Exchange,
  reply: Extract<DockerReply, { stream: unknown }>,
  fault: Fault | null,
): void {
  const { response, entry } = exchange;
  if (fault?.kind === "never" || fault?.kind === "reset" || fault?.kind === "answer") {
    respond(exchange, null, fault);
    return;
  }
  const open = () => {
    if (response.destroyed) return;
    entry.status = 200;
    response.writeHead(200, { ...engineHeaders(exchange), ...reply.headers });
    response.flushHeaders();
    if (fault?.kind === "cut" || fault?.kind === "half") response.socket?.destroy();
    else if (fault?.kind !== "stall") reply.stream(linesOf(response));
  };
  if (fault?.kind === "slow") exchange.later(fault.delayMs, open);
  else open();
}

function linesOf(response: ServerResponse): LineStream {
  const isOpen = () => !response.destroyed && !response.writableEnded;
  return {
    write(text) {
      if (!isOpen()) return false;
      response.write(text);
      return true;
    },
    end: () => void (isOpen() && response.end()),
    cut: () => void response.socket?.destroy(),
    get isOpen() {
      return isOpen();
    },
  };
}
