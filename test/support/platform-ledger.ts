/** A fake platform that writes down what it really did: when an app came up, and when and how it went down. */

import { createSystemClock } from "../../src/clock.ts";
import type { EventName } from "../../src/events.ts";
import { type FakeDocker, startFakeDocker } from "../fakes/fake-docker.ts";
import type { DockerControl } from "../fakes/fake-docker-control.ts";
import { tempDir } from "./temp-dir.ts";

/** What happens to an app at its platform, named as whoever is told of it knows it. */
export type Deed = Extract<
  EventName,
  "APP_STARTED" | "APP_STOPPED" | "APP_CRASHED" | "APP_START_FAILED" | "APP_STOP_FAILED"
>;

export const DEEDS: readonly string[] = [
  "APP_STARTED",
  "APP_STOPPED",
  "APP_CRASHED",
  "APP_START_FAILED",
  "APP_STOP_FAILED",
] satisfies Deed[];

/** A Docker engine with its ledger: its own events, which it remembers whether or not somebody listens. */
export interface LedgerPlatform extends AsyncDisposable {
  readonly fake: FakeDocker;
  /** What the program is started with. */
  readonly env: Readonly<Record<string, string>>;
  addApp(name: string, isUp?: boolean): DockerControl;
  /** All that has happened to an app since it was added, in order. */
  deeds(name: string): readonly Deed[];
}

/** The exit status of a program that ends before it listens. */
const FAILS_AT_BOOT = 3;

/** To be given to `nextRuns`: the container is started, and its program ends before it listens. */
export const ENDS_AT_BOOT = {
  bootMs: Number.POSITIVE_INFINITY,
  endsAfterMs: 30,
  exitCode: FAILS_AT_BOOT,
};

/** @param times of all its apps, ms; short where left out */
export async function startLedgerPlatform(
  times: { readonly startMs?: number; readonly bootMs?: number; readonly stopMs?: number } = {},
): Promise<LedgerPlatform> {
  const folder = tempDir();
  const fake = await startFakeDocker({
    clock: createSystemClock(),
    socketPath: folder.file("docker.sock"),
    ...{ startMs: 20, bootMs: 40, stopMs: 20, ...times },
  });
  const added = new Map<string, { readonly id: string; readonly fromMs: number }>();
  return {
    fake,
    env: { PROVIDER_NAME: "docker", DOCKER_HOST: `unix://${fake.socketPath}` },
    addApp(name, isUp = false) {
      const app = fake.addContainer(name, { status: isUp ? "running" : "exited" });
      const fromMs = fake.hub.all.at(-1)?.timeMs ?? 0;
      added.set(name, { id: app.id, fromMs });
      return app;
    },
    deeds(name) {
      const { id, fromMs } = added.get(name) ?? { id: "", fromMs: 0 };
      const notes = [...doneIn(fake, name), ...refusedIn(fake, id)];
      const ours = notes.filter(({ timeMs }) => timeMs > fromMs);
      return deedsIn(ours.toSorted((one, other) => one.timeMs - other.timeMs));
    },
    async [Symbol.asyncDispose]() {
      await fake[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

/** One entry of either book. */
interface Noted {
  readonly timeMs: number;
  readonly what: "start" | "told to end" | "end" | "refused start" | "refused stop";
  readonly exitCode?: string;
}

const MEANINGS: Readonly<Record<string, Noted["what"]>> = {
  start: "start",
  kill: "told to end",
  die: "end",
};

function doneIn({ hub }: FakeDocker, name: string): Noted[] {
  return hub.all.flatMap(({ action, attributes, timeMs }) => {
    const what = MEANINGS[action];
    if (what === undefined || attributes.name !== name) return [];
    return [{ timeMs, what, exitCode: attributes.exitCode ?? "" }];
  });
}

/** Orders that the engine has refused are in its journal alone. */
function refusedIn({ server }: FakeDocker, id: string): Noted[] {
  return server.journal.flatMap(({ path, status, answeredAtMs }) => {
    const order = /\/containers\/(\w+)\/(start|stop)$/.exec(path);
    if (order?.[1] !== id || answeredAtMs === null || (status ?? 0) < 500) return [];
    return [{ timeMs: answeredAtMs, what: order[2] === "stop" ? "refused stop" : "refused start" }];
  });
}

/** A start that comes to nothing is one deed; what nobody has told to end, and ends, has crashed. */
function deedsIn(notes: readonly Noted[]): Deed[] {
  const deeds: Deed[] = [];
  let isToldToEnd = false;
  for (const { what, exitCode } of notes) {
    if (what === "refused start") deeds.push("APP_START_FAILED");
    if (what === "refused stop") deeds.push("APP_STOP_FAILED");
    if (what === "start") deeds.push("APP_STARTED");
    if (what === "end" && exitCode === String(FAILS_AT_BOOT))
      deeds.splice(-1, 1, "APP_START_FAILED");
    else if (what === "end") deeds.push(isToldToEnd ? "APP_STOPPED" : "APP_CRASHED");
    isToldToEnd = what === "told to end";
  }
  return deeds;
}
