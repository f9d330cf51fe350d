/** How long the body of a message is (RFC 9112, section 6.3): decided, or refused, never guessed. */

import { consistsOf, DIGIT, TOKEN, trimmed } from "./http1-characters.ts";
import type { Http1RequestHead, Http1ResponseHead, MessageHead } from "./http1-head.ts";
import { asResponseRefusal, type Refusal, refuse } from "./http1-refusal.ts";

/** Where the body of a request ends. */
export type RequestFraming =
  /** Nothing says that there is a body. */
  | { readonly kind: "none" }
  /** So many bytes, perhaps 0. The head has exactly one `Content-Length`, which says so. */
  | { readonly kind: "length"; readonly bytes: number }
  /** The head has exactly one `Transfer-Encoding`: `chunked`, in any case, and nothing else. */
  | { readonly kind: "chunked" };

/** Where the body of an answer ends. */
export type AnswerFraming =
  | Exclude<RequestFraming, { readonly kind: "none" }>
  | {
      readonly kind: "none";
      /**
       * The head says there is a body where none can be: a 204. What follows on the connection may
       * be that body or the next answer, so nothing that follows may be read.
       */
      readonly isContradicted: boolean;
    }
  /** All until the connection ends. */
  | { readonly kind: "until-close" };

const NO_BODY = { kind: "none", isContradicted: false } as const;
const CONTRADICTED = { kind: "none", isContradicted: true } as const;
const CHUNKED = { kind: "chunked" } as const;
const UNTIL_CLOSE = { kind: "until-close" } as const;

/**
 * The framing of a request, the same for every method: GET, HEAD, DELETE and OPTIONS may have
 * bodies (RFC 9110, section 9.3.1, lets them, without meaning).
 * @param bodyBytesMax a longer `Content-Length` is refused with 413; of chunks the scanner counts
 *   the bytes
 */
export function requestFraming(
  head: Http1RequestHead,
  bodyBytesMax: number,
): RequestFraming | Refusal {
  const framing = announced(head);
  if (framing === null) return NO_BODY;
  if ("why" in framing || framing.kind !== "length" || framing.bytes <= bodyBytesMax) {
    return framing;
  }
  return refuse(413, `the body is longer than ${bodyBytesMax} bytes`);
}

/**
 * The framing of the answer to a request with this method. What its head announces must be
 * well-formed even where it announces nothing that follows, as for HEAD: it is passed on.
 * For 101 it is none: what follows is no message, and whether it was asked for is not known here.
 */
export function answerFraming(head: Http1ResponseHead, method: string): AnswerFraming | Refusal {
  const { status } = head;
  const framing = announced(head);
  if (framing !== null && "why" in framing) return asResponseRefusal(framing);
  if (method === "HEAD" || status === 304) return NO_BODY;
  if (status === 204 || status < 200) return isEmpty(framing) ? NO_BODY : CONTRADICTED;
  return framing ?? UNTIL_CLOSE;
}

type Announced = Extract<RequestFraming, { readonly kind: "length" | "chunked" }>;

function isEmpty(framing: Announced | null): boolean {
  return framing === null || (framing.kind === "length" && framing.bytes === 0);
}

/** What the fields say, whatever kind of message it is; `null`: nothing. */
function announced(head: MessageHead): Announced | Refusal | null {
  if (head.transferEncoding !== null) return transferCoded(head, head.transferEncoding);
  const [length] = head.contentLengths;
  return length === undefined ? null : ofLength(length, head.contentLengths.length);
}

/**
 * Both lengths at once is how requests are smuggled (RFC 9112, section 6.1, allows to refuse it),
 * and HTTP/1.0 has no transfer codings (there too: "the framing is faulty").
 */
function transferCoded(head: MessageHead, codings: string): Announced | Refusal {
  if (head.contentLengths.length > 0) {
    return refuse(400, "it has both a Transfer-Encoding and a Content-Length");
  }
  if (head.minor === 0) return refuse(400, "it has a Transfer-Encoding, but is HTTP/1.0");
  return codings.toLowerCase() === "chunked" ? CHUNKED : refusalOfCodings(codings);
}

/**
 * RFC 9112, section 6.3: 400 where the last coding is not chunked, or chunked stands twice; section
 * 6.1: 501 for a coding that we do not know, which is each but chunked. An empty element, which
 * lists may have, and anything that is no token, is where readers differ: 400.
 */
function refusalOfCodings(list: string): Refusal {
  const codings = list.split(",").map((coding) => trimmed(coding).toLowerCase());
  if (codings.some((coding) => coding === "" || !consistsOf(TOKEN, coding))) {
    return refuse(400, "the Transfer-Encoding is not a plain list of codings");
  }
  if (codings.indexOf("chunked") !== codings.length - 1) {
    return refuse(400, "the Transfer-Encoding does not end with chunked, or has it twice");
  }
  return refuse(501, "the Transfer-Encoding has a coding other than chunked");
}

/**
 * Digits only: no sign, no blank, no list, and no leading 0, which some read as octal. A second
 * line is refused even where it says the same (RFC 9112, section 6.3, allows to).
 */
function ofLength(value: string, lines: number): Announced | Refusal {
  if (lines > 1) return refuse(400, "it has more than one Content-Length");
  const isNumber = value !== "" && consistsOf(DIGIT, value) && (value === "0" || value[0] !== "0");
  if (!isNumber) return refuse(400, "the Content-Length is not a plain number");
  const bytes = Number(value);
  if (Number.isSafeInteger(bytes)) return { kind: "length", bytes };
  return refuse(400, "the Content-Length is larger than any number we can count to");
}
