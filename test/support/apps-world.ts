/** A small world with its switchboard and its admin endpoints about apps, as `paastis.yml` and environment make it. */

import { writeFileSync } from "node:fs";
import { createAdminApp } from "../../src/admin/app.ts";
import { type AppsDeps, explainedPolicyOf } from "../../src/admin/apps-context.ts";
import { createAppsWatch } from "../../src/admin/apps-watch.ts";
import { createMemoryEventStore } from "../../src/event-store/memory.ts";
import { createEventBus, type EventBus } from "../../src/events.ts";
import { loadConfig } from "../../src/load-config.ts";
import { resolveLabel } from "../../src/rules.ts";
import { openStateFile } from "../../src/state-file.ts";
import { openSwitchStore } from "../../src/switch-store.ts";
import { createSwitchboard, type Switchboard } from "../../src/switchboard.ts";
import { recordingLog } from "./recording-log.ts";
import { createSmallWorld, type SmallWorld } from "./small-world.ts";
import { tempDir } from "./temp-dir.ts";

export interface AppsWorld extends AsyncDisposable {
  readonly small: SmallWorld;
  readonly bus: EventBus;
  readonly deps: AppsDeps;
  readonly board: Switchboard;
  readonly folder: string;
  /** Asks an admin endpoint, past whoever guards them. */
  ask(path: string, init?: RequestInit): Promise<Response>;
  /** The same; its JSON, whatever the status. */
  json(path: string, init?: RequestInit): Promise<{ status: number; body: Body }>;
  post(path: string, body?: unknown): Promise<{ status: number; body: Body }>;
  /** Ends all streams. */
  stop(): void;
}

/** What the endpoints answer, to be looked at by the test. */
// biome-ignore lint/suspicious/noExplicitAny: each test says what it expects in it.
export type Body = any;

export async function createAppsWorld(
  options: {
    readonly yaml?: string;
    readonly env?: Readonly<Record<string, string>>;
    /** Of an earlier world; it is left as it is. */
    readonly folder?: string;
  } = {},
): Promise<AppsWorld> {
  const own = options.folder === undefined ? tempDir() : null;
  const folder = options.folder ?? own?.path ?? "";
  writeFileSync(`${folder}/paastis.yml`, options.yaml ?? "");
  const reading = loadConfig({
    environment: { PROVIDER_NAME: "process", DATA_DIR: folder, ...options.env },
    flags: {},
    workingDirectory: folder,
  });
  if (reading.kind === "invalid") throw new Error(reading.problems.join("\n"));
  const { config, given } = reading;
  const live = { apps: config.apps };
  const bus: EventBus = createEventBus({
    now: () => small.clock.wallMs(),
    random: () => 0.5,
    onListenerError(error) {
      throw error;
    },
  });
  const small: SmallWorld = createSmallWorld({
    deps: {
      events: bus,
      policyOf: (app) => explainedPolicyOf({ config, live }, app).policy,
      keyOf: (label) => resolveLabel(label, live.apps.rules),
      defaultKey: config.defaultApp,
      hold: config.hold,
      whyKept: (app) => board.whyAwake(app),
    },
  });
  const { clock, core } = small;
  const { log } = recordingLog();
  const file = openStateFile({ path: `${folder}/switches.json`, clock });
  const board: Switchboard = createSwitchboard({
    ...{ clock, log, events: bus, fetch, lifecycle: core.lifecycle },
    random: () => 0.5,
    store: openSwitchStore({ file, soleApp: null, log }),
    policyOf: () => raise("nothing is switched here"),
    newId: () => crypto.randomUUID(),
    onPause: (app) => core.gate.resumed(app),
    carrier: () => null,
  });
  const eventStore = createMemoryEventStore();
  bus.subscribe((event) => void eventStore.append([event]));
  const watch = createAppsWatch({
    ...{ clock, log, events: bus, eventStore, folder, price: config.price },
    apps: core.table.all,
    appOf: core.table.byRef,
    resume: (app) => board.setPause(app, null, { kind: "command", detail: "its pause is over" }),
  });
  const stopping = new AbortController();
  const deps: AppsDeps = {
    ...{ clock, log, config, given, live, core, eventStore, watch, events: bus },
    switchboard: board,
    stopping: stopping.signal,
  };
  const handle = createAdminApp({
    aboutApps: deps,
    switchboard: board,
    apps: () => core.table.all(),
    findApp: (key) => core.table.byKey(key),
    soleApp: null,
    policyOf: () => raise("nothing is switched here"),
    ownPort: () => null,
    now: clock.now,
    startedMs: clock.now(),
    isFast: false,
    upstreamSockets: () => null,
    stores: () => raise("nobody asks for the stores here"),
    providers: () => [],
    log,
  });
  const ask = (path: string, init?: RequestInit) => handle(new Request(`http://a${path}`, init));
  const json = async (path: string, init?: RequestInit) => {
    const answer = await ask(path, init);
    return { status: answer.status, body: await answer.json() };
  };
  return {
    ...{ small, bus, deps, board, folder, ask, json },
    post: (path, body) =>
      json(path, {
        method: "POST",
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    stop: () => stopping.abort(),
    async [Symbol.asyncDispose]() {
      stopping.abort();
      await watch.close();
      await board.close();
      await core.lifecycle.close();
      await file.close();
      own?.[Symbol.dispose]();
    },
  };
}

function raise(what: unknown): never {
  throw what instanceof Error ? what : new Error(JSON.stringify(what));
}
