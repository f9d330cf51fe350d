/** How dynos on the fake Heroku change over time: start, stop, crash, idle. */

import type { Boot, Change, Dyno, DynoState, HerokuApp, World } from "./fake-heroku-model.ts";
import { addRelease, currentRelease } from "./fake-heroku-release.ts";

/** The platform kills what has not ended by then. Source: "Dyno Shutdown Behavior". */
const STOP_MAX_MS = 30_000;

/** Type of dynos that are no part of the formation. */
const ONE_OFF = "run";

/** Sets quantities; dynos come and go afterwards. Asking for what is there changes nothing. */
export function scale(world: World, app: HerokuApp, changes: readonly Change[]): void {
  for (const { type, quantity, size } of changes) {
    const entry = app.processTypes.get(type);
    if (entry === undefined) throw new Error(`${app.name} has no type ${type}`);
    entry.quantity = quantity;
    if (size !== "") entry.size = size;
    entry.updatedAtMs = world.clock.now();
  }
  if (world.makesReleaseOnScale) addRelease(world, app, { status: "succeeded", what: "Scale" });
  stopSurplus(world, app);
  if (world.appearMs === 0) startMissing(world, app);
  else world.later(world.appearMs, () => startMissing(world, app));
  world.changed();
}

/** Of the formation, and not about to end. */
export function liveDynos(app: HerokuApp): Dyno[] {
  return app.dynos.filter(({ type, isStopping }) => type !== ONE_OFF && !isStopping);
}

function stopSurplus(world: World, app: HerokuApp): void {
  const surplus = liveDynos(app).filter(({ type, index, size }) => {
    const wanted = app.processTypes.get(type);
    return wanted === undefined || index > wanted.quantity || size !== wanted.size;
  });
  stop(world, app, surplus);
}

function stop(world: World, app: HerokuApp, dynos: readonly Dyno[]): void {
  for (const dyno of dynos) {
    become(world, dyno, dyno.state === "up" ? world.lingersAs : "down");
    dyno.isStopping = true;
  }
  world.later(Math.min(app.stopMs, STOP_MAX_MS), () => {
    app.dynos = app.dynos.filter((dyno) => !dynos.includes(dyno));
    world.changed();
  });
}

function startMissing(world: World, app: HerokuApp): void {
  const missing: Dyno[] = [];
  for (const { type, quantity, size, command } of app.processTypes.values()) {
    for (let index = 1; index <= quantity; index += 1) {
      if (liveDynos(app).some((one) => one.type === type && one.index === index)) continue;
      missing.push(newDyno(world, app, { type, index, size, command }));
    }
  }
  app.dynos.push(...missing);
  if (missing.length > 0) start(world, app, missing);
}

function newDyno(
  world: World,
  app: HerokuApp,
  what: {
    readonly type: string;
    readonly index: number;
    readonly size: string;
    readonly command: string;
  },
): Dyno {
  const nowMs = world.clock.now();
  return {
    ...what,
    id: world.nextId(),
    release: currentRelease(app),
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
    state: "starting",
    isStopping: false,
    servesFromMs: Number.POSITIVE_INFINITY,
    crashes: 0,
    turn: 0,
  };
}

/** @returns the turn it is in now */
function become(world: World, dyno: Dyno, state: DynoState): number {
  dyno.state = state;
  dyno.updatedAtMs = world.clock.now();
  dyno.servesFromMs = Number.POSITIVE_INFINITY;
  dyno.turn += 1;
  return dyno.turn;
}

/** Happens only when the dyno is still there, and in the same turn. */
function laterInTurn(world: World, dyno: Dyno, delayMs: number, action: () => void): void {
  const { turn } = dyno;
  world.later(delayMs, () => {
    if (dyno.turn === turn) action();
  });
}

/** Together: they share one boot. */
function start(world: World, app: HerokuApp, dynos: readonly Dyno[]): void {
  const boot = app.nextBoots.shift() ?? app.usualBoot;
  for (const dyno of dynos) {
    become(world, dyno, "starting");
    const wantedMs = (boot.ms ?? world.bootMs) + (dyno.index - 1) * (boot.staggerMs ?? 0);
    const isLate = dyno.type === "web" && wantedMs > world.bootLimitMs;
    const isCrash = isLate || boot.outcome === "crashes";
    laterInTurn(world, dyno, isLate ? world.bootLimitMs : wantedMs, () => {
      if (isCrash) crashDyno(world, app, dyno);
      else comeUp(world, app, { dyno, boot });
    });
  }
  world.changed();
}

