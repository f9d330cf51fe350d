/** Asking containers that have begun to run whether they answer yet. */

import { expect, test } from "bun:test";
import { targetOf } from "../src/app.ts";
import { createSystemClock } from "../src/clock.ts";
import { type Booting, createReadiness } from "../src/providers/docker-ready.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

function world(origin: string, path: string | null = null) {
  const ready: Booting[] = [];
  const onReady = (booting: Booting) => void ready.push(booting);
  const readiness = createReadiness({ clock: createSystemClock(), fetch, onReady });
  const booting = { appId: "shop", containerId: "abc", target: targetOf(origin), path };
  return { readiness, booting, ready, [Symbol.dispose]: readiness.end };
}

test("docker ready: who accepts connections and closes them is not, whoever answers is", async () => {
  let accepted = 0;
  const proxy = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open(socket) {
        accepted += 1;
        socket.end();
      },
      data: () => undefined,
    },
  });
  using one = world(`http://127.0.0.1:${proxy.port}`);
  one.readiness.ask(one.booting);
  one.readiness.ask(one.booting);
  await until(() => accepted > 2);
  expect(one.ready).toEqual([]);
  const { port } = proxy;
  proxy.stop(true);
  using _program = Bun.serve({
    hostname: "127.0.0.1",
    port,
    fetch: () => new Response("", { status: 500 }),
  });
  await until(() => one.ready.length > 0);
  expect(one.ready).toEqual([one.booting]);
});

test("docker ready: with a health path only 2xx will do", async () => {
  let status = 503;
  const asked = new Set<string>();
  using program = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch(request) {
      asked.add(new URL(request.url).pathname);
      return new Response("", { status });
    },
  });
  using one = world(program.url.origin, "/up");
  one.readiness.ask(one.booting);
  await until(() => asked.size > 0);
  expect(one.ready).toEqual([]);
  status = 204;
  await until(() => one.ready.length === 1);
  expect([...asked]).toEqual(["/up"]);
});

test("docker ready: what has ended is not asked any more, and asked anew when it runs again", async () => {
  let requests = 0;
  let isUp = false;
  using program = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch() {
      requests += 1;
      return new Response("", { status: isUp ? 200 : 503 });
    },
  });
  using one = world(program.url.origin, "/up");
  one.readiness.ask(one.booting);
  await until(() => requests > 0);
  one.readiness.ended("abc");
  isUp = true;
  one.readiness.ask({ ...one.booting, appId: "again" });
  await until(() => one.ready.length > 0);
  expect(one.ready.map(({ appId }) => appId)).toEqual(["again"]);
});

test("docker ready: what does not answer for a minute counts as up, and leaves no timer", async () => {
  const clock = createVirtualClock();
  const ready: string[] = [];
  const readiness = createReadiness({
    clock,
    fetch: () => Promise.reject(new Error("nobody")),
    onReady: ({ appId }) => void ready.push(appId),
  });
  const target = targetOf("http://127.0.0.1:1");
  readiness.ask({ appId: "shop", containerId: "abc", target, path: null });
  await clock.advance(59_999);
  expect(ready).toEqual([]);
  await clock.advance(1);
  expect(ready).toEqual(["shop"]);
  readiness.ask({ appId: "shop", containerId: "abc", target, path: null });
  readiness.end();
  await clock.advance(0);
  expect([ready, clock.pending()]).toEqual([["shop"], 0]);
});
