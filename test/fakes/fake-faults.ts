/** What can go wrong between a client and a platform's API, as data that a test hands to `FakeApi.fail`. */

import type { FakeAnswer } from "./fake-answer.ts";

/** One way in which a call goes wrong. `isApplied`: the platform did what was asked all the same. */
export type Fault =
  /** Another answer than the right one. */
  | { readonly kind: "answer"; readonly answer: FakeAnswer; readonly isApplied: boolean }
  /** The right answer, `delayMs` later by the fake's clock; what was asked is done at once. */
  | { readonly kind: "slow"; readonly delayMs: number }
  /** The right head, half of the body as if it were the whole of it: JSON that does not parse. */
  | { readonly kind: "half" }
  /** The right head with its true `Content-Length`, half of the body, then the connection is closed. */
  | { readonly kind: "cut" }
  /** The right head, half of the body, then nothing more ever. */
  | { readonly kind: "stall" }
  /** No byte of an answer ever. */
  | { readonly kind: "never"; readonly isApplied: boolean }
  /** The connection is reset without a byte of an answer. */
  | { readonly kind: "reset"; readonly isApplied: boolean };

/** Any status with any body; the call is not carried out. */
export function answers(answer: FakeAnswer): Fault {
  return { kind: "answer", answer, isApplied: false };
}

/** The call is carried out, and then answered with something else: a 502 of a gateway in front, say. */
export function appliesAndAnswers(answer: FakeAnswer): Fault {
  return { kind: "answer", answer, isApplied: true };
}

/** An HTML page instead of JSON, as gateways send; with status 200 it is the nastier. Not carried out. */
export function answersHtml(status = 502): Fault {
  return answers({
    status,
    headers: { "content-type": "text/html; charset=utf-8" },
    body: "<!DOCTYPE html><html><head><title>Oops</title></head><body><h1>Oops</h1></body></html>",
  });
}

/** Plain text with any status. Not carried out. */
export function answersText(status: number, text: string): Fault {
  return answers({ status, body: text });
}

/** The right answer, late. */
export function answersAfter(delayMs: number): Fault {
  return { kind: "slow", delayMs };
}

/** Well-formed HTTP with half of the JSON. Carried out. */
export function answersHalf(): Fault {
  return { kind: "half" };
}

/** The connection breaks in the middle of the body. Carried out. */
export function cutsBody(): Fault {
  return { kind: "cut" };
}

/** The body stops in the middle and the connection stays open. Carried out. */
export function stallsInBody(): Fault {
  return { kind: "stall" };
}

/** Never answers; not carried out unless `isApplied`. */
export function neverAnswers(isApplied = false): Fault {
  return { kind: "never", isApplied };
}

/**
 * Connection reset before the call was processed: repeating it is right. Bun's `fetch` does so once by itself, unseen
 * by its caller, for GET, PUT and DELETE on a connection that was used before, unless `keepalive` is `false`.
 */
export function resetsBefore(): Fault {
  return { kind: "reset", isApplied: false };
}

/** Connection reset after the call was carried out: repeating a write applies it twice. See `resetsBefore`. */
export function resetsAfter(): Fault {
  return { kind: "reset", isApplied: true };
}
