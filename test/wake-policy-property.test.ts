/** Whatever the order: ignored requests never wake, never count, and never lose their app; quiet sockets balance. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { exchangeFor } from "../src/admission.ts";
import type { Exchange } from "../src/engines/engine.ts";
import { createQuietSockets, type FollowedSocket } from "../src/engines/quiet-sockets.ts";
import type { IgnoreRule } from "../src/wake-policy.ts";
import { headFor } from "./support/request-head.ts";
import { awakeAt, sampleApp, samplePolicy, sampleTarget } from "./support/sample-app.ts";
import { createSmallWorld } from "./support/small-world.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const BOTS: IgnoreRule = {
  userAgents: null,
  paths: null,
  methods: null,
  bots: true,
  prefetch: false,
  status: 503,
};
const BOT = headFor("shop.test", { headers: { "user-agent": "Googlebot/2.1" } });

const step = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("ask" as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("end" as const), which: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("fail" as const), which: fc.nat(5) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("pass" as const), ms: fc.nat(40_000) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("sweep" as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("down" as const) }) },
);

test("property: bots alone never wake an app, never make it younger, and are never cut off by a sleep", async () => {
  await fc.assert(
    fc.asyncProperty(fc.boolean(), fc.array(step, { maxLength: 30 }), async (isUp, steps) => {
      const world = createSmallWorld();
      world.policies.set("shop", { ignore: [BOTS], maxIdleMs: 60_000 });
      const app = world.add("shop", isUp ? { state: awakeAt("shop") } : {});
      const { idleSinceMs } = app;
      const open: Exchange[] = [];
      for (const one of steps) {
        if (one.kind === "ask") {
          const admission = world.core.handler.admit(BOT);
          expect(admission.kind).not.toBe("held");
          if (admission.kind === "forward") open.push(admission);
        } else if (one.kind === "end" || one.kind === "fail") {
          const [exchange] = open.splice(one.which % Math.max(1, open.length), 1);
          if (exchange === undefined) continue;
          const failure = { kind: "unreachable", message: "refused", replayable: true } as const;
          if (one.kind === "end") world.core.handler.release(exchange);
          else expect(world.core.handler.failed(exchange, failure).kind).toBe("answer");
        } else if (one.kind === "pass") {
          await world.clock.advance(one.ms);
        } else if (one.kind === "sweep") {
          await (await world.core.sweeper.sweep()).done;
        } else {
          world.provider.up.delete("shop");
          world.provider.report({ id: "shop", observation: { phase: "asleep", target: null } });
        }
        expect(app.leases).toBe(open.length);
        expect(app.idleSinceMs).toBe(idleSinceMs);
        expect(app.lastUsedMs).toBeNull();
        expect(world.provider.calls).not.toContain("wake shop");
        const isStopped = world.provider.calls.includes("sleep shop");
        if (open.length > 0 && world.provider.up.has("shop")) expect(isStopped).toBe(false);
      }
    }),
    { numRuns: 150 },
  );
});

const QUIET_MS = 1000;
const socketStep = fc.oneof(
  fc.record({ kind: fc.constant("open" as const) }),
  fc.record({ kind: fc.constant("say" as const), which: fc.nat(4) }),
  fc.record({ kind: fc.constant("close" as const), which: fc.nat(4) }),
  fc.record({ kind: fc.constant("pass" as const), ms: fc.nat(1500) }),
);

test("property: a followed WebSocket holds a lease exactly while its last message is not too long ago", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(socketStep, { maxLength: 40 }), async (steps) => {
      const clock = createVirtualClock();
      const held = new Set<Exchange>();
      const take = (exchange: Exchange) => {
        expect(held.has(exchange)).toBe(false);
        held.add(exchange);
      };
      const give = (exchange: Exchange) => expect(held.delete(exchange)).toBe(true);
      const quiet = createQuietSockets({
        clock,
        handler: { release: give, rest: give, resume: take, closed: () => undefined },
      });
      const app = sampleApp("shop", { policy: samplePolicy({ websocketMaxQuietMs: QUIET_MS }) });
      const sockets: { exchange: Exchange; socket: FollowedSocket; saidMs: number }[] = [];
      for (const one of steps) {
        if (one.kind === "open") {
          const caller = { app, head: BOT, admittedMs: 0, failures: 0, ignored: null };
          const exchange = exchangeFor(caller, sampleTarget("shop"));
          take(exchange);
          const socket = quiet.follow(exchange, () => undefined);
          if (socket === null) throw new Error("it is followed");
          sockets.push({ exchange, socket, saidMs: clock.now() });
        } else if (one.kind === "pass") {
          await clock.advance(one.ms);
        } else {
          const chosen = sockets[one.which % Math.max(1, sockets.length)];
          if (chosen === undefined) continue;
          if (one.kind === "say") {
            chosen.socket.said();
            chosen.saidMs = clock.now();
          } else {
            chosen.socket.over();
            sockets.splice(sockets.indexOf(chosen), 1);
          }
        }
        const expected = sockets.filter(({ saidMs }) => clock.now() - saidMs < QUIET_MS);
        expect(held).toEqual(new Set(expected.map(({ exchange }) => exchange)));
      }
      for (const { socket } of sockets) socket.over();
      expect(held.size).toBe(0);
      expect(clock.pending()).toBe(0);
    }),
    { numRuns: 200 },
  );
});
