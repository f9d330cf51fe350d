/** A hand on a container engine, beside the program under test: plain calls over its socket, real or fake. */

/** What one call got. */
export interface EngineAnswer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what was read, as it is; each test says what it expects of it
  readonly body: any;
}

/** One line of the events stream. */
export interface EngineEvent {
  readonly Type: string;
  readonly Action: string;
  readonly Actor: { readonly ID: string; readonly Attributes: Readonly<Record<string, string>> };
  readonly time: number;
  readonly timeNano: number;
}

/** What `watchEvents` has heard so far. Ends with `using`. */
export interface HeardEvents extends Disposable {
  readonly all: readonly EngineEvent[];
  /** How many of this action there were, of all containers or of the one of this name. */
  count(action: string, name?: string): number;
  /** Resolves when the engine has ended the stream, or it was cut. */
  readonly ended: Promise<void>;
}

export interface EngineClient {
  /** @param path with the version: `/v1.41/containers/json` */
  call(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<EngineAnswer>;
  /** Listens from now on; resolves when the engine has begun to answer. */
  watchEvents(query?: string): Promise<HeardEvents>;
}

/** What every engine of today understands. */
export const API = "/v1.41";

/** @param unix path of its socket */
export function engineClient(unix: string): EngineClient {
  return {
    async call(method, path, body, signal) {
      const answer = await fetch(`http://engine${path}`, {
        unix,
        method,
        keepalive: false,
        ...(signal === undefined ? {} : { signal }),
        ...(body === undefined ? {} : bodyOf(body)),
      });
      const text = await answer.text();
      return { status: answer.status, headers: answer.headers, text, body: parsed(text) };
    },
    watchEvents: (query = "") => watchEvents(unix, query),
  };
}

function bodyOf(body: unknown): {
  body: string | Uint8Array<ArrayBuffer>;
  headers: Record<string, string>;
} {
  if (body instanceof Uint8Array) {
    const bytes = new Uint8Array(body);
    return { body: bytes, headers: { "content-type": "application/x-tar" } };
  }
  return { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // Plain text, or nothing: the test looks at `text`.
  }
}

async function watchEvents(unix: string, query: string): Promise<HeardEvents> {
  const controller = new AbortController();
  const answer = await fetch(`http://engine${API}/events${query}`, {
    unix,
    keepalive: false,
    signal: controller.signal,
  });
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  const all: EngineEvent[] = [];
  const ended = readEvents(answer, (event) => all.push(event)).catch(() => undefined);
  return {
    all,
    ended,
    count: (action, name) =>
      all.filter(
        ({ Action, Actor }) =>
          Action === action && (name === undefined || Actor.Attributes.name === name),
      ).length,
    [Symbol.dispose]: () => controller.abort(),
  };
}

async function readEvents(answer: Response, onEvent: (event: EngineEvent) => void): Promise<void> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of answer.body ?? []) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (line.trim() !== "") onEvent(JSON.parse(line) as EngineEvent); // As the engine documents it.
    }
  }
}
