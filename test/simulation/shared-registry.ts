/** A Redis that is a script: what it keeps, what its scripts do, and the way to it, which can be slow, blocked and free again. */

import type { Clock } from "../../src/clock.ts";
import type { RedisConnection } from "../../src/redis/connection.ts";
import {
  ASK,
  BEAT,
  CLAIM,
  LEAVE,
  RELEASE,
  SAVE,
  type Script,
  TOUCH,
} from "../../src/registry/redis-scripts.ts";
import type { Chance } from "../support/random.ts";
import type { Life } from "./life.ts";

/** So long a lock, leadership and a heartbeat count; ms. */
export const LIFE_MS = 8000;
/** So long a command is waited for, ms. */
const COMMAND_MS = 2000;

/** How the way to the server is blocked. `deaf`: nothing gets through, and nobody says so. */
export type Cut = "refused" | "deaf";

/** The way of one run of the program to the server. */
export interface Link {
  readonly connection: RedisConnection;
  /** What is said while it lasts is lost; commands may still come through at its end, too late for who has sent them. */
  cut(how: Cut): void;
  heal(): void;
  isCut(): boolean;
}

/** The server. */
export interface Hub {
  link(id: string, life: Life): Link;
  /** Who holds the right to change an app now; `null`: nobody. */
  holderOf(app: string): { readonly instance: string; readonly fence: number } | null;
  /** Whether the server has heard of an instance lately. */
  isHeardOf(id: string): boolean;
  /** Everything that is kept is lost. */
  flush(): void;
}

type Value = string | number | null;

/** What is kept, by key. Every command is one step. */
interface Store {
  readonly strings: Map<string, { readonly text: string; untilMs: number }>;
  readonly hashes: Map<string, Map<string, string>>;
  readonly sets: Map<string, Map<string, number>>;
  nowMs(): number;
  say(channel: string, text: string): void;
}

/** What a script does, in our words: the same as it does in Lua. */
type Step = (store: Store, keys: readonly string[], words: readonly string[]) => unknown;

function get({ strings, nowMs }: Store, key: string): string | null {
  const kept = strings.get(key);
  return kept === undefined || kept.untilMs <= nowMs() ? null : kept.text;
}

function set({ strings, nowMs }: Store, key: string, text: string, lifeMs = Infinity): void {
  strings.set(key, { text, untilMs: nowMs() + lifeMs });
}

function hash({ hashes }: Store, key: string): Map<string, string> {
  const kept = hashes.get(key) ?? new Map<string, string>();
  hashes.set(key, kept);
  return kept;
}

function sorted({ sets }: Store, key: string): Map<string, number> {
  const kept = sets.get(key) ?? new Map<string, number>();
  sets.set(key, kept);
  return kept;
}

function ownerOf(token: string | null): string | null {
  return token === null ? null : token.slice(0, token.lastIndexOf("/"));
}

function giveBack(store: Store, key: string, token: string): void {
  if (get(store, key) === token) store.strings.delete(key);
}

/** The latest of those that are known. */
function latest(...times: readonly (Value | undefined)[]): number | null {
  const known = times.filter((time) => time !== null && time !== undefined && time !== "");
  return known.length === 0 ? null : Math.max(...known.map(Number));
}

interface Stored {
  readonly fence?: number;
  readonly lastUsedMs?: number | null;
}

function decoded(json: string | undefined): Stored {
  return json === undefined ? {} : JSON.parse(json);
}

