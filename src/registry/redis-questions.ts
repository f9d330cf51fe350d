/** May an app be stopped? Asks all other instances, and answers when they ask. */

import { type Clock, deadline } from "../clock.ts";
import type { PeerListener, StopQuestion } from "../peers.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { explainRedisError } from "../redis/redis-errors.ts";
import type { RedisClaims } from "./redis-claims.ts";
import { readAnswer, readQuestion, writeAnswer, writeQuestion } from "./redis-messages.ts";
import type { Others } from "./redis-others.ts";
import { ASK, runScript } from "./redis-scripts.ts";

/** What they are made from. */
export interface QuestionsDeps {
  readonly connection: RedisConnection;
  readonly clock: Clock;
  readonly self: string;
  readonly run: string;
  readonly claims: RedisClaims;
  readonly others: Others;
  readonly lifeMs: number;
  /** How long an answer may take, ms. */
  readonly answerMs: number;
}

/** Both sides of them. */
export interface Questions {
  /** See `Peers.askToLetGo`. */
  ask(question: StopQuestion, signal: AbortSignal): Promise<string | null>;
  /** Somebody asks. Resolves when it is answered. @returns whether `text` was a question */
  asked(text: string, listener: PeerListener): boolean;
  /** @returns whether `text` was an answer */
  answered(text: string): boolean;
}

interface Context extends QuestionsDeps {
  readonly open: Map<string, Poll>;
  count: number;
}

/** A question of ours and what came of it. */
interface Poll {
  /** Those that said that it may be stopped. */
  readonly agreed: Set<string>;
  /** The first that was against it, in words. */
  objection: string | null;
  /** Called with each answer. */
  onAnswer: () => void;
}

/** Nothing is asked yet. */
export function createQuestions(deps: QuestionsDeps): Questions {
  const context: Context = { ...deps, open: new Map(), count: 0 };
  return {
    ask: (question, signal) => ask(context, question, signal),
    asked(text, listener) {
      const message = readQuestion(text);
      if (message === null) return false;
      const { from, id, question } = message;
      if (from !== deps.self) void answer(context, id, listener.mayStop(question, from));
      return true;
    },
    answered(text) {
      const message = readAnswer(text);
      if (message === null) return false;
      const { from, id, why } = message;
      const poll = context.open.get(id);
      if (why === null) poll?.agreed.add(from);
      else if (poll) poll.objection ??= `instance ${from}: ${why}`;
      poll?.onAnswer();
      return true;
    },
  };
}

/** An answer that is lost keeps the app awake. */
async function answer(context: Context, id: string, why: string | null): Promise<void> {
  const { client, key } = context.connection;
  const message = writeAnswer({ from: context.self, id, why });
  await client.publish(key("answers"), message).catch(() => undefined);
}

async function ask(
  context: Context,
  question: StopQuestion,
  signal: AbortSignal,
): Promise<string | null> {
  context.count += 1;
  const id = `${context.self}/${context.run}-${context.count}`;
  const poll: Poll = { agreed: new Set(), objection: null, onAnswer: () => undefined };
  // The first answer may come before Redis has told us who is there.
  context.open.set(id, poll);
  try {
    const live = await publish(context, id, question);
    if (live === null) return "the sole right to change it was lost";
    const asked = new Set([...live, ...context.others.names()]);
    return await outcome(context, { poll, asked, signal });
  } catch (error) {
    return `the other instances cannot be asked over Redis: ${explainRedisError(error)}`;
  } finally {
    context.open.delete(id);
  }
}

/** @returns the others that live; `null`: the claim is not ours any more */
async function publish(
  context: Context,
  id: string,
  question: StopQuestion,
): Promise<readonly string[] | null> {
  const { claims, connection, lifeMs, others, self } = context;
  const { fence, ref, unusedMs } = question;
  const token = claims.tokenOf(ref);
  if (token === null) return null;
  const message = writeQuestion({ from: self, id, question: { ref, fence, unusedMs } });
  const isAnyKnown = others.names().length > 0 ? 1 : 0;
  const reply = await runScript(connection, ASK, {
    keys: [connection.key("instances"), connection.key(`lock:${ref.provider}/${ref.id}`)],
    words: [self, lifeMs, token, connection.key("questions"), message, isAnyKnown],
  });
  const [isOurs, live]: unknown[] = Array.isArray(reply) ? reply : [];
  return isOurs === 1 && Array.isArray(live) ? live.map(String) : null;
}

/** Waits until all have agreed, one is against it, or the time is up. */
async function outcome(
  { answerMs, clock }: Context,
  wait: { readonly poll: Poll; readonly asked: ReadonlySet<string>; readonly signal: AbortSignal },
): Promise<string | null> {
  const { asked, poll, signal } = wait;
  const missing = () => [...asked].filter((name) => !poll.agreed.has(name));
  const { promise, resolve } = Promise.withResolvers<void>();
  const limit = deadline(clock, answerMs, { reason: null, parent: signal });
  const onEnd = () => resolve();
  limit.signal.addEventListener("abort", onEnd, { once: true });
  poll.onAnswer = () => {
    if (poll.objection !== null || missing().length === 0) resolve();
  };
  poll.onAnswer();
  if (limit.signal.aborted) resolve();
  await promise;
  limit.end();
  if (poll.objection !== null) return poll.objection;
  const silent = missing();
  if (silent.length === 0) return null;
  if (signal.aborted) return "the question to the other instances was called off";
  const names = silent.join(", ");
  return silent.length === 1
    ? `instance ${names} does not answer`
    : `instances ${names} do not answer`;
}
