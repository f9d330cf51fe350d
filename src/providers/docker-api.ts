/** Calls to a Docker or Podman engine: over its socket, in a version that it speaks, each within its time. */

import type { Clock } from "../clock.ts";
import type { DockerConfig } from "../config.ts";
import { throwIfAborted, unlessAborted } from "./abortable.ts";
import { createConnection, type EngineConnection } from "./docker-connection.ts";
import { type EngineRefusal, failureOf, refusalOf, silenceError } from "./docker-errors.ts";
import { fieldsOf, textOf } from "./docker-json.ts";
import { chosenVersion, isVersionRefusal } from "./docker-version.ts";
import { readBody } from "./platform-answer.ts";
import type { PlatformFetch } from "./platform-api.ts";
import type { Condition } from "./platform-condition.ts";
import { ProviderError } from "./provider.ts";

/** One call to the engine. */
export interface EngineCall {
  /** For people; completes "could not …": `list its containers`. */
  readonly what: string;
  readonly method: "GET" | "POST";
  /** Path and query, without the version: `/containers/json?all=true`. */
  readonly path: string;
  /** From now to the last byte of the answer. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

/** The engine did what it was asked, or had nothing to do (304). */
export interface EngineDone {
  readonly kind: "done";
  readonly status: number;
  readonly body: unknown;
}

/** What the engine answered. Who calls says what a refusal means. */
export type EngineAnswer = EngineDone | EngineRefusal;

/** Calls to one engine. */
export interface EngineApi {
  /** What it is called in messages: `unix:///var/run/docker.sock`. */
  readonly address: string;
  /**
   * Makes one call. It is not repeated, but for the version that it is made in.
   * @throws ProviderError `network` when nobody answers, `forbidden` when the socket may not be used, `invalid` when
   *   certificates are missing, `protocol` when the answer is none, `failed` when `signal` aborts or after `close`
   */
  send(call: EngineCall): Promise<EngineAnswer>;
  /**
   * Opens an answer without an end, which `signal` ends; `timeoutMs` is for its beginning alone.
   * @throws ProviderError like `send`, and when it is refused
   */
  open(call: EngineCall): Promise<Response>;
  /** Another engine may answer by now: versions and certificates are looked at anew. */
  forget(): void;
  /** Ends every call; later ones fail at once. Safe to repeat. */
  close(): void;
}

/** Everything calls are made of. */
export interface EngineApiDeps {
  readonly config: Pick<DockerConfig, "api">;
  readonly clock: Clock;
  readonly fetch: PlatformFetch;
  /** Bad while nobody answers. */
  readonly trouble: Condition;
}

interface ApiContext extends EngineApiDeps {
  readonly connection: EngineConnection;
  readonly closing: AbortController;
  /** The version that is spoken; `null`: not asked yet. */
  version: Promise<string> | null;
}

/** How long the engine may take to say which versions it speaks, ms. */
const VERSION_TIMEOUT_MS = 10_000;

/** Nothing is read or sent before the first call. */
export function createEngineApi(deps: EngineApiDeps): EngineApi {
  const connection = createConnection(deps.config.api);
  const closing = new AbortController();
  const context: ApiContext = { ...deps, connection, closing, version: null };
  const forget = () => {
    context.version = null;
    connection.forget();
  };
  return {
    address: connection.address,
    send: (call) => inVersion(context, call, readAnswer),
    async open(call) {
      const opened = await inVersion(context, call, async (response) =>
        response.status === 200 ? response : await readAnswer(response),
      );
      if (opened instanceof Response) return opened;
      if (opened.kind === "refused") throw failureOf(call.what, opened, connection.address);
      throw new ProviderError("protocol", `could not ${call.what}: status ${opened.status}`);
    },
    forget,
    close: () => closing.abort(new Error("Paastis is shutting down")),
  };
}

/** Once more when another engine has taken the place of the one that was asked for its version. */
async function inVersion<T extends EngineAnswer | Response>(
  context: ApiContext,
  call: EngineCall,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    const version = await versionFor(context, call);
    const path = `/v${version}${call.path}`;
    const answer = await exchange(context, { ...call, path }, read);
    if (answer instanceof Response || answer.kind !== "refused") return answer;
    if (!isVersionRefusal(answer) || tries > 1) return answer;
    context.version = null;
  }
}

