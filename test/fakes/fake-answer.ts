/** What a fake platform says to one call: plain data, and how it becomes bytes. */

/** An HTTP answer of a platform, of its API or of its router. */
export interface FakeAnswer {
  readonly status: number;
  /** Added to the content type that follows from `body`, and stronger than it. */
  readonly headers?: Readonly<Record<string, string>>;
  /** An object or array is sent as JSON, a string as it is (text/plain unless `headers` say otherwise); left out: empty. */
  readonly body?: unknown;
}

/** A `FakeAnswer` as it goes over the wire. */
export interface WireAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Empty when there is no body. */
  readonly text: string;
}

/** An answer of 200, or of another status, with a JSON body. */
export function json(
  body: unknown,
  status = 200,
  headers: Record<string, string> = {},
): FakeAnswer {
  return { status, headers, body };
}

/** Names of headers of the result are in lower case. */
export function toWire({ status, headers = {}, body }: FakeAnswer): WireAnswer {
  const named = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  );
  if (body === undefined) return { status, headers: named, text: "" };
  const isText = typeof body === "string";
  const type = isText ? "text/plain; charset=utf-8" : "application/json; charset=utf-8";
  return {
    status,
    headers: { "content-type": type, ...named },
    text: isText ? body : JSON.stringify(body),
  };
}
