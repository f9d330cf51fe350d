/** Finds variables that nobody reads, but whose names look like ours. Pure. */

import { nearest, nearestName } from "./nearest.ts";

/** A variable that its author may have meant for us. */
export interface UnknownVariable {
  readonly name: string;
  /** The name that was probably meant; `null`: no idea. */
  readonly meant: string | null;
}

/** The beginning of names of ours, in whole words and with `_` at its end. */
interface Family {
  readonly prefix: string;
  readonly names: readonly string[];
  /** Nobody else's names begin so: one that we do not know is worth a word even when it is like none of ours. */
  readonly isOurs: boolean;
}

/** From so many names on, a common first word is ours; `MAX` or `TLS` of two of them is anybody's. */
const FAMILY_MIN = 3;
const SLIPS_MAX = 2;

/**
 * Variables of other programs stay unmentioned, and so do those that are empty and those that Kubernetes makes up
 * for every service.
 * @param names every name of ours, without aliases
 * @param isKnown whether we read a variable of this name
 */
export function findUnknown(
  values: Readonly<Record<string, string | undefined>>,
  names: readonly string[],
  isKnown: (name: string) => boolean,
): UnknownVariable[] {
  const families = familiesOf(names);
  return Object.entries(values).flatMap(([name, value = ""]) => {
    if (value.trim() === "" || isKnown(name) || isServiceLink(name, value)) return [];
    const family = families.find(({ prefix }) => name.toUpperCase().startsWith(prefix));
    if (family === undefined) return [];
    const meant = meantBy(name, family);
    return meant === null && !family.isOurs ? [] : [{ name, meant }];
  });
}

/** The sentence about one. @param label how to call it */
export function describeUnknown({ meant }: UnknownVariable, label: string): string {
  const end = meant === null ? ", and changes nothing" : `: did you mean ${meant}?`;
  return `${label} is not a variable of Paastis${end}`;
}

/** Longer beginnings before shorter ones, as names are tried in this order. */
function familiesOf(names: readonly string[]): readonly Family[] {
  const byFirst = Map.groupBy(names, (name) => name.split("_")[0] ?? "");
  return [...byFirst]
    .flatMap(([first, members]) => {
      const wide = { prefix: `${first}_`, names: members, isOurs: members.length >= FAMILY_MIN };
      const common = { prefix: commonOf(members), names: members, isOurs: true };
      return common.prefix.length > wide.prefix.length ? [wide, common] : [wide];
    })
    .toSorted((one, other) => other.prefix.length - one.prefix.length);
}

/** The whole words that all of them begin with, but never a whole name. */
function commonOf(members: readonly string[]): string {
  const [first = [], ...others] = members.map((name) => name.split("_"));
  let common = first.length - 1;
  for (const words of others) {
    const differs = words.findIndex((word, place) => word !== first[place]);
    common = Math.min(common, words.length - 1, differs === -1 ? words.length : differs);
  }
  return first
    .slice(0, common)
    .map((word) => `${word}_`)
    .join("");
}

/** Under a first word that is anybody's, the second must be right, or all but a slip of the finger. */
function meantBy(name: string, { prefix, names, isOurs }: Family): string | null {
  const rest = (text: string) => text.slice(prefix.length);
  const [second] = rest(name).split("_");
  const isSibling = names.some((candidate) => rest(candidate).split("_")[0] === second);
  if (!isOurs && !isSibling && names.length > 1) return nearest(name, names, SLIPS_MAX);
  const meant = nearestName(rest(name), names.map(rest));
  return meant === null ? null : prefix + meant;
}

/**
 * Kubernetes tells every container about the services around it: one called `registry` gives `REGISTRY_PORT` and
 * `REGISTRY_SERVICE_HOST`. Source: Kubernetes, "Accessing the Service": environment variables.
 */
function isServiceLink(name: string, value: string): boolean {
  return (
    /_SERVICE_(?:HOST|PORT(?:_\w+)?)$|_PORT_\d+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?$/.test(
      name,
    ) ||
    (name.endsWith("_PORT") && /^(?:tcp|udp|sctp):\/\//.test(value))
  );
}