function comeUp(
  world: World,
  app: HerokuApp,
  { dyno, boot }: { readonly dyno: Dyno; readonly boot: Boot },
): void {
  const { routerLagMs = 0, crashesAfterMs } = boot;
  become(world, dyno, "up");
  dyno.servesFromMs = world.clock.now() + routerLagMs;
  if (routerLagMs > 0) world.later(routerLagMs, () => world.changed());
  if (crashesAfterMs !== undefined) {
    laterInTurn(world, dyno, crashesAfterMs, () => crashDyno(world, app, dyno));
  }
  if (dyno.type === "web") watchForIdling(world, app);
  world.changed();
}

function crashDyno(world: World, app: HerokuApp, dyno: Dyno): void {
  become(world, dyno, "crashed");
  const waitMs = world.crashBackoffMs[dyno.crashes] ?? world.crashBackoffMs.at(-1);
  dyno.crashes += 1;
  if (waitMs !== undefined) laterInTurn(world, dyno, waitMs, () => start(world, app, [dyno]));
  world.changed();
}

/** @param name `web.1`; left out: all of them */
export function crash(world: World, app: HerokuApp, name?: string): void {
  const hit = liveDynos(app).filter((dyno) => name === undefined || nameOf(dyno) === name);
  if (hit.length === 0) throw new Error(`${app.name} has no ${name ?? "dyno"} to crash`);
  for (const dyno of hit) crashDyno(world, app, dyno);
}

/** `web.1`. */
export function nameOf({ type, index }: Dyno): string {
  return `${type}.${index}`;
}

/** All of them are replaced by new ones, of the current release. */
export function restart(world: World, app: HerokuApp): void {
  stop(world, app, liveDynos(app));
  startMissing(world, app);
}

/** As when the platform moves them to another machine. */
export function takeDown(world: World, app: HerokuApp): void {
  for (const dyno of liveDynos(app)) become(world, dyno, "down");
  world.changed();
}

/** Ends `takeDown`: they start. */
export function bringBack(world: World, app: HerokuApp): void {
  start(
    world,
    app,
    liveDynos(app).filter(({ state }) => state === "down"),
  );
}

/** Somebody runs a command in a dyno of its own. */
export function addOneOff(world: World, app: HerokuApp): void {
  const what = { type: ONE_OFF, index: 9410, size: "Standard-1X", command: "bash" };
  app.dynos.push({ ...newDyno(world, app, what), state: "up" });
}

/** Dynos by the formation, up at once, instead of all that are there. */
export function putInPlace(world: World, app: HerokuApp): void {
  app.dynos = app.dynos.filter(({ type }) => type === ONE_OFF);
  for (const { type, quantity, size, command } of app.processTypes.values()) {
    for (let index = 1; index <= quantity; index += 1) {
      const dyno = newDyno(world, app, { type, index, size, command });
      app.dynos.push(dyno);
      comeUp(world, app, { dyno, boot: {} });
    }
  }
}

function isEco(app: HerokuApp): boolean {
  return app.processTypes.get("web")?.size === "Eco";
}

function watchForIdling(world: World, app: HerokuApp): void {
  app.lastRequestMs = world.clock.now();
  if (app.isWatchedForIdling || !isEco(app)) return;
  app.isWatchedForIdling = true;
  const look = () => {
    const leftMs = app.lastRequestMs + world.ecoIdleMs - world.clock.now();
    const isUp = liveDynos(app).some(({ type, state }) => type === "web" && state === "up");
    if (isUp && leftMs > 0) {
      world.later(leftMs, look);
      return;
    }
    app.isWatchedForIdling = false;
    if (isUp) fallIdle(world, app);
  };
  world.later(world.ecoIdleMs, look);
}

/** The dynos of an Eco app sleep, until a request comes. */
export function fallIdle(world: World, app: HerokuApp): void {
  if (!isEco(app)) throw new Error(`${app.name} has no Eco dynos`);
  for (const dyno of liveDynos(app)) {
    if (dyno.state === "up") become(world, dyno, "idle");
  }
  world.changed();
}

/** What a request does to dynos that sleep. */
export function wakeIdle(world: World, app: HerokuApp): void {
  const idle = liveDynos(app).filter(({ state }) => state === "idle");
  if (idle.length > 0) start(world, app, idle);
}
