/** Heads of requests to hand to the core. */

import type { RequestHead } from "../../src/engines/engine.ts";

/** A GET of `/` by something that is no browser, unless `changes` say otherwise. Header names in lower case. */
export function headFor(
  host: string | null,
  changes: Partial<Omit<RequestHead, "header" | "host">> & {
    readonly headers?: Readonly<Record<string, string>>;
  } = {},
): RequestHead {
  const { headers = {}, ...rest } = changes;
  return {
    method: "GET",
    target: "/",
    host,
    clientAddress: "192.0.2.1",
    ...rest,
    header: (name) => headers[name] ?? null,
  };
}

/** What a browser sends to show a page. */
export const NAVIGATION = { accept: "text/html", "sec-fetch-mode": "navigate" } as const;
