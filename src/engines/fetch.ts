/** The fetch engine: listens with `Bun.serve`, forwards with `fetch`, bridges WebSockets. */

import type { Server } from "bun";
import { createTrust } from "../client-address.ts";
import { ANSWER_CODES, type AnswerCode, messageOf } from "../errors.ts";
import type { Engine, EngineOptions } from "./engine.ts";
import { createFetchCarrier } from "./fetch-carrier.ts";
import { createCompletions } from "./fetch-completion.ts";
import { beginJourney, type FetchContext, ownAnswer } from "./fetch-context.ts";
import { forward } from "./fetch-forward.ts";
import { type FetchListener, listenForRequests } from "./fetch-listener.ts";
import { headOf, isWebSocketUpgrade, refusalOf } from "./fetch-request.ts";
import { createRelief, createSilence, type SilenceLimits, silenceFor } from "./fetch-silence.ts";
import { createStop } from "./fetch-stop.ts";
import { warmUpFetch } from "./fetch-warm-up.ts";
import { type Bridge, bridge, websocketHandler } from "./fetch-websocket.ts";
import { createQuietSockets } from "./quiet-sockets.ts";

/** The fetch engine's own setting besides. */
export interface FetchEngineOptions extends EngineOptions {
  /** How long clients' connections may be silent; `silenceFor` the limits unless given. */
  readonly silence?: Partial<SilenceLimits>;
}

/**
 * Listens, at once.
 * @throws PaastisError `listen_failed` when it cannot
 */
export function createFetchEngine(options: FetchEngineOptions): Engine {
  const { handler, clock, log } = options;
  const silence = { ...silenceFor(options.limits), ...options.silence };
  const context: FetchContext = {
    handler,
    clock,
    log,
    limits: {
      connectTimeoutMs: options.upstream.connectTimeoutMs,
      responseTimeoutMs: options.upstream.timeoutMs,
    },
    upstream: options.upstream,
    forwarded: options.forwarded,
    newRequestId: options.newRequestId,
    withoutSecrets: options.withoutSecrets,
    scheme: options.certificates === null ? "http" : "https",
    isTrusted: createTrust(options.forwarded.trustedProxies),
    completions: createCompletions(clock, () => listener),
    silence: createSilence(silence, () => listener),
    relieve: createRelief(clock, () => listener),
    bridges: new Set(),
    quiet: createQuietSockets({ handler, clock }),
  };
  warmUpFetch();
  const listener = listen(context, options, silence.idleS);
  return {
    name: "fetch",
    port: listener.port,
    get inFlight() {
      return listener.pendingRequests + context.bridges.size;
    },
    carrier: createFetchCarrier(context),
    succession: null,
    closeQuiet: context.quiet.closeQuiet,
    upstreamSockets: null,
    stop: createStop(context, listener),
  };
}

function listen(context: FetchContext, options: EngineOptions, idleS: number): FetchListener {
  return listenForRequests(
    { ...options, idleS },
    {
      fetch: (request, server) => serve(context, request, server),
      error: (error) => {
        context.log.warn({ reason: messageOf(error) }, "an app broke its answer off");
        return plainAnswer("upstream_broken");
      },
      websocket: websocketHandler(context),
    },
  );
}

/** Takes a request in, and answers even when we are wrong. */
async function serve(
  context: FetchContext,
  request: Request,
  server: Server<Bridge>,
): Promise<Response | undefined> {
  // Until it is held or forwarded nothing waits, so the short limit of the listener cannot cut it.
  try {
    const head = headOf(request, server);
    const refusal = refusalOf(request, head);
    if (refusal !== null) {
      const answer = context.handler.refuse(refusal.code, refusal.why, head);
      return ownAnswer(context, request, answer);
    }
    const journey = beginJourney(context, { request, head });
    if (isWebSocketUpgrade(head)) return await bridge(context, journey, server);
    return await forward(context, journey);
  } catch (error) {
    const stack = error instanceof Error ? error.stack : undefined;
    context.log.error({ reason: messageOf(error), stack }, "a request broke: please report it");
    context.silence.idle(request);
    return plainAnswer("internal");
  }
}

/** The answer when the core cannot give one. */
function plainAnswer(code: AnswerCode): Response {
  const { status, meaning, remedy } = ANSWER_CODES[code];
  return new Response(`${meaning} ${remedy}\n`, {
    status,
    headers: { "content-type": "text/plain; charset=utf-8", "paastis-error": code },
  });
}
