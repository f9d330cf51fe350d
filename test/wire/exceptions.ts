import { test } from "bun:test";
import type { EngineCase } from "../support/engines.ts";

/**
 * What the fetch engine cannot carry as it came, each with its reason. The tests that touch one of
 * these name it; an engine that can do better must not need it.
 */
export const FETCH_EXCEPTIONS = {
  "raw target": "Bun.serve and fetch normalise URLs: dot segments, backslashes, leading slashes",
  "some methods": "Bun.serve closes the connection on a method that it does not know",
  "header order": "fetch sorts headers by name and spells known names its own way",
  "repeated headers": "Bun joins repeated headers into one, but for Set-Cookie",
  "default headers": "fetch adds Accept, and an empty User-Agent, where the client sent none",
  "waiting for 100": "Bun.serve answers 100 before its handler runs",
  "early head": "Bun.serve sends a head with its body's first byte; event streams get a comment",
  "another host": "Bun.serve takes Host and ignores the host of an absolute target",
  "body on GET": "fetch drops it, so the request is refused",
  "request trailers": "Bun.serve refuses chunked requests with trailers",
  "reason phrase": "fetch does not hand it over",
  "content-length": "Bun.serve sends streamed bodies in chunks, whatever their length",
  "early hints": "fetch swallows 1xx answers",
  trailers: "fetch swallows them",
  pipelining: "Bun.serve closes a connection that brings a second request during the first",
  "half-closed client": "Bun.serve takes a client that ends its side for one that has left",
  "close-delimited reset": "fetch takes a reset for the end of a body without a length",
  "held upload": "the end of a client's upload that nobody reads yet cannot be seen",
  "no subprotocol": "Bun's client fails when it offered some and the target chooses none",
  fragments: "Bun hands over whole WebSocket messages",
  compression: "permessage-deflate would be undone and redone here, so it is not offered",
  handshake: "Bun's client makes a handshake of its own, and is strict about it",
  "short refusals": "a refusal is read whole before it is relayed",
  "connect limit": "fetch reads the body before it is connected, so that it cannot be sent again",
  "odd socket paths": "Bun's client takes the path of a unix socket for part of a URL",
  "close codes": "Bun answers codes that must not be sent with 1002",
} as const;

/**
 * A limit of the fetch engine that is declared. When this fails, the limit is gone: take it out of
 * the list. What other engines do instead is tested with them.
 */
export function declared(
  engine: EngineCase,
  limit: keyof typeof FETCH_EXCEPTIONS,
  fact: string,
  run: () => Promise<void>,
): void {
  if (engine.name !== "fetch") return;
  test(`wire: ${fact} (${FETCH_EXCEPTIONS[limit]})`, run);
}
