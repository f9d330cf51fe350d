/** What the parts of the fetch engine share, and the loop that follows an admission to its end. */

import type { Clock } from "../clock.ts";
import type { Config, UpstreamConfig } from "../config.ts";
import type { Forwarding, Leg } from "../headers.ts";
import { publicAddressOf } from "../headers.ts";
import type { Log } from "../log.ts";
import type {
  Admission,
  Answer,
  Decision,
  Exchange,
  ForwardFailure,
  Held,
  RequestHandler,
} from "./engine.ts";
import { answerToNobody, responseOf } from "./fetch-answer.ts";
import type { Completions } from "./fetch-completion.ts";
import type { Limits } from "./fetch-deadline.ts";
import type { FetchHead } from "./fetch-request.ts";
import type { Silence } from "./fetch-silence.ts";
import type { QuietSockets } from "./quiet-sockets.ts";

/** A client's WebSocket and the target's, for the engine that must close them. */
export interface OpenBridge {
  readonly exchange: Exchange;
  /** Closes both sides, politely. */
  close(code: number, reason: string): void;
  /** Ends both sides now. */
  cut(): void;
}

/** Everything one engine has. */
export interface FetchContext {
  readonly handler: RequestHandler;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: Limits;
  readonly upstream: UpstreamConfig;
  readonly forwarded: Config["forwarded"];
  readonly newRequestId: () => string;
  readonly withoutSecrets: Forwarding["withoutSecrets"];
  /** What clients speak to us. */
  readonly scheme: "http" | "https";
  readonly isTrusted: (address: string) => boolean;
  readonly completions: Completions;
  readonly silence: Silence;
  /** Gives up idle connections, when we have nothing left to open new ones with. */
  readonly relieve: () => void;
  readonly bridges: Set<OpenBridge>;
  readonly quiet: QuietSockets;
}

/** One request on its way. */
export interface Journey {
  readonly request: Request;
  readonly head: FetchHead;
  readonly forwarding: Forwarding;
  /** The client's own `Origin`. */
  readonly origin: string | null;
}

/**
 * An attempt's result: another admission to follow, or the end. `undefined`: the connection was
 * upgraded.
 */
export type Outcome = Admission | { readonly kind: "carried"; readonly response?: Response };

/** The client left: nothing is owed to anybody. */
export const GONE: Outcome = Object.freeze({ kind: "carried" as const });

/** Reads what must be known about the client before its headers are edited. */
export function beginJourney(
  context: FetchContext,
  arrival: Pick<Journey, "request" | "head">,
): Journey {
  const { head } = arrival;
  const address = head.clientAddress;
  const trusted = context.isTrusted(address);
  return {
    ...arrival,
    origin: head.header("origin"),
    forwarding: {
      enabled: context.forwarded.enabled,
      peer: { address, trusted },
      public: publicAddressOf(
        head.header,
        { scheme: context.scheme, host: head.host ?? "" },
        trusted,
      ),
      requestId: null,
      newRequestId: context.newRequestId,
      withoutSecrets: context.withoutSecrets,
    },
  };
}

/** How addresses are rewritten for this exchange. */
export function legOf(journey: Journey, exchange: Exchange): Leg {
  const { target, app } = exchange;
  const host = app.policy.preserveHost ? (journey.head.host ?? target.host) : target.host;
  return { public: journey.forwarding.public, target, host };
}

/** Reports an attempt that came to nothing; follow the admission instead. */
export function reportFailure(
  context: FetchContext,
  exchange: Exchange,
  failure: ForwardFailure,
): Admission {
  if (failure.kind === "exhausted") context.relieve();
  return context.handler.failed(exchange, failure);
}

/** An answer of our own, and what its connection is allowed afterwards. */
export function ownAnswer(context: FetchContext, request: Request, answer: Answer): Response {
  const { log, silence } = context;
  const { body } = answer;
  if (typeof body === "string" || request.method === "HEAD") {
    silence.idle(request);
    return responseOf(answer, request.method, log);
  }
  silence.underWay(request);
  const watched = { ...answer, body: withEnd(body, () => silence.idle(request)) };
  return responseOf(watched, request.method, log);
}

/** The same pieces; `onEnd` is called after the last, not when they were ended before. */
async function* withEnd(pieces: AsyncIterable<string>, onEnd: () => void): AsyncGenerator<string> {
  yield* pieces;
  onEnd();
}

/** Follows admissions, attempt after attempt, until the client has its answer or has left. */
export async function conduct(
  context: FetchContext,
  journey: Journey,
  plan: {
    readonly admission: Admission;
    readonly attempt: (exchange: Exchange) => Promise<Outcome>;
  },
): Promise<Response | undefined> {
  const { request } = journey;
  if (plan.admission.kind !== "answer") context.silence.underWay(request);
  let next: Outcome = plan.admission;
  for (;;) {
    switch (next.kind) {
      case "carried":
        return next === GONE ? answerToNobody() : next.response;
      case "answer":
        return ownAnswer(context, request, next.answer);
      case "held":
        next = (await decisionOf(next, request.signal)) ?? GONE;
        break;
      case "forward":
        next = await plan.attempt(next);
        break;
    }
  }
}

/**
 * Waits for a held request's decision; `null` when the client left first, which is then reported
 * once.
 */
function decisionOf(held: Held, signal: AbortSignal): Promise<Decision | null> {
  return new Promise((resolve) => {
    const onAbort = () => {
      held.abandon();
      resolve(null);
    };
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    void held.decision.then((decision) => {
      signal.removeEventListener("abort", onAbort);
      resolve(decision);
    });
  });
}