const STEPS: ReadonlyMap<Script, Step> = new Map<Script, Step>([
  [
    CLAIM,
    (store, [lock = "", apps = "", uses = "", fences = ""], words) => {
      const [app = "", token = "", self = "", lifeMs = "", known = ""] = words;
      const held = get(store, lock);
      if (held !== null && ownerOf(held) !== self) return null;
      set(store, lock, token, Number(lifeMs));
      const record = hash(store, apps).get(app);
      const before = latest(known, hash(store, fences).get(app), decoded(record).fence);
      const fence = String((before ?? 0) + 1);
      hash(store, fences).set(app, fence);
      return [fence, record ?? null, hash(store, uses).get(app) ?? null];
    },
  ],
  [RELEASE, (store, [lock = ""], [token = ""]) => giveBack(store, lock, token)],
  [
    SAVE,
    (store, [lock = "", apps = "", uses = "", fences = "", revision = ""], words) => {
      const [app = "", record = "", fence = "", lastUse = "", self = "", name = "", channel = ""] =
        words;
      const before = decoded(hash(store, apps).get(app));
      if ((before.fence ?? 0) > Number(fence)) return 0;
      const newest = Number(hash(store, fences).get(app) ?? 0);
      const held = get(store, lock);
      if (held !== null && ownerOf(held) !== self && newest > Number(fence)) return 0;
      hash(store, apps).set(app, record);
      hash(store, fences).set(app, String(Math.max(newest, Number(fence))));
      const used = latest(lastUse, hash(store, uses).get(app), before.lastUsedMs);
      if (used !== null) hash(store, uses).set(app, String(used));
      const count = Number(get(store, revision) ?? 0) + 1;
      set(store, revision, String(count));
      store.say(channel, `{"from":${name},"revision":${count},"used":${used},"record":${record}}`);
      return 1;
    },
  ],
  [
    TOUCH,
    (store, [apps = "", uses = ""], words) => {
      for (let at = 0; at < words.length; at += 2) {
        const app = words[at] ?? "";
        if (!hash(store, apps).has(app)) continue;
        hash(store, uses).set(app, String(latest(hash(store, uses).get(app), words[at + 1])));
      }
    },
  ],
  [
    BEAT,
    (store, [instances = "", leaderKey = "", epoch = "", revision = "", ...locks], words) => {
      const [self = "", life = "", token = "", channel = "", message = "", ...tokens] = words;
      const [nowMs, lifeMs] = [store.nowMs(), Number(life)];
      const alive = sorted(store, instances);
      for (const [name, atMs] of alive) {
        if (atMs <= nowMs - lifeMs || atMs >= nowMs + lifeMs) alive.delete(name);
      }
      const ours = locks.map((lock, index) => {
        const mine = tokens[index] ?? "";
        if (get(store, lock) !== mine) return 0;
        set(store, lock, mine, lifeMs);
        return 1;
      });
      alive.set(self, nowMs);
      const before = get(store, leaderKey);
      const leader = before === null || ownerOf(before) === self ? token : before;
      if (leader === token) set(store, leaderKey, token, lifeMs);
      store.say(channel, message);
      const ages = [...alive].flatMap(([name, atMs]) => [name, String(nowMs - atMs)]);
      return [get(store, epoch), get(store, revision), ownerOf(leader), ours, ages];
    },
  ],
  [
    ASK,
    (store, [instances = "", lock = ""], words) => {
      const [self, lifeMs, token, channel = "", question = "", isAnyKnown] = words;
      if (get(store, lock) !== token) return [0, []];
      const others = [...sorted(store, instances)]
        .filter(([name, atMs]) => name !== self && atMs >= store.nowMs() - Number(lifeMs))
        .map(([name]) => name);
      if (others.length > 0 || isAnyKnown === "1") store.say(channel, question);
      return [1, others];
    },
  ],
  [
    LEAVE,
    (store, [instances = "", leader = "", ...locks], words) => {
      const [self = "", token = "", channel = "", message = "", ...tokens] = words;
      sorted(store, instances).delete(self);
      giveBack(store, leader, token);
      for (const [index, lock] of locks.entries()) giveBack(store, lock, tokens[index] ?? "");
      store.say(channel, message);
    },
  ],
]);

function stepOf(name: string): Step {
  for (const [{ lua, sha }, step] of STEPS) if (lua === name || sha === name) return step;
  throw new Error("NOSCRIPT this script is not known");
}

function key(name: string): string {
  return `paastis:x:{x}:${name}`;
}

interface Wire {
  readonly id: string;
  hear(channel: string, text: string, from: string): void;
}

