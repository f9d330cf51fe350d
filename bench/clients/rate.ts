/** Requests at a fixed rate, whether or not answers come: an open loop, as visitors are. */

import { type Answer, connectHttp, type HttpClient } from "./http-client.ts";

/** How often it looks whether a request is due, ms. */
const TICK_MS = 1;

/** What became of the requests. */
export interface RateResult {
  /** Each from its sending to the end of its answer, ms. */
  readonly latenciesMs: readonly number[];
  /** Requests without an answer, or with another one than expected; why, each once. */
  readonly lost: number;
  readonly reasons: readonly string[];
}

/** A load that goes on until it is ended. */
export interface RateLoad {
  /** Waits for what is under way. */
  end(): Promise<RateResult>;
}

interface State {
  readonly port: number;
  readonly request: Uint8Array;
  readonly isRight: (answer: Answer) => boolean;
  readonly free: HttpClient[];
  readonly open: Set<HttpClient>;
  readonly underWay: Set<Promise<void>>;
  readonly latenciesMs: number[];
  readonly reasons: Set<string>;
  lost: number;
}

/** Begins. Connections are kept; another is made whenever none is free. */
export function startRate(options: {
  readonly port: number;
  readonly request: Uint8Array;
  readonly perSecond: number;
  readonly isRight?: (answer: Answer) => boolean;
}): RateLoad {
  const { port, request, perSecond, isRight = ({ status }) => status === 200 } = options;
  const state: State = {
    ...{ port, request, isRight, lost: 0 },
    ...{ free: [], open: new Set(), underWay: new Set(), latenciesMs: [], reasons: new Set() },
  };
  const beganMs = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    const due = Math.floor(((performance.now() - beganMs) * perSecond) / 1000);
    for (; sent < due; sent += 1) send(state);
  }, TICK_MS);
  return {
    async end() {
      clearInterval(timer);
      await Promise.all(state.underWay);
      for (const client of state.open) client.close();
      const { latenciesMs, lost, reasons } = state;
      return { latenciesMs, lost, reasons: [...reasons] };
    },
  };
}

/** So much of it. */
export async function rateFor(
  ms: number,
  options: Parameters<typeof startRate>[0],
): Promise<RateResult> {
  const load = startRate(options);
  await Bun.sleep(ms);
  return load.end();
}

function send(state: State): void {
  const sending = ask(state).catch((error) => {
    state.lost += 1;
    state.reasons.add(error instanceof Error ? error.message : String(error));
  });
  state.underWay.add(sending);
  sending.finally(() => state.underWay.delete(sending));
}

async function ask(state: State): Promise<void> {
  const sinceMs = performance.now();
  const client = await takeClient(state);
  const answer = await client.ask(state.request);
  state.latenciesMs.push(performance.now() - sinceMs);
  state.free.push(client);
  if (!state.isRight(answer)) throw new Error(`a wrong answer: ${answer.head.split("\r\n")[0]}`);
}

/** The last one used, so that those not needed are closed by the server rather than all being kept busy. */
async function takeClient(state: State): Promise<HttpClient> {
  for (let client = state.free.pop(); client !== undefined; client = state.free.pop()) {
    if (!client.isOver) return client;
    state.open.delete(client);
  }
  const client = await connectHttp(state.port);
  state.open.add(client);
  return client;
}
