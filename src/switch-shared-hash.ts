/** One hash that several instances change: what is known of it here, and compare-and-set over all instances. */

import type { Clock } from "./clock.ts";
import { createLastSaid } from "./last-said.ts";
import type { Log } from "./log.ts";
import type { SwitchHash, SwitchSpace } from "./redis/switch-space.ts";
import { Overtaken } from "./switch-store.ts";

/** What is known of a hash. */
export interface SharedHash<T> {
  /** `null`: nothing. */
  get(key: string): Entry<T> | null;
  /**
   * Stores a value.
   * @param basis.base what `get` gave when it was made
   * @param basis.lock what must be held by then; `null`: nothing
   * @returns false, and nothing is stored, when another instance has stored something else meanwhile: `get` gives it
   * @throws Overtaken when the lock is not held any more
   * @throws Error when nobody can be asked, or what stands there cannot be read
   */
  set(key: string, value: T, basis: SetBasis<T>): Promise<boolean>;
  /** This was stored, some time. What is older than what is known says nothing. */
  hear(key: string, text: string): void;
  /** All that is stored now. What was lost of it is stored again. @throws Error when nobody can be asked */
  compare(texts: ReadonlyMap<string, string>): Promise<void>;
}

/** What stands in a field: the greater its `rev`, the newer it is. */
export interface Entry<T> {
  readonly rev: number;
  readonly value: T;
  readonly text: string;
}

/** What a value was made of, and is stored under. */
export interface SetBasis<T> {
  readonly base: Entry<T> | null;
  readonly lock: string | null;
}

/** What it is made of. */
export interface SharedHashOptions<T> {
  readonly name: SwitchHash;
  readonly space: SwitchSpace;
  readonly clock: Clock;
  readonly log: Log;
  /** @returns `null`: it cannot be read */
  readonly read: (value: unknown) => T | null;
  /** What `get` gives for an app has been changed by another instance. */
  readonly onNews: (key: string) => void;
}

/** As often as others may be found to have lost what was stored, one time after the other. */
const LOSSES_MAX = 3;

/** Nothing is known yet. */
export function createSharedHash<T>(options: SharedHashOptions<T>): SharedHash<T> {
  const { name, space, clock, log, onNews } = options;
  const known = new Map<string, Entry<T>>();
  const unreadable = createLastSaid();

  function entryIn(key: string, text: string): Entry<T> | null {
    const entry = parse(text, options.read);
    if (entry !== null) unreadable.isOver(key);
    else if (unreadable.isNews(key, text)) {
      const next = "it is left as it is: remove it with HDEL, or use the newest version everywhere";
      const fields = { app: key, hash: name, next };
      log.error(fields, "the state of its switches in Redis cannot be read, and is not taken over");
    }
    return entry;
  }
  /** @param isThere it stands in Redis now, which decides between two of the same age */
  function take(key: string, entry: Entry<T>, isThere: boolean): void {
    const mine = known.get(key);
    if (mine !== undefined) {
      if (mine.text === entry.text || entry.rev < mine.rev) return;
      if (entry.rev === mine.rev && !isThere) return;
    }
    known.set(key, entry);
    onNews(key);
  }
  function hear(key: string, text: string): void {
    const entry = entryIn(key, text);
    if (entry !== null) take(key, entry, false);
  }
  async function set(key: string, value: T, { base, lock }: SetBasis<T>): Promise<boolean> {
    const rev = Math.max((base?.rev ?? 0) + 1, clock.now());
    const text = JSON.stringify({ rev, value });
    if (!(await put(key, { base, text, lock }))) return false;
    const mine = known.get(key);
    // Somebody may have stored something on top of it by now, of which we have heard before the answer.
    if (mine === undefined || mine.rev <= rev) known.set(key, { rev, value, text });
    return true;
  }
  async function put(
    key: string,
    order: SetBasis<T> & { readonly text: string },
  ): Promise<boolean> {
    const { base, text, lock } = order;
    let seen = base?.text ?? null;
    for (let losses = 0; losses < LOSSES_MAX; losses += 1) {
      const outcome = await space.put({ hash: name, key, seen, text, lock });
      if (outcome === null) return true;
      if (outcome === "lost") throw new Overtaken("another instance may switch it by now");
      seen = outcome.instead;
      const entry = seen === null ? null : entryIn(key, seen);
      if (seen !== null && entry === null) {
        throw new Error("what Redis holds of its switches cannot be read");
      }
      if (entry !== null && entry.rev >= (base?.rev ?? 0)) {
        take(key, entry, true);
        return false;
      }
      // Meanwhile there was word of something newer.
      if ((known.get(key) ?? null) !== base) return false;
      // It has lost what we had found or stored there: what is made of that is newer than what it has.
    }
    throw new Error("Redis loses what is stored in it");
  }
  return {
    get: (key) => known.get(key) ?? null,
    set,
    hear,
    async compare(texts) {
      for (const [key, text] of texts) {
        const entry = entryIn(key, text);
        if (entry !== null) take(key, entry, true);
      }
      for (const [key, { text }] of known) {
        const now = texts.get(key);
        if (now === text) continue;
        if (now !== undefined && parse(now, options.read) === null) continue;
        const outcome = await space.put({ hash: name, key, seen: now ?? null, text, lock: null });
        if (outcome !== null) continue;
        const fields = { app: key, hash: name };
        log.warn(fields, "Redis had lost the state of its switches: it is stored again");
      }
    },
  };
}

function parse<T>(text: string, read: (value: unknown) => T | null): Entry<T> | null {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof content !== "object" || content === null) return null;
  if (!("rev" in content) || !("value" in content) || typeof content.rev !== "number") return null;
  const value = read(content.value);
  return value === null ? null : { rev: content.rev, value, text };
}
