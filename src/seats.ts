/** Which app has which key, where several may want the same. Pure. */

import type { AppRef } from "./app.ts";

/** An app, and the keys it wants. */
export interface Claimant {
  readonly ref: AppRef;
  /** What people call it; left out: as its key. */
  readonly label?: string;
  /** Lower case. */
  readonly key: string;
  /** Lower case; they lead to it where nobody claims them as key. */
  readonly aliases: readonly string[];
}

/** What a rule says about a key. */
export interface SeatRule {
  /** Name of the provider whose app has the key. */
  readonly provider: string;
  /** For people: `rules[2] (^shop$)`. */
  readonly rule: string;
}

/** A key that several apps claim. */
export interface SeatConflict<C extends Claimant> {
  readonly key: string;
  /** Who has it. */
  readonly holder: C;
  /** Who wanted it too, in order; `key`: what they are reached by instead, `null`: by nothing. */
  readonly others: readonly { readonly claimant: C; readonly key: string | null }[];
  /** What decided; `null`: the fixed order. */
  readonly rule: SeatRule | null;
}

/** Who has which key. */
export interface Seats<C extends Claimant> {
  /** Each key and each alias that leads somewhere. */
  readonly holders: ReadonlyMap<string, C>;
  /** The key each app goes by; apps without any are left out. */
  readonly keys: ReadonlyMap<C, string>;
  readonly conflicts: readonly SeatConflict<C>[];
}

/**
 * A rule decides where it names a provider that claims the key; otherwise, and among apps of that provider, who
 * comes first. Aliases come after all keys: of those that nobody claims as key, who comes first has each.
 * @param claimants in the fixed order: the same apps in the same order always give the same seats
 */
export function assignSeats<C extends Claimant>(
  claimants: readonly C[],
  ruleOf: (key: string) => SeatRule | null,
): Seats<C> {
  const claims = gather(claimants, ({ key }) => [key]);
  const holders = new Map<string, C>();
  for (const [key, rivals] of claims) holders.set(key, pick(rivals, ruleOf(key)));
  for (const [alias, rivals] of gather(claimants, ({ aliases }) => aliases)) {
    if (!claims.has(alias)) holders.set(alias, pick(rivals, ruleOf(alias)));
  }
  const keys = new Map<C, string>();
  for (const claimant of claimants) {
    const { key, aliases } = claimant;
    const seat = [key, ...aliases].find((wanted) => holders.get(wanted) === claimant);
    if (seat !== undefined) keys.set(claimant, seat);
  }
  const conflicts = [...claims]
    .filter(([, rivals]) => rivals.length > 1)
    .map(([key, rivals]) => conflictOf({ key, rivals, keys, rule: ruleOf(key) }));
  return { holders, keys, conflicts };
}

/** Who wants what; each app once per key, in order. */
function gather<C>(
  claimants: readonly C[],
  wanted: (claimant: C) => readonly string[],
): ReadonlyMap<string, readonly [C, ...C[]]> {
  const rivals = new Map<string, [C, ...C[]]>();
  for (const claimant of claimants) {
    for (const key of new Set(wanted(claimant))) {
      const others = rivals.get(key);
      if (others === undefined) rivals.set(key, [claimant]);
      else others.push(claimant);
    }
  }
  return rivals;
}

function pick<C extends Claimant>(rivals: readonly [C, ...C[]], rule: SeatRule | null): C {
  return rivals.find(({ ref }) => ref.provider === rule?.provider) ?? rivals[0];
}

function conflictOf<C extends Claimant>(contest: {
  readonly key: string;
  readonly rivals: readonly [C, ...C[]];
  readonly keys: ReadonlyMap<C, string>;
  readonly rule: SeatRule | null;
}): SeatConflict<C> {
  const { key, rivals, keys, rule } = contest;
  const holder = pick(rivals, rule);
  const others = rivals
    .filter((claimant) => claimant !== holder)
    .map((claimant) => ({ claimant, key: keys.get(claimant) ?? null }));
  return { key, holder, others, rule: holder.ref.provider === rule?.provider ? rule : null };
}

/** A conflict in one sentence, and what would decide it otherwise; the same as long as nothing changes. */
export function describeConflict({ key, holder, others, rule }: SeatConflict<Claimant>): {
  readonly why: string;
  readonly next: string;
} {
  const nameOf = namesOf([holder, ...others.map(({ claimant }) => claimant)]);
  const losers = others
    .map(({ claimant, key: instead }) => {
      const where = instead === null ? "which nothing leads to" : `which is reached as ${instead}`;
      return `${nameOf(claimant)}, ${where}`;
    })
    .join("; ");
  const decided = rule === null ? "the order of providers and of their lists" : rule.rule;
  const why = `${nameOf(holder)} has the key by ${decided}, and not ${losers}`;
  return {
    why,
    next: nextStep(
      key,
      holder,
      others.map(({ claimant }) => claimant.ref.provider),
    ),
  };
}

/** What each is called, so that people know which is which: with its id only where nothing else tells two apart. */
function namesOf(rivals: readonly Claimant[]): (claimant: Claimant) => string {
  const plain = ({ label, key, ref }: Claimant) => `${label ?? key} (${ref.provider})`;
  const shared = new Map<string, number>();
  for (const rival of rivals) shared.set(plain(rival), (shared.get(plain(rival)) ?? 0) + 1);
  return (claimant) => {
    const { label, key, ref } = claimant;
    const isUnclear = (shared.get(plain(claimant)) ?? 0) > 1;
    return isUnclear ? `${label ?? key} (${ref.provider}, ${ref.id})` : plain(claimant);
  };
}

function nextStep(key: string, holder: Claimant, providers: readonly string[]): string {
  const other = providers.find((provider) => provider !== holder.ref.provider);
  if (other === undefined) return "rename one of them: no rule tells apps of one provider apart";
  const pattern = `^${key.replaceAll(/[^a-z0-9-]/g, "\\$&")}$`;
  return `rename one of them, or let a rule decide: { pattern: '${pattern}', provider: ${other} }`;
}

/**
 * The order of a provider's apps after a new list: that of the list, with those that it left out where they were.
 * @param before ids in the order so far
 * @param listed ids in the order of the list, each once
 * @param stays whether an app that was left out is still counted
 */
export function mergeOrder(
  before: readonly string[],
  listed: readonly string[],
  stays: (id: string) => boolean,
): readonly string[] {
  const isListed = new Set(listed);
  const waiting: string[] = [];
  const ahead = new Map<string, readonly string[]>();
  for (const id of before) {
    if (isListed.has(id)) ahead.set(id, waiting.splice(0));
    else if (stays(id)) waiting.push(id);
  }
  return [...listed.flatMap((id) => [...(ahead.get(id) ?? []), id]), ...waiting];
}
