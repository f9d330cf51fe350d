/** What is done to a world on purpose, by chance: to instances, to Redis, to the platform, and to apps. */

import { answersText } from "../fakes/fake-faults.ts";
import type { Instance } from "../support/instances.ts";
import { APPS, begin, end, type Failure, PROCESSES, type World } from "./chaos-world.ts";

/** One kind of fault. Resolves when it is over and mended. */
type Fault = (world: World) => Promise<void>;

/** What Paastis may still say of an app for a while when it could not be woken, ms: until it may be tried again. */
const AFTERMATH_MS = 20_000;
/** How long what a dead instance held stays its own, ms, and a little. */
const LIFE_MS = 9_500;

const isProcess = (app: string) => PROCESSES.includes(app);
const isContained = (app: string) => APPS.contained.some((key) => key === app);
/** Nobody was there, or who was there has gone. */
const isCut = ({ kind }: Failure) => kind === "refused" || kind === "broken";
/** The app, or what stands for it, was not to be had. */
const isAway = ({ kind, why }: Failure) => kind === "own" && /^50[234] /.test(why);

/** All kinds. In a run each comes once before any comes again. */
export const FAULTS: Readonly<Record<string, Fault>> = {
  "kill -9 of an instance": loseInstance,
  "rolling restart": rollingRestart,
  "freeze of an instance": freezeInstance,
  "freeze of an instance past its locks": (world) => freezeInstance(world, LIFE_MS),
  "an instance is cut off from Redis": (world) => cutOff(world, world.chance.between(1_000, 5_000)),
  "an instance is cut off from Redis for long": (world) => cutOff(world, LIFE_MS + 3_000),
  "Redis is killed": redisIsAway,
  "Redis freezes": freezeRedis,
  "Redis forgets everything": flushRedis,
  "Redis is read-only": readOnlyRedis,
  "Redis is out of memory": fullRedis,
  "the platform refuses": platformRefuses,
  "the platform is away": platformIsAway,
  "a container crashes": crashContainer,
  "somebody stops a container": stopContainer,
  "an app is killed": killApp,
  "a switch": switchApp,
  "a pause": pauseApp,
};

/** Does one after the other, sometimes two at a time, until the world is over. */
export async function runFaults(world: World): Promise<void> {
  const { chance } = world;
  let deck: string[] = [];
  async function next(): Promise<void> {
    if (deck.length === 0) deck = shuffled(Object.keys(FAULTS), world);
    const what = deck.pop() ?? "";
    console.log(`${stamp()} ${what}`);
    await FAULTS[what]?.(world);
  }
  while (!world.isOver) {
    await Bun.sleep(chance.between(200, 2_000));
    if (world.isOver) return;
    const isDouble = chance.happens(0.25);
    await Promise.all(isDouble ? [next(), next()] : [next()]);
  }
}

function stamp(): string {
  return `${(performance.now() / 1_000).toFixed(1).padStart(6)} s `;
}

function shuffled(values: readonly string[], { chance }: World): string[] {
  return values
    .map((value) => ({ value, at: chance.next() }))
    .toSorted((one, other) => one.at - other.at)
    .map(({ value }) => value);
}

/** One that nothing is done to at the moment; `null`: there is none, or it would be the last one. */
function pickInstance({ instances, chance, troubled }: World): Instance | null {
  const free = instances.all.filter((one) => one.isUp && !troubled.has(one));
  return free.length < 2 ? null : chance.oneOf(free);
}

async function withInstance(world: World, work: (one: Instance) => Promise<void>): Promise<void> {
  const one = pickInstance(world);
  if (one === null) return;
  world.troubled.add(one);
  try {
    await work(one);
  } finally {
    world.troubled.delete(one);
  }
}

/** Its processes end with it, or with its next start: what they were doing for others is lost with them. */
async function loseInstance(world: World): Promise<void> {
  await withInstance(world, async (one) => {
    const ours = begin(world, {
      what: `an instance is killed: ${one.name}`,
      explains: (failure) => failure.instance === one && isCut(failure),
    });
    const lost = begin(world, {
      what: `processes of a killed instance: ${one.name}`,
      explains: (failure) => failure.instance !== one && isLostWithProcess(failure),
    });
    await one.kill();
    await Bun.sleep(world.chance.between(500, 11_000));
    await one.start();
    end(ours);
    end(lost, 3_000);
  });
}

