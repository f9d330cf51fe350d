/** The Docker provider in front of a fake engine, for tests of the provider. */

import { expect, test } from "bun:test";
import type { Snapshot } from "../../src/app.ts";
import { type Clock, createSystemClock } from "../../src/clock.ts";
import type { DockerConfig } from "../../src/config.ts";
import { createDockerProvider } from "../../src/providers/docker.ts";
import type { PlatformFetch } from "../../src/providers/platform-api.ts";
import type { Listing, Notice, Provider } from "../../src/providers/provider.ts";
import { patient } from "../contract/provider.ts";
import { type FakeDocker, type FakeDockerOptions, startFakeDocker } from "../fakes/fake-docker.ts";
import { within } from "./pace.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

export interface DockerTest extends AsyncDisposable {
  readonly fake: FakeDocker;
  readonly provider: Provider;
  readonly lines: readonly LogLine[];
  /** The app of this key, as the provider lists it now. @throws when there is none */
  listing(key: string): Promise<Listing>;
  /** The provider's id of the app of this key. */
  idOf(key: string): Promise<string>;
  /** Keys and phases of all apps, as the provider lists them now. */
  phases(): Promise<Readonly<Record<string, string>>>;
  /** Begins to watch, and waits until the engine is listened to. */
  watch(): Promise<Watched>;
}

/** What a watcher was told. Ends with `using`. */
export interface Watched extends Disposable {
  readonly notices: readonly Notice[];
  /** How often a new list was asked for. */
  readonly lists: number;
  /** The newest phase told of an app; `null`: none yet. */
  phaseOf(id: string): string | null;
}

/** How engine and provider are to be. */
export type DockerTestOptions = Partial<FakeDockerOptions> & {
  readonly config?: Partial<DockerConfig>;
  readonly fetch?: PlatformFetch;
};

/** A real engine takes a quarter of a second; this is enough to be in the middle of something. */
export const STARTS = { startMs: 20, bootMs: 10, stopMs: 10 };

/** Short durations over the real clock, unless they are given. */
export async function startDocker(options: DockerTestOptions = {}): Promise<DockerTest> {
  const { config, fetch: ownFetch = fetch, ...rest } = options;
  const clock: Clock = rest.clock ?? createSystemClock();
  const folder = tempDir();
  const socketPath = folder.file("docker.sock");
  const fake = await startFakeDocker({ restartDelayMs: 20, ...rest, clock, socketPath });
  const { log, lines } = recordingLog();
  const provider = createDockerProvider({
    config: {
      api: { kind: "unix", socketPath },
      publishedHost: "127.0.0.1",
      network: null,
      stopTimeoutMs: 10_000,
      ...config,
    },
    clock,
    random: Math.random,
    log,
    fetch: ownFetch,
  });
  const { signal } = new AbortController();
  async function listing(key: string): Promise<Listing> {
    const all = await provider.list(signal);
    const found = all.find((one) => one.key === key);
    if (found === undefined) {
      throw new Error(`there is no ${key} among ${all.map((one) => one.key).join(", ")}`);
    }
    return found;
  }
  return {
    fake,
    provider,
    lines,
    listing,
    idOf: async (key) => (await listing(key)).id,
    async phases() {
      const all = await provider.list(signal);
      return Object.fromEntries(
        all.map(({ key, observation }) => [key, observation?.phase ?? "?"]),
      );
    },
    watch: () => watch(provider, fake),
    async [Symbol.asyncDispose]() {
      await provider.close();
      await fake[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}

async function watch(provider: Provider, fake: FakeDocker): Promise<Watched> {
  const notices: Notice[] = [];
  let lists = 0;
  const unwatch = provider.watch?.({
    notice: (notice) => void notices.push(notice),
    listAgain() {
      lists += 1;
    },
  });
  const giveUpMs = performance.now() + 30_000;
  while (fake.hub.listeners === 0) {
    if (performance.now() > giveUpMs) throw new Error("nobody listens to the events");
    await Bun.sleep(2);
  }
  return {
    notices,
    get lists() {
      return lists;
    },
    phaseOf: (id) => notices.findLast((notice) => notice.id === id)?.observation.phase ?? null,
    [Symbol.dispose]: () => unwatch?.(),
  };
}

/** A test with a world of its own, whose engine must find nothing amiss in the end. */
export function fact(
  what: string,
  options: DockerTestOptions,
  run: (world: DockerTest) => Promise<void>,
): void {
  test(what, async () => {
    await using world = await startDocker(options);
    await run(world);
    expect(world.fake.violations).toEqual([]);
  });
}

/** A wake of the app of this key. */
export async function wake(world: DockerTest, key: string, snapshot: Snapshot | null = null) {
  const id = await world.idOf(key);
  return await world.provider.wake(id, snapshot, patient());
}

/** A sleep of the app of this key. @returns what its wake will need */
export async function sleepNow(world: DockerTest, key: string): Promise<Snapshot> {
  const id = await world.idOf(key);
  const snapshot = await world.provider.takeSnapshot(id, patient());
  await world.provider.sleep(id, snapshot, patient());
  return snapshot;
}

/** What answers at the target of a wake, or `null` when nothing does. */
export async function visit(step: Awaited<ReturnType<typeof wake>>): Promise<string | null> {
  const origin = step.done ? step.target?.origin : null;
  if (origin === null || origin === undefined) return null;
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      const answer = await fetch(origin, { keepalive: false });
      const { name } = (await answer.json()) as { name: string }; // What the fake answers.
      return name;
    } catch {
      await Bun.sleep(10); // It boots.
    }
  }
  return null;
}

/** The provider asks the engine nothing of itself any more: what it has heard has been looked at. */
export async function untilQuiet({ fake }: DockerTest): Promise<void> {
  const quietMs = within(100);
  let [asked, sinceMs] = [fake.server.count(), performance.now()];
  await until(() => {
    if (fake.server.count() !== asked) [asked, sinceMs] = [fake.server.count(), performance.now()];
    return performance.now() - sinceMs > quietMs;
  });
}

/** What was logged for somebody to act on. */
export function warnings({ lines }: DockerTest): string[] {
  return lines.filter(({ level }) => level === "warn" || level === "error").map((l) => l.message);
}
