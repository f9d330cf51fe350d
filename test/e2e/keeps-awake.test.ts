/** Whatever still moves, or might, keeps an app awake past its idle time. */

import { expect, test } from "bun:test";
import { everythingApp } from "../support/everything-app.ts";
import type { RunningPaastis } from "../support/start-paastis.ts";
import { startPaastis } from "../support/start-paastis.ts";

const IDLE = { START_AND_STOP_MAX_IDLE_TIME: "0.05" };

/** The app was not stopped until now, and is as soon as nobody uses it. */
async function expectSleepOnlyNow(paastis: RunningPaastis, key: string): Promise<void> {
  expect(paastis.events(key)).toEqual(["APP_WAKING", "APP_STARTED"]);
  await paastis.untilEvent(key, "APP_STOPPED");
}

test.concurrent("keeps awake: a 7-second download", async () => {
  await using paastis = await startPaastis({
    config: `apps:\n${everythingApp("shop")}`,
    env: IDLE,
  });
  const answer = await paastis.get("shop", { path: "/download?seconds=7" });
  expect(await answer.text()).toBe("x".repeat(70));
  await expectSleepOnlyNow(paastis, "shop");
});

test.concurrent("keeps awake: an open WebSocket on which nothing is said", async () => {
  await using paastis = await startPaastis({
    config: `apps:\n${everythingApp("shop")}`,
    env: IDLE,
  });
  const socket = new WebSocket(`ws://127.0.0.1:${paastis.port}/socket`, {
    headers: { host: "shop.example" },
  });
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  await Bun.sleep(6000);
  const echo = new Promise((resolve) => {
    socket.onmessage = (event) => resolve(event.data);
  });
  socket.send("still there?");
  expect(await echo).toBe("still there?");
  socket.close();
  await expectSleepOnlyNow(paastis, "shop");
});

test.concurrent("keeps awake: a running upload", async () => {
  await using paastis = await startPaastis({
    config: `apps:\n${everythingApp("shop")}`,
    env: IDLE,
  });
  const body = new ReadableStream({
    async pull(controller) {
      for (let n = 0; n < 12; n += 1) {
        controller.enqueue(new Uint8Array(1000));
        await Bun.sleep(500);
      }
      controller.close();
    },
  });
  const answer = await paastis.get("shop", { path: "/upload", method: "POST", body });
  expect(await answer.json()).toEqual({ bytes: 12_000 });
  await expectSleepOnlyNow(paastis, "shop");
});
