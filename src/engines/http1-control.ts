/** What the fields that steer a message say: host, framing, connection. */

import { trimmed } from "./http1-characters.ts";
import type { HeaderField } from "./http1-fields.ts";
import { type Refusal, refuse } from "./http1-refusal.ts";

/** What a head's steering fields say, gathered in one pass. */
export interface Control {
  /** Value of each `Host` line. */
  readonly hosts: readonly string[];
  /** Value of each `Content-Length` line, unchecked: the framing says what they mean. */
  readonly contentLengths: readonly string[];
  /** All `Transfer-Encoding` lines, joined by `, `, unchecked. */
  readonly transferEncoding: string | null;
  /**
   * What `Connection` lists, in lower case; at most `CONNECTION_OPTIONS_MAX`. One that is no token
   * names no header, so it can stay.
   */
  readonly connection: readonly string[];
  /** The sender means to use the connection again (RFC 9112, section 9.3). */
  readonly persistent: boolean;
  /** `Upgrade`, when `Connection` confirms it and it is not HTTP/1.0 (RFC 9110, section 7.8). */
  readonly upgrade: string | null;
  /** `Expect` has `100-continue`, and it is not HTTP/1.0 (RFC 9110, section 10.1.1). */
  readonly expectsContinue: boolean;
  /** `TE` has `trailers` (RFC 9110, section 10.1.4). */
  readonly acceptsTrailers: boolean;
}

/**
 * Most options of a `Connection`; more are refused. Each may name a header to remove, so their
 * number times that of the headers is the work of whoever forwards the message.
 */
export const CONNECTION_OPTIONS_MAX = 32;

const NONE: readonly string[] = [];
const KEEP_ALIVE: readonly string[] = ["keep-alive"];
const CLOSE: readonly string[] = ["close"];

/** @param minor the x of the message's `HTTP/1.x` */
export function readControl(fields: readonly HeaderField[], minor: 0 | 1): Control | Refusal {
  let hosts = NONE;
  let contentLengths = NONE;
  let transferEncoding: string | null = null;
  let connectionList: string | null = null;
  let upgrade: string | null = null;
  let expect: string | null = null;
  let te: string | null = null;
  for (const { name, value } of fields) {
    switch (name) {
      case "host":
        hosts = [...hosts, value];
        break;
      case "content-length":
        contentLengths = [...contentLengths, value];
        break;
      case "transfer-encoding":
        transferEncoding = joined(transferEncoding, value);
        break;
      case "connection":
        connectionList = joined(connectionList, value);
        break;
      case "upgrade":
        upgrade = joined(upgrade, value);
        break;
      case "expect":
        expect = joined(expect, value);
        break;
      case "te":
        te = joined(te, value);
        break;
    }
  }
  const connection = optionsOf(connectionList);
  if (connection.length > CONNECTION_OPTIONS_MAX) {
    return refuse(400, `the Connection header has more than ${CONNECTION_OPTIONS_MAX} options`);
  }
  const isHttp11 = minor === 1;
  return {
    hosts,
    contentLengths,
    transferEncoding,
    connection,
    persistent: !connection.includes("close") && (isHttp11 || connection.includes("keep-alive")),
    upgrade: isHttp11 && connection.includes("upgrade") ? upgrade : null,
    expectsContinue: isHttp11 && expect !== null && listOf(expect).includes("100-continue"),
    acceptsTrailers: te !== null && listOf(te).includes("trailers"),
  };
}

/** Several lines of one list are one list (RFC 9110, section 5.3). */
function joined(before: string | null, value: string): string {
  return before === null ? value : `${before}, ${value}`;
}

function optionsOf(connection: string | null): readonly string[] {
  if (connection === null) return NONE;
  if (connection === "keep-alive") return KEEP_ALIVE;
  if (connection === "close") return CLOSE;
  return listOf(connection);
}

/** The elements of a list of tokens, in lower case, without the empty ones. */
function listOf(value: string): readonly string[] {
  return value
    .split(",")
    .map((element) => trimmed(element).toLowerCase())
    .filter((element) => element !== "");
}