/** A request that may have reached the process is not sent again, and WebSockets are not resumed. */
function isLostWithProcess(failure: Failure): boolean {
  return isProcess(failure.app) && (failure.kind === "broken" || isAway(failure));
}

async function rollingRestart(world: World): Promise<void> {
  for (const one of world.instances.all) {
    if (world.isOver || !one.isUp || world.troubled.has(one)) continue;
    world.troubled.add(one);
    const ours = begin(world, {
      what: `an instance is restarted: ${one.name}`,
      // What it has begun to answer it answers to the end.
      explains: (failure) =>
        failure.instance === one && isCut(failure) && failure.why !== "in its body",
    });
    const lost = begin(world, {
      what: `processes of an instance that is restarted: ${one.name}`,
      explains: (failure) => failure.instance !== one && isLostWithProcess(failure),
    });
    const status = await one.stop();
    end(lost);
    if (status !== 0) world.tally.fault(`${one.name} ended with ${status} when told to`);
    await one.start();
    end(ours);
    world.troubled.delete(one);
    await Bun.sleep(500);
  }
}

/** Whether others may have stopped by then what an instance uses. */
const outlivesLeases = (forMs: number) => forMs > 7_000;

async function freezeInstance(
  world: World,
  forMs = world.chance.between(500, 5_000),
): Promise<void> {
  await withInstance(world, async (one) => {
    const frozen = begin(world, {
      what: `an instance is frozen: ${one.name}`,
      explains: (failure) =>
        outlivesLeases(forMs) && failure.instance === one && failure.kind === "broken",
    });
    one.freeze();
    await Bun.sleep(forMs);
    one.thaw();
    end(frozen, 1_000);
  });
}

/** After its leases have expired others may stop what it uses: that is all that may be lost. */
async function cutOff(world: World, forMs: number): Promise<void> {
  await withInstance(world, async (one) => {
    const cut = begin(world, {
      what: `an instance is cut off from Redis: ${one.name}`,
      explains: (failure) =>
        outlivesLeases(forMs) &&
        failure.instance === one &&
        (failure.kind === "broken" || isAway(failure)),
    });
    one.cutOff();
    await Bun.sleep(forMs);
    one.reconnect();
    end(cut, 3_000);
  });
}

/** Nothing that is up needs Redis. */
async function redisTrouble(
  world: World,
  what: string,
  how: { readonly begin: () => unknown; readonly end: () => unknown; readonly forMs: number },
): Promise<void> {
  if (world.isRedisTroubled) return;
  world.isRedisTroubled = true;
  const trouble = begin(world, { what, explains: () => false });
  await how.begin();
  await Bun.sleep(how.forMs);
  await how.end();
  end(trouble);
  world.isRedisTroubled = false;
}

async function redisIsAway(world: World): Promise<void> {
  const { redis } = world.instances;
  const forMs = world.chance.between(200, 10_000);
  const how = { begin: () => redis.kill(), end: () => redis.start(), forMs };
  await redisTrouble(world, "Redis is killed", how);
}

async function freezeRedis(world: World): Promise<void> {
  const { redis } = world.instances;
  const forMs = world.chance.between(500, 10_000);
  const how = { begin: () => redis.freeze(), end: () => redis.thaw(), forMs };
  await redisTrouble(world, "Redis freezes", how);
}

async function flushRedis(world: World): Promise<void> {
  const { redis } = world.instances;
  const how = { begin: () => redis.run("FLUSHALL"), end: () => undefined, forMs: 500 };
  await redisTrouble(world, "Redis forgets everything", how);
}

async function readOnlyRedis(world: World): Promise<void> {
  const { redis } = world.instances;
  const how = {
    begin: () => redis.run("REPLICAOF", "127.0.0.1", "1"),
    end: () => redis.run("REPLICAOF", "NO", "ONE"),
    forMs: world.chance.between(500, 6_000),
  };
  await redisTrouble(world, "Redis is read-only", how);
}

