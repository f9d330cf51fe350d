/** What a test does to an app on the fake Heroku, as its owner, on the dashboard, or as fate. */

import type { FakeAnswer } from "./fake-answer.ts";
import {
  addOneOff,
  bringBack,
  crash,
  fallIdle,
  putInPlace,
  restart,
  scale,
  takeDown,
} from "./fake-heroku-dyno.ts";
import { SIZES } from "./fake-heroku-json.ts";
import type { Boot, Dyno, HerokuApp, ProcessType, RefusalId } from "./fake-heroku-model.ts";
import { beginBuild, beginReleasePhase, fail, succeed, touch } from "./fake-heroku-release.ts";
import type { State } from "./fake-heroku-routes.ts";
import type { FakeRouter } from "./fake-router.ts";

/** Type -> quantity, or quantity and size. */
export type Formation = Readonly<
  Record<string, number | { readonly quantity: number; readonly size: string }>
>;

/** A handle on one app. */
export interface HerokuControl {
  readonly id: string;
  /** As it is called now. */
  readonly name: string;
  /** What the API reports, with the slash at its end; `null`: it cannot be reached from outside. */
  readonly webUrl: string | null;
  /** Type -> quantity. */
  readonly quantities: Readonly<Record<string, number>>;
  /** Type -> size. */
  readonly sizes: Readonly<Record<string, string>>;
  readonly dynos: readonly Dyno[];
  /** Requests that it has answered itself, at its present own address. */
  readonly requests: number;
  /**
   * How the starts to come go, one after the other; then they are as usual. A retry after a crash
   * is a start as well.
   */
  nextBoots(...boots: readonly Boot[]): void;
  /** How starts usually go from now on. */
  setBoot(boot: Boot): void;
  /** From SIGTERM to the end of its dynos from now on; at most 30 s. */
  setStop(stopMs: number): void;
  /** Somebody scales on the dashboard. */
  scaleByHand(quantities: Readonly<Record<string, number>>): void;
  /** As if it had been so for long; `null` takes a type away. */
  setFormation(formation: Readonly<Record<string, Formation[string] | null>>): void;
  /** All dynos are replaced, as once a day. */
  restart(): void;
  /** @param dyno `web.1`; left out: all. @throws when there is none */
  crash(dyno?: string): void;
  /** All dynos are `down`, until `bringBack` starts them. */
  takeDown(): void;
  bringBack(): void;
  /** Eco dynos sleep now. @throws when it has none */
  fallIdle(): void;
  /** A push: a build is `pending`. */
  beginDeploy(): void;
  /** The build that is pending has succeeded, or there was none: a release is `pending`. */
  beginReleasePhase(): void;
  /** What is pending succeeds; a new release, dynos are replaced. */
  finishDeploy(): void;
  /** What is pending fails; dynos go on. @param status of a release */
  failDeploy(status?: "failed" | "expired"): void;
  /** A new address as well; the id stays. */
  rename(name: string): void;
  setMaintenance(isMaintained: boolean): void;
  /** `name` is a label below `localhost`. */
  addDomain(name: string): void;
  addOneOff(): void;
  /**
   * Calls for this app are refused; `scale-up`: only what makes it larger. The list has it all the
   * same.
   */
  refuse(id: RefusalId | null, calls?: "all" | "scale-up"): void;
  /** What the app itself answers to every request; `null`: an `AppAnswer` again. */
  answerWith(answer: FakeAnswer | null): void;
}

export function controlOf(state: State, app: HerokuApp, router: FakeRouter): HerokuControl {
  const { world } = state;
  return {
    id: app.id,
    get name() {
      return app.name;
    },
    get webUrl() {
      return app.label === null ? null : `${router.addressOf(app.label)}/`;
    },
    get quantities() {
      return mapTypes(app, ({ quantity }) => quantity);
    },
    get sizes() {
      return mapTypes(app, ({ size }) => size);
    },
    get dynos() {
      return app.dynos;
    },
    get requests() {
      return app.label === null ? 0 : router.appRequests(router.hostOf(app.label));
    },
    nextBoots: (...boots) => void app.nextBoots.push(...boots),
    setBoot(boot) {
      app.usualBoot = boot;
    },
    setStop(stopMs) {
      app.stopMs = stopMs;
    },
    scaleByHand(quantities) {
      const wanted = Object.entries(quantities);
      const changes = wanted.map(([type, quantity]) => ({ type, quantity, size: "" }));
      scale(world, app, changes);
    },
    setFormation: (formation) => setFormation(state, app, formation),
    restart: () => restart(world, app),
    crash: (dyno) => crash(world, app, dyno),
    takeDown: () => takeDown(world, app),
    bringBack: () => bringBack(world, app),
    fallIdle: () => fallIdle(world, app),
    ...deploysOf(state, app),
    rename(name) {
      if (app.label !== null) app.label = labelOf(state, name);
      app.name = name;
      touch(world, app);
      world.changed();
    },
    setMaintenance(isMaintained) {
      app.isMaintained = isMaintained;
      touch(world, app);
      world.changed();
    },
    addDomain(name) {
      app.domains.push({ id: world.nextId(), hostname: router.hostOf(name) });
    },
    addOneOff: () => addOneOff(world, app),
    refuse(id, calls = "all") {
      app.refusal = id === null ? null : { id, calls };
    },
    answerWith(answer) {
      if (answer === null) state.answers.delete(app);
      else state.answers.set(app, answer);
    },
  };
}

function deploysOf(
  state: State,
  app: HerokuApp,
): Pick<HerokuControl, "beginDeploy" | "beginReleasePhase" | "finishDeploy" | "failDeploy"> {
  const { world } = state;
  return {
    beginDeploy: () => void beginBuild(world, app),
    beginReleasePhase: () => beginReleasePhase(world, app),
    finishDeploy() {
      succeed(world, app);
      // A first deployment brings one web dyno.
      if (app.processTypes.size === 0) addType(state, app, { type: "web", value: 1 });
      restart(world, app);
    },
    failDeploy: (status = "failed") => fail(world, app, status),
  };
}

/**
 * A new-style subdomain: the name, and 12 digits that nobody can guess. Source: "App Names,
 * Subdomains, and URLs".
 */
export function labelOf({ world }: State, name: string): string {
  return `${name}-${world.nextId().slice(-12)}`;
}

/** Types and dynos at once. */
export function setFormation(
  state: State,
  app: HerokuApp,
  formation: Readonly<Record<string, Formation[string] | null>>,
): void {
  for (const [type, value] of Object.entries(formation)) {
    if (value === null) app.processTypes.delete(type);
    else addType(state, app, { type, value });
  }
  putInPlace(state.world, app);
}

function addType(
  { world }: State,
  app: HerokuApp,
  { type, value }: { readonly type: string; readonly value: Formation[string] },
): void {
  const sizeNow = app.processTypes.get(type)?.size ?? "Standard-1X";
  const { quantity, size } = typeof value === "number" ? { quantity: value, size: sizeNow } : value;
  if (!(size in SIZES)) throw new Error(`there is no dyno size ${size}`);
  const nowMs = world.clock.now();
  app.processTypes.set(type, {
    id: app.processTypes.get(type)?.id ?? world.nextId(),
    type,
    quantity,
    size,
    command: `bun run ${type}`,
    createdAtMs: nowMs,
    updatedAtMs: nowMs,
  });
}

function mapTypes<T>(app: HerokuApp, of: (entry: ProcessType) => T): Record<string, T> {
  return Object.fromEntries([...app.processTypes].map(([type, entry]) => [type, of(entry)]));
}
