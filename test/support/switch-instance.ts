/** One of several instances that share the switches of the app `shop`: a switchboard over them, and what it carries. */

import { type App, addressOf, targetOf } from "../../src/app.ts";
import type { Clock } from "../../src/clock.ts";
import { createEventBus, type PaastisEvent } from "../../src/events.ts";
import type { SwitchSpace } from "../../src/redis/switch-space.ts";
import type { StateFile } from "../../src/state-file.ts";
import type { SwitchOutcome } from "../../src/switch-context.ts";
import type { SwitchPolicy } from "../../src/switch-policy.ts";
import { openSharedSwitchStore, type SharedSwitchStore } from "../../src/switch-shared-store.ts";
import { openSwitchStore } from "../../src/switch-store.ts";
import { createSwitchboard, type Switchboard } from "../../src/switchboard.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { sampleApp } from "./sample-app.ts";

export const PORTS = [8001, 8002, 8003, 8004] as const;

export interface SwitchInstance {
  readonly app: App;
  readonly board: Switchboard;
  readonly store: SharedSwitchStore;
  readonly events: readonly PaastisEvent[];
  readonly lines: readonly LogLine[];
  /** Sockets that it carries, by address. */
  readonly sockets: Map<string, number>;
  /** How often its pause was heard to change. */
  readonly pauses: (string | null)[];
  /** The port that its requests go to. */
  port(): number;
  switchTo(port: number, idempotencyKey?: string): Promise<SwitchOutcome>;
  pause(kind: "paused" | "maintenance" | null): Promise<void>;
  /** So many of its requests were answered by the app, and so many of those went wrong. */
  carry(requests: number, errors: number): void;
  named(name: string): readonly PaastisEvent[];
  /** It ends: nothing more is stored by it. */
  close(): Promise<void>;
}

export const POLICY: SwitchPolicy = {
  gate: {
    path: "/health",
    method: "GET",
    host: null,
    statuses: [[200, 299]],
    successes: 1,
    timeoutMs: 1000,
  },
  hosts: [],
  drain: "immediate",
  drainMs: 3000,
  windowMs: 10_000,
  checkEveryMs: 1000,
  failsMax: 3,
  traffic: { requestsMin: 10, errorRateMin: 0.1, timesWorse: 2 },
};

/** Its app is declared to be at the first of `PORTS`. */
export function createSwitchInstance(options: {
  readonly clock: Clock;
  readonly space: SwitchSpace;
  /** Looks at targets. */
  readonly fetch: typeof fetch;
  readonly policy?: Partial<SwitchPolicy>;
  readonly file?: StateFile | null;
  readonly isLocal?: (key: string) => boolean;
  readonly mayLead?: (key: string, address: string) => boolean;
  readonly newId?: () => string;
}): SwitchInstance {
  const { clock, space, fetch, policy } = options;
  const { log, lines } = recordingLog();
  const events: PaastisEvent[] = [];
  const onListenerError = (error: unknown) => {
    throw error;
  };
  const bus = createEventBus({ now: clock.now, random: () => 0.5, onListenerError });
  bus.subscribe((event) => events.push(event));
  const file = openSwitchStore({ file: options.file ?? null, soleApp: null, log });
  const store = openSharedSwitchStore({
    ...{ space, file, clock, log },
    isLocal: options.isLocal ?? (() => false),
    ...(options.mayLead && { mayLead: options.mayLead }),
  });
  const declared = targetOf(`http://127.0.0.1:${PORTS[0]}`);
  const active = store.recordOf("shop").active;
  const app = sampleApp("shop", {
    ref: { provider: "ports", id: "shop" },
    state: {
      kind: "awake",
      sinceMs: clock.now(),
      target: active === null ? declared : targetOf(active),
    },
  });
  const sockets = new Map<string, number>();
  const pauses: (string | null)[] = [];
  const board = createSwitchboard({
    clock,
    random: () => 0.5,
    log,
    events: bus,
    lifecycle: {
      cancelDrain: () => undefined,
      observe: () => undefined,
      swap(one, target) {
        one.state = { kind: "awake", sinceMs: clock.now(), target };
        return true;
      },
      wake: async () => ({ kind: "awake", target: declared }),
    },
    store,
    policyOf: () => ({ ...POLICY, ...policy }),
    fetch,
    newId: options.newId ?? (() => crypto.randomUUID()),
    onPause: (one) => pauses.push(one.pause?.kind ?? null),
    carrier: () => ({
      carried: (_app, address) => ({ requests: 0, sockets: sockets.get(address) ?? 0, closing: 0 }),
      closeSockets(_app, address) {
        const count = sockets.get(address) ?? 0;
        sockets.set(address, 0);
        return count;
      },
      cutRequests: () => 0,
      cut: () => 0,
      closeIdle: () => undefined,
    }),
  });
  board.attend([app]);
  const cause = { kind: "command", detail: "a test" } as const;
  return {
    app,
    board,
    store,
    events,
    lines,
    sockets,
    pauses,
    port() {
      if (app.state.kind !== "awake") throw new Error(`it is ${app.state.kind}`);
      return Number(new URL(addressOf(app.state.target)).port);
    },
    switchTo: (port, idempotencyKey) =>
      board.switchTo(app, {
        target: targetOf(`http://127.0.0.1:${port}`),
        reason: "manual",
        cause,
        idempotencyKey: idempotencyKey ?? null,
      }),
    async pause(kind) {
      const sinceMs = clock.now();
      const message = { kind: "maintenance", sinceMs, message: "back soon" } as const;
      const paused = { kind: "paused", sinceMs } as const;
      const next = kind === "maintenance" ? message : kind === null ? null : paused;
      await board.setPause(app, next, cause);
    },
    carry(requests, errors) {
      const { watched } = app.traffic;
      if (watched === null) return;
      watched.requests += requests;
      watched.errors += errors;
    },
    named: (name) => events.filter((event) => event.name === name),
    async close() {
      await board.close();
      await store.close();
    },
  };
}