/** Whoever asks first asks for all: who gives up waiting does not end it for the others. */
async function versionFor(context: ApiContext, call: EngineCall): Promise<string> {
  throwIfOver(context, call);
  if (context.version === null) {
    const asked = askVersion(context);
    context.version = asked;
    const forget = () => {
      if (context.version === asked) context.version = null;
    };
    asked.catch(forget);
  }
  return await unlessAborted(context.version, call.signal, `the call to ${call.what}`);
}

/** Source: moby `api/swagger.yaml`, `/_ping`: the only path, with `/version`, that needs no version before it. */
async function askVersion(context: ApiContext): Promise<string> {
  const call = {
    what: "ask the engine for its version",
    method: "GET",
    timeoutMs: VERSION_TIMEOUT_MS,
    signal: context.closing.signal,
  } as const;
  const told = await exchange(context, { ...call, path: "/_ping" }, async (response) => {
    await response.body?.cancel();
    return response.headers.get("api-version") ?? "";
  });
  if (told !== "") return chosenVersion(told);
  // A proxy in front of it may have taken the header away, or refuse the ping.
  const answer = await exchange(context, { ...call, path: "/version" }, readAnswer);
  const body = answer.kind === "done" ? answer.body : null;
  return chosenVersion(textOf(fieldsOf(body).ApiVersion));
}

async function readAnswer(response: Response): Promise<EngineAnswer> {
  const read = await readBody(response, []);
  const { status } = response;
  if (status >= 400) return refusalOf(status, read);
  const isRedirection = status >= 300 && status !== 304;
  if (read.kind === "read" && !isRedirection) return { kind: "done", status, body: read.body };
  const why = isRedirection ? `a redirection (status ${status})` : "no JSON, or not all of it";
  throw new ProviderError("protocol", `the engine's answer is ${why}; is DOCKER_HOST right?`);
}

/** Sends a call and reads what comes, within its time; every failure is put into words. */
async function exchange<T>(
  context: ApiContext,
  call: EngineCall,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  const { connection, trouble } = context;
  const { what, timeoutMs } = call;
  throwIfOver(context, call);
  const life = lifeOf(context, call);
  let result: T | null = null;
  try {
    result = await read(await request(context, call, life.signal));
    trouble.end(`the engine at ${connection.address} answers again`);
    return result;
  } catch (error) {
    throwIfOver(context, call);
    throw silenceError(
      {
        ...{ what, timeoutMs, trouble, address: connection.address },
        error: life.signal.aborted ? null : error,
        isRead: call.method === "GET",
      },
      (why) => trouble.begin(`${why}; what is known of its apps stays`),
    );
  } finally {
    life.begun({ goesOn: result instanceof Response });
  }
}

function throwIfOver({ closing }: ApiContext, { signal, what }: EngineCall): void {
  throwIfAborted(signal, `the call to ${what}`);
  throwIfAborted(closing.signal, `the call to ${what}`);
}

/** Ends a call when its time is up, its caller wants it, or the API is closed. */
function lifeOf(
  { clock, closing }: ApiContext,
  { signal, timeoutMs }: EngineCall,
): {
  readonly signal: AbortSignal;
  /** In time: from here on only its caller ends what goes on. */
  readonly begun: (how: { readonly goesOn: boolean }) => void;
} {
  const controller = new AbortController();
  const onAbort = () => controller.abort(signal.reason);
  const onClose = () => controller.abort(closing.signal.reason);
  const cancel = clock.after(timeoutMs, () => controller.abort(new Error("its time is up")));
  signal.addEventListener("abort", onAbort, { once: true });
  closing.signal.addEventListener("abort", onClose, { once: true });
  return {
    signal: controller.signal,
    begun({ goesOn }) {
      cancel();
      closing.signal.removeEventListener("abort", onClose);
      if (!goesOn) signal.removeEventListener("abort", onAbort);
    },
  };
}

async function request(
  { connection, fetch }: ApiContext,
  { method, path }: EngineCall,
  signal: AbortSignal,
): Promise<Response> {
  const { origin, init } = await connection.route();
  return await fetch(origin + path, {
    ...init,
    method,
    headers: { accept: "application/json", "user-agent": "paastis" },
    redirect: "manual",
    // The runtime would send a call once more by itself when a connection that was used before dies under it.
    keepalive: false,
    timeout: false,
    signal,
  });
}
