/** A `Request` as the head the core sees, and what must be refused before that. */

import type { Server } from "bun";
import { plainAddress } from "../client-address.ts";
import type { RefusalCode, RequestHead } from "./engine.ts";

/** Why a request cannot be forwarded faithfully. */
export interface Refusal {
  readonly code: RefusalCode;
  readonly why: string;
}

/** A host name or address with an optional port (RFC 9110, section 7.2), one of them. */
const HOST_FORM = /^(?:[a-z0-9._~!$&'()*+;=%-]+|\[[0-9a-f:.]+\])(?::\d{0,5})?$/i;

/** A head whose request's headers are edited in place for the target. */
export interface FetchHead extends RequestHead {
  /** Called before they are edited: what the core may ask for afterwards stays as the client sent it. */
  remember(): void;
}

/** Headers that are edited, and that the core looks at: they say who asks, and how large the body is. */
const REMEMBERED = ["forwarded", "transfer-encoding", "via", "x-forwarded-for", "x-real-ip"];

/** The head, read lazily: nothing is computed that nobody asks for. */
export function headOf(request: Request, server: Server<unknown>): FetchHead {
  let address: string | undefined;
  let remembered: readonly (string | null)[] | null = null;
  return {
    method: request.method,
    target: targetOfUrl(request.url),
    host: request.headers.get("host"),
    get clientAddress() {
      address ??= plainAddress(server.requestIP(request)?.address ?? "");
      return address;
    },
    header(name) {
      const place = remembered === null ? -1 : REMEMBERED.indexOf(name);
      return place === -1 ? request.headers.get(name) : (remembered?.[place] ?? null);
    },
    remember() {
      remembered = REMEMBERED.map((name) => request.headers.get(name));
    },
  };
}

/** What is wrong with a request, or `null`. */
export function refusalOf(request: Request, head: RequestHead): Refusal | null {
  if (head.method === "CONNECT" || head.method === "TRACE") {
    return { code: "method_refused", why: `${head.method} is not forwarded` };
  }
  const host = head.host;
  if (host === null || host === "") {
    return { code: "invalid_host", why: "there is no Host header" };
  }
  if (!HOST_FORM.test(host)) {
    return { code: "invalid_host", why: "the Host header is not one host with an optional port" };
  }
  if (head.target.includes("#")) {
    return { code: "invalid_request", why: "the request target contains a #" };
  }
  return refusalOfBody(request.headers, head.method);
}

/** `fetch` would drop the body of a GET or HEAD silently, and repeat a doubled length. */
function refusalOfBody(headers: Headers, method: string): Refusal | null {
  const length = headers.get("content-length");
  if (length !== null && !/^\d+$/.test(length)) {
    return { code: "invalid_request", why: "the Content-Length header is not one number" };
  }
  if (method !== "GET" && method !== "HEAD") return null;
  if ((length === null || Number(length) === 0) && !headers.has("transfer-encoding")) return null;
  return { code: "invalid_request", why: `a body on ${method} cannot be forwarded` };
}

/**
 * Path and query of what Bun reports: a URL, or the bare target when it could not parse the host.
 * `fetch` drops leading slashes beyond the first; so do we, for whoever decides by path.
 */
function targetOfUrl(url: string): string {
  let start = url.charCodeAt(0) === SLASH ? 0 : url.indexOf("/", url.indexOf("//") + 2);
  if (start === -1) return "/";
  while (url.charCodeAt(start + 1) === SLASH) start += 1;
  return start === 0 ? url : url.slice(start);
}

const SLASH = 0x2f;

/** Whether the request asks for an upgrade that we can carry (RFC 6455, section 4.2.1). */
export function isWebSocketUpgrade(head: RequestHead): boolean {
  return (
    head.method === "GET" &&
    head.header("upgrade")?.toLowerCase() === "websocket" &&
    head.header("connection")?.toLowerCase().includes("upgrade") === true &&
    head.header("sec-websocket-version") === "13" &&
    head.header("sec-websocket-key") !== null
  );
}
