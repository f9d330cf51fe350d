/** One of several instances on a Redis is restarted without a gap: nobody notices, the other instances included. */

import { expect, test } from "bun:test";
import { everythingApp } from "../support/everything-app.ts";
import { startInstanceLoad } from "../support/instance-load.ts";
import { type Instance, startInstances } from "../support/instances.ts";
import { startLedgerPlatform } from "../support/platform-ledger.ts";
import { eventually, isAlive } from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

const KEYS = ["shop", "desk"];

/** @returns the number of the process that listens now */
async function restart({ paastis }: Instance, pid: number): Promise<number> {
  const from = paastis.lines.length;
  process.kill(pid, "SIGUSR2");
  const taken = ({ msg }: { readonly msg: string }) => msg.startsWith("another process has taken");
  return Number((await paastis.untilLine(taken, from)).process);
}

test("under load no request fails, and what the old process still carries keeps its app awake everywhere", async () => {
  await using platform = await startLedgerPlatform();
  platform.addApp("shop", true);
  await using instances = await startInstances({
    count: 2,
    config: `apps:\n${everythingApp("desk")}`,
    env: {
      ...platform.env,
      PROVIDER_NAME: "process,docker",
      START_AND_STOP_MAX_IDLE_TIME: "0.03",
      ENGINE: "socket",
    },
  });
  const [one] = instances.all;
  if (one === undefined) throw new Error("there are two");
  for (const key of KEYS) expect(await one.visit(key)).toBe(200);
  const first = one.paastis.pid;
  let newest = first;
  try {
    {
      await using load = startInstanceLoad({ instances: instances.all, keys: KEYS, perSecond: 60 });
      await until(() => load.outcomes.length > 20);
      newest = await restart(one, newest);
      const { length } = load.outcomes;
      await until(() => load.outcomes.length > length + 20);
      await load.stop();
      expect(load.failures()).toEqual([]);
    }
    const download = await one.paastis.get("desk", { path: "/download?seconds=4" });
    newest = await restart(one, newest);
    expect(await download.text()).toBe("x".repeat(40));
    const events = instances.all.flatMap(({ lines }) =>
      lines.map(({ app, event }) => `${app} ${event}`),
    );
    expect(events).not.toContain("desk APP_STOPPING");
    await instances.untilState("desk", "asleep");
    expect(platform.fake.violations).toEqual([]);
  } finally {
    if (newest !== first && isAlive(newest)) process.kill(newest, "SIGTERM");
    await eventually("all its processes are gone", () => !isAlive(newest) && !isAlive(first));
    // Nobody is there any more who could be stopped by the number that it was started with.
    await one.stop().catch(() => undefined);
  }
});