/** What one run says and asks comes to the server through here, and comes back. */
export function createHub(deps: {
  readonly clock: Clock;
  readonly chance: Chance;
  /** Longest time on the way, there or back. */
  readonly delayMs: number;
  /** Messages come in the order in which one instance sent them, and not in that in which all did. */
  readonly isCluster: boolean;
  /** Told of each message that others hear. Left out: nobody wants to know. */
  readonly onSaid?: (from: string, channel: string, text: string) => void;
}): Hub {
  const { clock, chance, delayMs, isCluster } = deps;
  const kept = { strings: new Map(), hashes: new Map(), sets: new Map(), nowMs: clock.now };
  const store: Omit<Store, "say"> = kept;
  const wires = new Set<Wire>();

  /** Runs after a while, and not before what was sent earlier by the same lane. */
  function createLane(): (work: () => void) => void {
    let lastMs = 0;
    return (work) => {
      lastMs = Math.max(lastMs, clock.now() + chance.between(0, delayMs));
      clock.after(lastMs - clock.now(), work);
    };
  }

  function link(id: string, life: Life): Link {
    const out = createLane();
    const back = createLane();
    const lanes = new Map<string, (work: () => void) => void>();
    const listeners = new Map<string, Set<(text: string) => void>>();
    const onReady = new Set<() => void>();
    let cut: Cut | null = null;
    let trouble: string | null = null;
    let sinceMs = clock.now();
    const stuck: (() => void)[] = [];

    function noteTrouble(why: string | null): void {
      if (trouble === why) return;
      trouble = why;
      sinceMs = life.clock.now();
    }

    function hear(channel: string, text: string, from: string): void {
      if (!life.isAlive()) return;
      const sender = isCluster ? from : "";
      const lane = lanes.get(sender) ?? createLane();
      lanes.set(sender, lane);
      lane(() => {
        if (cut !== null) return;
        life.deliver(() => {
          for (const listener of [...(listeners.get(channel) ?? [])]) listener(text);
        });
      });
    }

    function say(channel: string, text: string): void {
      deps.onSaid?.(id, channel, text);
      for (const wire of wires) wire.hear(channel, text, id);
    }

    function call<T>(work: (all: Store) => T): Promise<T> {
      return life.hear(sent(work));
    }

    function sent<T>(work: (all: Store) => T): Promise<T> {
      const { promise, resolve, reject } = Promise.withResolvers<T>();
      if (cut === "refused" || trouble !== null) {
        noteTrouble(trouble ?? "connection refused");
        reject(new Error(trouble ?? "connection refused"));
        return promise;
      }
      const cancel = life.clock.after(COMMAND_MS, () => {
        if (cut !== null) noteTrouble("no answer");
        reject(new Error("no answer within 2 s"));
      });
      const refuse = () => {
        cancel();
        reject(new Error("connection refused"));
      };
      const run = () => {
        const result = work({ ...store, say });
        back(() => {
          if (cut === "refused") refuse();
          if (cut !== null) return;
          life.deliver(cancel);
          resolve(result);
        });
      };
      out(() => {
        if (cut === "refused") refuse();
        else if (cut === "deaf" && chance.happens(0.5)) stuck.push(run);
        else if (cut === null) run();
      });
      return promise;
    }

    function ready(): void {
      clock.after(chance.between(0, 500), () => {
        if (cut !== null) return;
        life.deliver(() => {
          noteTrouble(null);
          for (const listener of [...onReady]) listener();
        });
      });
    }

    wires.add({ id, hear });
    ready();
    return {
      connection: {
        client: clientOf(call),
        key,
        subscribe(channel, onMessage) {
          const all = listeners.get(channel) ?? new Set();
          listeners.set(channel, all.add(onMessage));
          return () => all.delete(onMessage);
        },
        onReady(listener) {
          onReady.add(listener);
          return () => onReady.delete(listener);
        },
        trouble: () => trouble,
        sinceMs: () => sinceMs,
        close: async () => undefined,
      },
      isCut: () => cut !== null,
      cut(how) {
        cut = how;
        if (how === "refused") life.deliver(() => noteTrouble("connection refused"));
      },
      heal() {
        if (cut === null) return;
        cut = null;
        for (const work of stuck.splice(0)) work();
        ready();
      },
    };
  }

  const inStore = () => ({ ...store, say: () => undefined });
  return {
    link,
    holderOf(app) {
      const instance = ownerOf(get(inStore(), key(`lock:${app}`)));
      const fence = Number(hash(inStore(), key("fences")).get(app) ?? 0);
      return instance === null ? null : { instance, fence };
    },
    isHeardOf(id) {
      const heardMs = sorted(inStore(), key("instances")).get(id) ?? 0;
      return clock.now() - heardMs < LIFE_MS;
    },
    flush() {
      for (const all of [kept.strings, kept.hashes, kept.sets]) all.clear();
    },
  };
}

type Call = <T>(work: (store: Store) => T) => Promise<T>;

/** The commands that the registry uses. */
function clientOf(call: Call): RedisConnection["client"] {
  const runScript = (name: string, count: number, args: readonly unknown[]) => (store: Store) => {
    const words = args.map(String);
    return stepOf(name)(store, words.slice(0, count), words.slice(count));
  };
  const client = {
    eval: (lua: string, count: number, ...args: unknown[]) => call(runScript(lua, count, args)),
    evalsha: (sha: string, count: number, ...args: unknown[]) => call(runScript(sha, count, args)),
    hgetall: (name: string) => call((store) => Object.fromEntries(hash(store, name))),
    hdel: (name: string, field: string) => call((store) => hash(store, name).delete(field)),
    publish: (channel: string, text: string) => call(({ say }) => say(channel, text)),
    pipeline() {
      const steps: ((store: Store) => unknown)[] = [];
      const chain = {
        set(name: string, text: string) {
          steps.push((store) => {
            if (get(store, name) === null) set(store, name, text);
          });
          return chain;
        },
        eval(lua: string, count: number, ...args: unknown[]) {
          steps.push(runScript(lua, count, args));
          return chain;
        },
        exec: () => call((store) => steps.map((step) => [null, step(store)] as const)),
      };
      return chain;
    },
  };
  // Of some hundred commands, the registry uses these.
  return client as unknown as RedisConnection["client"];
}
