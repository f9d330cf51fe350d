/** The verb `events --follow`: prints what happens, and goes on where it was when the connection breaks. */

import { type Clock, createSystemClock, keepAlive, sleep } from "../clock.ts";
import { fetchFrom, notPaastis, replyFrom, whatBroke } from "./admin-client.ts";
import { type Place, type Reach, reachFrom } from "./admin-reach.ts";
import { refusalStatus, refusalText } from "./admin-refusal.ts";
import { type Body, jsonText } from "./admin-text.ts";
import { type AdminFlags, isRefused } from "./admin-verbs.ts";
import { eventLine } from "./apps-text.ts";
import { eventsCall } from "./apps-verbs.ts";
import { EXIT_UNAVAILABLE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { complain, type Surroundings } from "./surroundings.ts";

/** How long a Paastis that broke a connection may take to come back, and how often to look, ms. */
const RETURN_MS = { max: 60_000, pause: 1000 } as const;
/** No event is that long, in characters. */
const EVENT_MAX = 1_000_000;

/** What following needs besides. */
export interface FollowOptions {
  readonly flags: AdminFlags;
  /** As for the list: `name`, `since`, `limit`, `app`. */
  readonly query: Readonly<Record<string, string | undefined>>;
  readonly surroundings: Surroundings;
  /** Left out: the machine's. */
  readonly clock?: Clock;
  /** Left out: a minute. */
  readonly returnMsMax?: number;
}

interface Following extends Required<Omit<FollowOptions, "query">> {
  readonly reach: Reach;
  readonly request: ReturnType<typeof requestOf>;
  lastId: string | null;
}

/** How one connection ended. */
type End =
  | { readonly kind: "unreached"; readonly why: string }
  /** It was there, and may come back. */
  | { readonly kind: "broken"; readonly place: Place }
  | { readonly kind: "refused"; readonly status: number };

/**
 * Goes on until it is interrupted, or Paastis does not come back.
 * @returns the exit status of a refusal
 * @throws InstanceFailure 69 when nothing answers, or none of Paastis
 */
export async function followEvents(options: FollowOptions): Promise<number> {
  const { clock = createSystemClock(), flags, returnMsMax = RETURN_MS.max, surroundings } = options;
  const following: Following = {
    ...{ clock, flags, returnMsMax, surroundings },
    reach: reachFrom(flags, surroundings),
    request: requestOf(options.query),
    lastId: null,
  };
  const letGo = keepAlive();
  try {
    let end = await connect(following, following.reach.places);
    for (;;) {
      if (end.kind === "refused") return end.status;
      if (end.kind === "unreached") throw unavailable(end.why);
      end = await connectAgain(following, end.place);
    }
  } finally {
    letGo();
  }
}

function requestOf(query: FollowOptions["query"]) {
  const { request } = eventsCall(query);
  return { ...request, query: request.query ?? {} };
}

function unavailable(why: string): InstanceFailure {
  const next = "Is Paastis running there? --url, --instance or --socket say where else to ask";
  return new InstanceFailure({ what: "Nothing answers", why, next }, EXIT_UNAVAILABLE);
}

async function connectAgain(following: Following, place: Place): Promise<End> {
  const { clock, returnMsMax } = following;
  const endMs = clock.now() + returnMsMax;
  for (;;) {
    await sleep(clock, Math.min(RETURN_MS.pause, returnMsMax));
    const end = await connect(following, [place]);
    if (end.kind !== "unreached" || clock.now() >= endMs) return end;
  }
}

/** The first place that takes a connection is listened to. */
async function connect(following: Following, places: readonly Place[]): Promise<End> {
  const { flags, reach, surroundings } = following;
  const misses: string[] = [];
  for (const place of places) {
    const answer = await answerFrom(following, place);
    if (typeof answer === "string") {
      misses.push(`${place.label} (${answer})`);
      continue;
    }
    const type = answer.headers.get("content-type") ?? "";
    if (answer.status === 200 && type.startsWith("text/event-stream")) {
      await listen(following, answer);
      return { kind: "broken", place };
    }
    const reply = await replyFrom(answer, place);
    if (!isRefused(reply.body)) throw notPaastis(place, reply.status);
    if (flags.json === true) surroundings.writeOut(jsonText(reply.body));
    else complain(surroundings, refusalText("Cannot follow the events", reply, reach));
    return { kind: "refused", status: refusalStatus(reply.status) };
  }
  return { kind: "unreached", why: misses.join(", ") };
}

/** @returns why there is none */
async function answerFrom(following: Following, place: Place): Promise<Response | string> {
  const { clock, lastId, reach, request } = following;
  const headers = {
    accept: "text/event-stream",
    ...(lastId !== null && { "last-event-id": lastId }),
  };
  try {
    return await fetchFrom(place, { reach, request, headers, deps: { fetch, clock } }, null);
  } catch (error) {
    const attempt = whatBroke(error);
    return attempt.kind === "reply" ? "no answer" : attempt.why;
  }
}

/** Resolves when the stream ends, however. */
async function listen(following: Following, { body }: Response): Promise<void> {
  const decoder = new TextDecoder();
  let pending = "";
  try {
    for await (const chunk of body ?? []) {
      pending += decoder.decode(chunk, { stream: true });
      const blocks = pending.split("\n\n");
      pending = blocks.pop() ?? "";
      for (const block of blocks) print(following, block);
      if (pending.length > EVENT_MAX) return;
    }
  } catch {
    // It broke, which is as good as its end.
    return;
  }
}

function print(following: Following, block: string): void {
  const id = /^id: (.*)$/m.exec(block)?.[1];
  const data = /^data: (.*)$/m.exec(block)?.[1];
  if (id === undefined || data === undefined) return;
  following.lastId = id;
  const event = parsed(data);
  if (event === null) return;
  const { flags, surroundings } = following;
  surroundings.writeOut(flags.json === true ? lineOf(event) : eventLine(event));
}

/** One line of JSON for each. */
function lineOf(event: Body): string {
  return `${jsonText(event).trimEnd().replaceAll(/\n\s*/g, "")}\n`;
}

function parsed(data: string): Body | null {
  try {
    const value: unknown = JSON.parse(data);
    // An object of JSON has names and values.
    return typeof value === "object" && value !== null ? (value as Body) : null;
  } catch {
    return null;
  }
}
