/** A core made of a script: it sends requests where it is told and counts what it gets back. */

import { type App, type Policy, type Target, targetOf } from "../../src/app.ts";
import type {
  Admission,
  Answer,
  AnswerHead,
  Exchange,
  ForwardFailure,
  RequestHandler,
  RequestHead,
} from "../../src/engines/engine.ts";
import { ANSWER_CODES } from "../../src/errors.ts";
import { createTraffic } from "../../src/traffic.ts";

export interface ScriptedHandler extends RequestHandler {
  /** Exchanges handed out and not handed back. */
  readonly leases: number;
  /** Exchanges handed back although they were back already. */
  readonly doubles: number;
  readonly abandoned: number;
  /** Connections that are open, hold nothing, and may speak again. */
  readonly rested: ReadonlySet<Exchange>;
  readonly heads: readonly RequestHead[];
  readonly answers: readonly number[];
  readonly failures: readonly ForwardFailure[];
  /** A new exchange for this head. */
  exchange(head: RequestHead, to?: Target): Exchange;
  /** A held admission, and how to decide it. */
  hold(): {
    admission: Admission;
    decide(decision: Exchange | { kind: "answer"; answer: Answer }): void;
  };
}

export interface Script {
  readonly admit?: (head: RequestHead, handler: ScriptedHandler) => Admission;
  readonly failed?: (failure: ForwardFailure, exchange: Exchange) => Admission;
  readonly answered?: (
    answer: AnswerHead,
    exchange: Exchange,
    replayable: boolean,
  ) => Admission | null;
  readonly preserveHost?: boolean;
  /** What else the app's policy says. */
  readonly policy?: Partial<Policy>;
}

/** @param origin where requests go when the script says nothing else */
export function createScriptedHandler(origin: string, script: Script = {}): ScriptedHandler {
  const out = new Set<Exchange>();
  const rested = new Set<Exchange>();
  const state = { doubles: 0, abandoned: 0 };
  const heads: RequestHead[] = [];
  const answers: number[] = [];
  const failures: ForwardFailure[] = [];
  const preserveHost = script.preserveHost ?? false;
  const app = appOf({ preserveHost, ...script.policy });
  const back = (exchange: Exchange) => {
    if (!out.delete(exchange)) state.doubles += 1;
  };
  const handler: ScriptedHandler = {
    get leases() {
      return out.size;
    },
    get doubles() {
      return state.doubles;
    },
    get abandoned() {
      return state.abandoned;
    },
    rested,
    heads,
    answers,
    failures,
    exchange(head, to = targetOf(origin)) {
      const exchange: Exchange = {
        kind: "forward",
        app,
        target: to,
        head,
        admittedMs: 0,
        failures: failures.length,
        ignored: null,
        status: 0,
        sentBytes: 0,
        receivedBytes: 0,
        requestId: null,
      };
      out.add(exchange);
      return exchange;
    },
    hold() {
      const { promise, resolve } = Promise.withResolvers<
        Exchange | { kind: "answer"; answer: Answer }
      >();
      const abandon = () => {
        state.abandoned += 1;
      };
      return { admission: { kind: "held", decision: promise, abandon }, decide: resolve };
    },
    admit(head) {
      heads.push(head);
      return script.admit?.(head, handler) ?? handler.exchange(head);
    },
    answered(exchange, answer, replayable) {
      answers.push(answer.status);
      const other = script.answered?.(answer, exchange, replayable) ?? null;
      if (other !== null) back(exchange);
      return other;
    },
    failed(exchange, failure) {
      back(exchange);
      failures.push(failure);
      return script.failed?.(failure, exchange) ?? textAnswer(502, failure.kind);
    },
    release: back,
    rest(exchange) {
      back(exchange);
      rested.add(exchange);
    },
    closed: (exchange) => void rested.delete(exchange),
    resume(exchange) {
      rested.delete(exchange);
      out.add(exchange);
    },
    refuse: (code, why) => textAnswer(ANSWER_CODES[code].status, `${code}: ${why}`).answer,
  };
  return handler;
}

/** An answer of Paastis itself, for scripts. */
export function textAnswer(status: number, body: string): { kind: "answer"; answer: Answer } {
  return { kind: "answer", answer: { status, headers: [["content-type", "text/plain"]], body } };
}

function appOf(policy: Partial<Policy>): App {
  return {
    ref: { provider: "process", id: "shop" },
    key: "shop",
    sleepsByItself: false,
    settings: null,
    firstSeenMs: 0,
    policy: {
      maxIdleMs: null,
      linkedKeys: [],
      health: { path: null },
      wakeTimeoutMs: null,
      preserveHost: false,
      tlsVerify: true,
      tlsCa: null,
      ignored: false,
      ignore: null,
      keepAwake: null,
      forceSleep: null,
      busyUrl: null,
      keepAwakeHeaderMaxMs: null,
      websocketMaxQuietMs: null,
      hooks: null,
      ...policy,
    },
    state: { kind: "unknown", sinceMs: 0 },
    fence: 0,
    snapshot: null,
    lastTarget: null,
    runsAt: null,
    leases: 0,
    leasesElsewhere: 0,
    waiting: 0,
    idleSinceMs: 0,
    lastUsedMs: null,
    wakeHistoryMs: [],
    pause: null,
    keepAwake: null,
    ownWord: null,
    traffic: createTraffic(),
    links: [],
    linkedFrom: [],
  };
}
