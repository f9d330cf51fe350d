/** Keeps the engine's stream of events open, however often it ends. */

import { type CancelTimer, deadline, sleep } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { filtersOf } from "./docker-calls.ts";
import type { DockerContext } from "./docker-context.ts";
import { type ContainerEvent, linesOf, readEvent } from "./docker-events.ts";
import { ENABLED } from "./docker-labels.ts";
import { createCondition } from "./platform-condition.ts";
import { ProviderError } from "./provider.ts";

/** Who listens to a stream. */
export interface StreamListener {
  /** From now on nothing is missed. @param isSteady whether streams have lasted of late */
  onOpen(isSteady: boolean): void;
  onEvent(event: ContainerEvent): void;
  /** Ends the listening. */
  readonly signal: AbortSignal;
}

/** How long the engine may take to begin the stream, ms. */
const OPEN_TIMEOUT_MS = 15_000;
/** A stream is opened anew after so long, ms: on some ways it falls silent without an end. */
const RENEW_MS = 5 * 60_000;
/** A stream that has lasted so long is one, ms: what is none ends at once, again and again. */
const STEADY_MS = 5_000;
/** More streams in a row than these that did not last are worth a line in the log: one or two come with a restart. */
const SHORT_MAX = 2;
/** Pause before a stream is opened again, ms: doubles, spread by chance between half and all. */
const RETRY_FIRST_MS = 200;
/** The longest while the engine is away: whoever waits for it wants to know when it is back. */
const RETRY_AWAY_MS = 5_000;
/** The longest while it is there and has no stream for us. */
const RETRY_REFUSED_MS = 10_000;

/** What a try came to. */
type Ended =
  /** It lasted. */
  | { readonly kind: "lasted" }
  /** The engine did not answer, which is said elsewhere. */
  | { readonly kind: "away" }
  /** It answers, but not with its events. */
  | { readonly kind: "refused"; readonly why: string }
  | { readonly kind: "short"; readonly why: string };

/** Listens until the signal aborts. Never rejects. */
export async function followEvents(
  context: DockerContext,
  listener: StreamListener,
): Promise<void> {
  const { api, clock, log, memory, random } = context;
  const { signal } = listener;
  const trouble = createCondition({
    bad: (fields, message) => log.warn(fields, message),
    good: (fields, message) => log.info(fields, message),
    fields: { provider: "docker" },
    clock,
  });
  let failures = 0;
  while (!signal.aborted) {
    const ended = await followOnce(context, {
      ...listener,
      onOpen: () => listener.onOpen(failures <= SHORT_MAX),
      onSteady() {
        failures = 0;
        trouble.end("the engine's events can be listened to again");
      },
    });
    memory.setInformed(false);
    if (signal.aborted) break;
    failures += 1;
    const isBad = ended.kind === "refused" || (ended.kind === "short" && failures > SHORT_MAX);
    if (isBad) trouble.begin(`${ended.why}; ${ONLY_SWEEPS}`);
    // It may be another engine that answers next time.
    api.forget();
    const longestMs = isBad ? RETRY_REFUSED_MS : RETRY_AWAY_MS;
    const pauseMs = Math.min(longestMs, RETRY_FIRST_MS * 2 ** Math.min(failures - 1, 10));
    // When the signal ends it, the loop ends, too.
    await sleep(clock, pauseMs * (0.5 + random() / 2), signal).catch(() => undefined);
  }
}

const ONLY_SWEEPS = "what happens to containers is noticed by sweeps and requests alone";

/** Never rejects. */
async function followOnce(
  context: DockerContext,
  listener: StreamListener & { readonly onSteady: () => void },
): Promise<Ended> {
  const { clock, log } = context;
  const reason = new Error("it is time to open it anew");
  const renewal = deadline(clock, RENEW_MS, { reason, parent: listener.signal });
  let hasBegun = false;
  let hasLasted = false;
  let cancel: CancelTimer = () => undefined;
  try {
    await listen(context, renewal.signal, {
      ...listener,
      onOpen(isSteady) {
        hasBegun = true;
        cancel = clock.after(STEADY_MS, () => {
          hasLasted = true;
          listener.onSteady();
        });
        listener.onOpen(isSteady);
      },
    });
    return hasLasted ? { kind: "lasted" } : { kind: "short", why: ENDS_AT_ONCE };
  } catch (error) {
    log.debug({ provider: "docker", reason: messageOf(error) }, "the events have ended");
    if (hasLasted) return { kind: "lasted" };
    if (hasBegun) return { kind: "short", why: ENDS_AT_ONCE };
    // That the engine does not answer at all is said elsewhere.
    const isAway = !(error instanceof ProviderError) || error.trouble !== null;
    return isAway ? { kind: "away" } : { kind: "refused", why: error.message };
  } finally {
    cancel();
    renewal.end();
  }
}

const ENDS_AT_ONCE = "the engine's events end as soon as they are listened to";

/** Resolves with the end of the stream. @throws ProviderError, or what the connection dies of */
async function listen(
  { api, memory }: DockerContext,
  signal: AbortSignal,
  listener: StreamListener,
): Promise<void> {
  const filters = filtersOf({ type: ["container"], label: [ENABLED] });
  const what = "listen to its events";
  const response = await api.open({
    ...{ what, method: "GET", path: `/events?filters=${filters}` },
    ...{ timeoutMs: OPEN_TIMEOUT_MS, signal },
  });
  const type = response.headers.get("content-type") ?? "";
  if (response.body === null || type.startsWith("text/html")) {
    await response.body?.cancel();
    const answer = type === "" ? "nothing" : `a page (${type.slice(0, 40)})`;
    throw new ProviderError("protocol", `could not ${what}: the answer is ${answer}, not a stream`);
  }
  // From here on nothing is missed.
  memory.setInformed(true);
  listener.onOpen(true);
  for await (const line of linesOf(response.body)) {
    const event = readEvent(line);
    if (event !== null) listener.onEvent(event);
  }
}
