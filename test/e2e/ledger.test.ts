/** The events that are told of apps, against what their platform has really done: as many, and in the same order. */

import { expect, test } from "bun:test";
import type { DockerControl } from "../fakes/fake-docker-control.ts";
import { answersText } from "../fakes/fake-faults.ts";
import {
  DEEDS,
  ENDS_AT_BOOT,
  type LedgerPlatform,
  startLedgerPlatform,
} from "../support/platform-ledger.ts";
import { type Chance, createChance } from "../support/random.ts";
import { eventually, type RunningPaastis, startPaastis } from "../support/start-paastis.ts";

const TOKEN = "abcd-1234-EFGH-5678";
const SEED = Number(process.env.SEED ?? 7);
const APPS = 16;
const STEPS = 8;

/** One app, and those who have to do with it. */
interface Actor {
  readonly platform: LedgerPlatform;
  readonly paastis: RunningPaastis;
  readonly app: DockerControl;
  readonly chance: Chance;
}

function start(platform: LedgerPlatform): Promise<RunningPaastis> {
  return startPaastis({
    config: "",
    env: {
      ...platform.env,
      START_AND_STOP_MAX_IDLE_TIME: "0",
      ROUTING_SYSTEM_API_ENABLED: "true",
      ROUTING_SYSTEM_API_TOKEN: TOKEN,
      LOGGING_LEVEL: "debug",
    },
  });
}

interface Told {
  readonly oid: string;
  readonly name: string;
}

/** What `GET /events` tells of each app, oldest first: of that what a platform has a part in. */
async function toldOf(paastis: RunningPaastis, app: string): Promise<readonly string[]> {
  const headers = { PaastisProxyTarget: "system", PaastisProxySystemApiToken: TOKEN };
  const answer = await paastis.get("any", { path: "/events", headers });
  const events = (await answer.json()) as Told[];
  return events
    .filter(({ oid, name }) => oid === app && DEEDS.includes(name))
    .map((one) => one.name);
}

async function visit({ paastis, app }: Actor): Promise<number> {
  const answer = await paastis.get(app.name);
  await answer.arrayBuffer();
  return answer.status;
}

/** What could not be woken just now is not tried again for a moment. */
async function untilServed(actor: Actor): Promise<void> {
  await eventually(`${actor.app.name} is served`, async () => (await visit(actor)) === 200);
}

async function untilDown({ app }: Actor): Promise<void> {
  await eventually(`${app.name} is down`, () => app.status === "exited");
}

/** The next order for this very app comes to nothing. */
function refuseNext({ platform, app }: Actor): void {
  platform.fake.server.fail(
    ({ method, path }) =>
      method === "POST" && /\/(start|stop)$/.test(path) && path.includes(app.id),
    answersText(500, '{"message":"Oops"}'),
  );
}

/** Who fails again and again is tried again after longer and longer pauses: a quiet end of a run ends that. */
const ROUGH_MAX = 2;
const QUIET = "nobody uses it";

/** What may happen to an app that is down. The first is always quiet. */
const WHEN_DOWN: Readonly<Record<string, (actor: Actor) => Promise<void>>> = {
  "somebody asks for it": untilServed,
  async "many ask for it at once"(actor) {
    await Promise.all(Array.from({ length: 40 }, () => visit(actor)));
    await untilServed(actor);
  },
  async "somebody asks for it, and the first call is refused"(actor) {
    refuseNext(actor);
    await untilServed(actor);
  },
  async "somebody asks for it, and it ends as it boots"(actor) {
    const { app } = actor;
    const { starts } = app;
    app.nextRuns(ENDS_AT_BOOT);
    await eventually(`${app.name} is started`, async () => {
      await visit(actor);
      return app.starts > starts;
    });
  },
  async "somebody starts it at the platform and asks for it at once"(actor) {
    actor.app.start();
    await untilServed(actor);
  },
  async "somebody starts it at the platform"({ app }) {
    const { starts } = app;
    app.start();
    await eventually(`${app.name} has started`, () => app.starts > starts);
  },
};

/** What may happen to an app that is up, likewise. */
const WHEN_UP: Readonly<Record<string, (actor: Actor) => Promise<void>>> = {
  [QUIET]: untilDown,
  async "nobody uses it, and the first call to stop it is refused"(actor) {
    refuseNext(actor);
    await untilDown(actor);
  },
  async "it crashes"({ app }) {
    if (app.status === "running") app.crash();
  },
  async "it crashes, and somebody asks for it at once"(actor) {
    if (actor.app.status === "running") actor.app.crash();
    await untilServed(actor);
  },
  async "somebody stops it at the platform, and asks for it at once"(actor) {
    if (actor.app.status === "running") actor.app.stop();
    await untilServed(actor);
  },
  async "somebody stops it at the platform"(actor) {
    if (actor.app.status === "running") actor.app.stop();
    await untilDown(actor);
  },
};

/** As much is told of it as has happened to it. */
function isAllTold({ platform, paastis, app }: Actor): boolean {
  const told = paastis.events(app.name).filter((name) => DEEDS.includes(name));
  return told.length >= platform.deeds(app.name).length;
}

function draw({ app, chance }: Actor, history: readonly string[]): string {
  const choices = app.status === "running" ? WHEN_UP : WHEN_DOWN;
  const [first = ""] = Object.keys(choices);
  const rough = history.slice(history.lastIndexOf(QUIET) + 1).filter(isRough).length;
  return rough >= ROUGH_MAX ? first : chance.oneOf(Object.keys(choices));
}

function isRough(what: string): boolean {
  return /crashes|boots|refused/.test(what);
}

async function act(actor: Actor): Promise<readonly string[]> {
  const history: string[] = [];
  for (let step = 0; step < STEPS; step += 1) {
    const what = draw(actor, history);
    history.push(what);
    await { ...WHEN_DOWN, ...WHEN_UP }[what]?.(actor);
    await eventually(`${actor.app.name}: ${history}: it is told`, () => isAllTold(actor));
  }
  return history;
}

test("ledger: every start and every end at the platform is told once, in its order", async () => {
  await using platform = await startLedgerPlatform();
  const apps = Array.from({ length: APPS }, (_none, at) =>
    platform.addApp(`app-${at}`, at % 2 === 0),
  );
  await using paastis = await start(platform);
  const actors = apps.map((app, at) => {
    const chance = createChance(SEED * 1_000 + at);
    return { platform, paastis, app, chance };
  });
  const histories = await Promise.all(actors.map(act));
  await eventually("all of them sleep, and that is told", () =>
    actors.every((actor) => actor.app.status === "exited" && isAllTold(actor)),
  );
  const books = await Promise.all(
    apps.map(async ({ name }, at) => ({
      name,
      deeds: platform.deeds(name).join(),
      told: (await toldOf(paastis, name)).join(),
      history: histories[at],
    })),
  );
  expect(books.filter(({ deeds, told }) => deeds !== told)).toEqual([]);
  expect(books.filter(({ deeds }) => deeds === "")).toEqual([]);
  expect(platform.fake.violations).toEqual([]);
});
