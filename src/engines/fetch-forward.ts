/** One attempt to carry a request to its target and the answer back, with `fetch`. */

import { addressOf } from "../app.ts";
import { dropHopByHop, editAnswerHeaders, setDestination, setForwarded } from "../headers.ts";
import { routeTo } from "../target-route.ts";
import type { Exchange, ForwardFailure } from "./engine.ts";
import { type BodyEnd, isStreamed, streamed } from "./fetch-answer.ts";
import {
  conduct,
  type FetchContext,
  GONE,
  type Journey,
  legOf,
  type Outcome,
  reportFailure,
} from "./fetch-context.ts";
import { type Expiry, hasDeadline, watchAttempt } from "./fetch-deadline.ts";
import { failureOf, isIdempotent } from "./forward-failure.ts";

/** Forwards a request to wherever the core sends it, as often as the core says. */
export async function forward(context: FetchContext, journey: Journey): Promise<Response> {
  const admission = context.handler.admit(journey.head);
  const trip: Trip = { ...journey, isFresh: admission.kind === "forward", isEdited: false };
  const response = await conduct(context, journey, {
    admission,
    attempt: (exchange) => attempt(context, trip, exchange),
  });
  if (response === undefined) throw new Error("A request that is no upgrade was upgraded");
  return response;
}

interface Trip extends Journey {
  /** Its body can still be read as cheaply as it came: nothing was tried and no time has passed. */
  isFresh: boolean;
  /** Its headers have been edited, in place. */
  isEdited: boolean;
}

async function attempt(context: FetchContext, trip: Trip, exchange: Exchange): Promise<Outcome> {
  const { handler } = context;
  const reached = await reach(context, trip, exchange);
  if (reached === null) {
    handler.release(exchange);
    return GONE;
  }
  if (!(reached instanceof Response)) return reportFailure(context, exchange, reached);

  const replayable = isUntouched(trip.request) && isIdempotent(trip.head.method);
  const answerHead = {
    status: reached.status,
    header: (name: string) => reached.headers.get(name),
  };
  const other = handler.answered(exchange, answerHead, replayable);
  if (other !== null) {
    reached.body?.cancel().catch(ignore);
    return other;
  }
  return { kind: "carried", response: passOn(context, { trip, exchange }, reached) };
}

/** The target's answer, why there is none, or `null` when the client has left. Never throws. */
async function reach(
  context: FetchContext,
  trip: Trip,
  exchange: Exchange,
): Promise<Response | ForwardFailure | null> {
  const { request } = trip;
  if (request.signal.aborted) return null;
  const { target } = exchange;
  let expiry: Expiry | undefined;
  let signal = request.signal;
  let endWatch = ignore;
  if (hasDeadline(context.limits, target)) {
    const controller = linkedTo(request.signal);
    signal = controller.signal;
    endWatch = watchAttempt(context.clock, { ...context.limits, target }, (expired) => {
      expiry = expired;
      controller.abort();
    });
  }
  try {
    const init = requestInit(trip, exchange, signal);
    init.keepalive = context.upstream.keepAlive;
    return await fetch(target.origin + trip.head.target, init);
  } catch (error) {
    if (request.signal.aborted) return null;
    const failure = expiry ?? failureOf(error);
    const isUnseen = expiry === undefined && failure.kind === "unreachable";
    const isHarmless = isUnseen || isIdempotent(trip.head.method);
    const isWorthwhile = isHarmless && failure.kind !== "exhausted";
    return { ...failure, replayable: isWorthwhile && isUntouched(request) };
  } finally {
    endWatch();
  }
}

/** Aborts with the client, or by itself. */
function linkedTo(client: AbortSignal): AbortController {
  const controller = new AbortController();
  client.addEventListener("abort", () => controller.abort(client.reason), { once: true });
  return controller;
}

function requestInit(trip: Trip, exchange: Exchange, signal: AbortSignal): BunFetchRequestInit {
  const { request } = trip;
  const { headers } = request;
  if (!trip.isEdited) {
    trip.isEdited = true;
    trip.head.remember();
    dropHopByHop(headers);
    setForwarded(headers, trip.forwarding);
    // Left out, `fetch` would say that it is Bun; an empty one is the nearest to none.
    if (!headers.has("user-agent")) headers.set("user-agent", "");
  }
  exchange.requestId = trip.forwarding.requestId;
  setDestination(headers, legOf(trip, exchange), trip.origin);
  const body = bodyOf(trip);
  // Its own bytes pass where we do not see them: one without a length counts for nothing.
  if (body !== null) exchange.receivedBytes = Number(trip.head.header("content-length")) || 0;
  return {
    method: request.method,
    headers,
    body,
    signal,
    redirect: "manual",
    decompress: false,
    proxy: false,
    timeout: false,
    ...routeTo(exchange.target, exchange.app.policy),
  };
}

/**
 * The body, for an attempt that may fail. Given Bun's own stream, `fetch` begins to read it before
 * it has a connection when some of the body has arrived already, so that after a refused connection
 * nothing is left to send. From a generator it reads only once connected; that costs 20 µs more, so
 * fresh requests go without.
 */
function bodyOf(trip: Trip): ReadableStream<Uint8Array> | AsyncGenerator<Uint8Array> | null {
  const { body } = trip.request;
  if (body === null) return null;
  if (!trip.isFresh) return piecesOf(body);
  trip.isFresh = false;
  return body;
}

async function* piecesOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* body;
}

/** Nothing of the body has been read, so all of it can still be sent. */
function isUntouched(request: Request): boolean {
  return request.body === null || !(request.bodyUsed || request.body.locked);
}

/** The answer as the client gets it; the lease goes back when the client has all of it. */
function passOn(
  context: FetchContext,
  passage: { readonly trip: Trip; readonly exchange: Exchange },
  response: Response,
): Response {
  const { handler, completions, log, silence } = context;
  const { trip, exchange } = passage;
  editAnswerHeaders(response.headers, legOf(trip, exchange));
  const release = () => handler.release(exchange);
  const length = response.headers.get("content-length");
  if (!isStreamed(response, length)) {
    if (length !== null && trip.head.method !== "HEAD") exchange.sentBytes = Number(length) || 0;
    silence.keptAlive(trip.request);
    completions.add(trip.request, release);
    return response;
  }
  const onEnd = (end: BodyEnd) => {
    if (end === "left") return release();
    silence.keptAlive(trip.request);
    if (end === "broken" && !trip.request.signal.aborted) {
      const fields = { app: exchange.app.key, upstream: addressOf(exchange.target) };
      log.warn(fields, "an app broke its answer off, and so did we towards the client");
    }
    completions.add(trip.request, release);
  };
  return streamed(response, onEnd, exchange);
}

function ignore(): void {
  // An answer that is dropped may break while it is.
}
