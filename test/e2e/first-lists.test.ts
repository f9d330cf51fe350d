/** The first seconds: the port is open, and who comes waits for the first lists rather than for another try. */

import { expect, test } from "bun:test";

import { createSystemClock } from "../../src/clock.ts";
import { findFreePort } from "../../src/providers/free-port.ts";
import { startFakeDocker } from "../fakes/fake-docker.ts";
import { answersAfter, type Fault, neverAnswers } from "../fakes/fake-faults.ts";
import { everythingApp } from "../support/everything-app.ts";
import { within } from "../support/pace.ts";
import { eventually, startPaastis } from "../support/start-paastis.ts";
import { tempDir } from "../support/temp-dir.ts";

/** A program that has just begun, with one app of its own and one of an engine whose list is late. */
async function starting(list: Fault) {
  const folder = tempDir();
  const socketPath = folder.file("docker.sock");
  const docker = await startFakeDocker({ clock: createSystemClock(), socketPath, bootMs: 0 });
  docker.addContainer("demo", { status: "running" });
  docker.server.fail("containers.list", list, Number.POSITIVE_INFINITY);
  const port = findFreePort(Math.random, new Set());
  const said = startPaastis({
    config: `apps:\n${everythingApp("shop")}`,
    env: {
      PROVIDER_NAME: "process,docker",
      DOCKER_HOST: `unix://${socketPath}`,
      START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *",
      PORT: String(port),
    },
  });
  return {
    /** Resolves when it has said that it listens. */
    said,
    /** The first answer to anybody who keeps trying to connect: what it is, and whether it came before `said`. */
    async firstAnswer(key: string) {
      let isSaid = false;
      void said.then(() => {
        isSaid = true;
      });
      let answer: Response | null = null;
      await eventually("its port is open", async () => {
        const headers = { host: `${key}.example` };
        answer = await fetch(`http://127.0.0.1:${port}/`, { headers }).catch(() => null);
        return answer !== null;
      });
      const { status, headers } = answer!;
      return { status, code: headers.get("paastis-error"), isSaid };
    },
    async [Symbol.asyncDispose]() {
      await (await said)[Symbol.asyncDispose]();
      await docker[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

test.concurrent("first lists: who comes before they do waits for them, and nobody for a list that is not theirs", async () => {
  await using world = await starting(answersAfter(1500));
  const [shop, demo] = await Promise.all([world.firstAnswer("shop"), world.firstAnswer("demo")]);
  expect(shop).toEqual({ status: 200, code: null, isSaid: false });
  expect(demo).toMatchObject({ status: 200, code: null });
  const { lines } = await world.said;
  const said = lines.findIndex(({ address }) => address !== undefined);
  const found = lines.findIndex(({ msg }) => msg.startsWith("found 1 app on docker"));
  expect([found >= 0, said > found]).toEqual([true, true]);
});

test.concurrent("first lists: a platform that does not answer holds nobody up for more than five seconds", async () => {
  await using world = await starting(neverAnswers());
  const begunMs = performance.now();
  expect(await world.firstAnswer("demo")).toMatchObject({ status: 503, code: "starting" });
  await world.said;
  expect(performance.now() - begunMs).toBeLessThan(within(8000));
  expect(await world.firstAnswer("shop")).toMatchObject({ status: 200, isSaid: true });
});