async function fullRedis(world: World): Promise<void> {
  const { redis } = world.instances;
  const how = {
    begin: () => redis.run("CONFIG", "SET", "maxmemory", "1"),
    end: () => redis.run("CONFIG", "SET", "maxmemory", "0"),
    forMs: world.chance.between(500, 6_000),
  };
  await redisTrouble(world, "Redis is out of memory", how);
}

async function platformRefuses(world: World): Promise<void> {
  const { docker, chance } = world;
  const refused = begin(world, {
    what: "the platform refuses",
    explains: (failure) => isContained(failure.app) && isAway(failure),
  });
  const answer = answersText(500, '{"message":"Oops"}');
  docker.server.fail(({ method }) => method === "POST", answer, Number.POSITIVE_INFINITY);
  await Bun.sleep(chance.between(500, 4_000));
  docker.server.heal();
  end(refused, AFTERMATH_MS);
}

async function platformIsAway(world: World): Promise<void> {
  const { docker, chance } = world;
  const away = begin(world, {
    what: "the platform is away",
    explains: (failure) => isContained(failure.app) && isAway(failure),
  });
  await docker.goDown(chance.oneOf(["gone", "refuse"]));
  await Bun.sleep(chance.between(500, 4_000));
  await docker.comeUp();
  end(away, AFTERMATH_MS);
}

async function loseContainer(world: World, what: string, how: "crash" | "stop"): Promise<void> {
  const key = world.chance.oneOf(APPS.contained);
  const container = world.containers.get(key);
  if (container?.status !== "running") return;
  const lost = begin(world, {
    what: `${what}: ${key}`,
    explains: (failure) => failure.app === key && (failure.kind === "broken" || isAway(failure)),
  });
  if (how === "crash") container.crash();
  else container.stop();
  end(lost, AFTERMATH_MS);
}

async function crashContainer(world: World): Promise<void> {
  await loseContainer(world, "a container crashes", "crash");
}

async function stopContainer(world: World): Promise<void> {
  await loseContainer(world, "somebody stops a container", "stop");
}

async function killApp(world: World): Promise<void> {
  const [key] = APPS.mortal;
  const pid = await pidOf(world, key);
  if (pid === null) return;
  const killed = begin(world, {
    what: `an app is killed: ${key}`,
    explains: (failure) => failure.app === key && (failure.kind === "broken" || isAway(failure)),
  });
  process.kill(pid, "SIGKILL");
  end(killed, AFTERMATH_MS);
}

/** As it says itself. */
async function pidOf({ instances }: World, key: string): Promise<number | null> {
  const up = instances.all.filter(({ isUp }) => isUp);
  for (const one of up) {
    const answer = await fetch(`http://127.0.0.1:${one.port}/state`, {
      headers: { host: `${key}.example` },
      signal: AbortSignal.timeout(2_000),
      keepalive: false,
    }).catch(() => null);
    await answer?.text().catch(() => "");
    const pid = Number(answer?.headers.get("x-pid") ?? 0);
    if (pid > 0) return pid;
  }
  return null;
}

async function switchApp(world: World): Promise<void> {
  await withInstance(world, async (one) => {
    const [key] = APPS.switched;
    const port = world.chance.oneOf(world.ports);
    const switched = begin(world, { what: "a switch", explains: () => false });
    const answer = await one.admin("POST", `/__switch?app=${key}&port=${port}`).catch(() => null);
    world.tally.count(`switches: ${answer?.status ?? "no answer"}`);
    end(switched, 5_000);
  });
}

/** Requests wait, or are told why not. */
async function pauseApp(world: World): Promise<void> {
  await withInstance(world, async (one) => {
    const key = world.chance.oneOf([...APPS.busy, ...APPS.switched]);
    const isMaintenance = world.chance.happens(0.5);
    const paused = begin(world, {
      what: `a ${isMaintenance ? "maintenance" : "pause"}: ${key}`,
      explains: (failure) =>
        isMaintenance && failure.app === key && failure.why.endsWith(" app_maintenance"),
    });
    await one.admin("POST", `/__${isMaintenance ? "maintenance" : "pause"}?app=${key}`);
    await Bun.sleep(world.chance.between(300, 2_000));
    await one.admin("POST", `/__resume?app=${key}`);
    end(paused, 1_000);
  });
}
