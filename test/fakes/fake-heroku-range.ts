/** Lists of the fake Heroku come in ranges: `Range: id ]<last>..; max=200, order=desc`. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import { badRange } from "./fake-heroku-json.ts";
import type { Call } from "./fake-platform.ts";

/** Source: Platform API Reference, "Ranges". */
const DEFAULT_MAX = 200;
const LARGEST_MAX = 1_000;

/** Fields that a list can be sorted by, with their values; the first is the default. */
export type SortFields<T> = Readonly<Record<string, (item: T) => string>>;

interface Range {
  readonly field: string;
  readonly start: string;
  /** `]` before it: what is there is left out. */
  readonly isAfterStart: boolean;
  readonly end: string;
  readonly max: number;
  readonly isDescending: boolean;
}

/**
 * The part of `items` that the call asks for: 200, or 206 when more is left. A malformed range is a
 * violation and 416.
 */
export function answerRange<T extends { readonly id: string }>(
  call: Call,
  items: readonly T[],
  { fields, toJson }: { readonly fields: SortFields<T>; readonly toJson: (item: T) => unknown },
): FakeAnswer {
  const names = Object.keys(fields);
  const text = call.headers.get("range");
  const range = text === null ? wholeOf(names[0] ?? "id") : parseRange(text);
  const sortedBy = range === null ? undefined : fields[range.field];
  if (range === null || sortedBy === undefined) {
    call.violation(`"${text}" is no range of this list`);
    return { ...badRange(), headers: { "Accept-Ranges": names.join(", ") } };
  }
  // What is no key by itself becomes one, so that a cut between equal values loses none.
  const keyOf = (item: T) => (sortedBy === fields.id ? item.id : `${sortedBy(item)}~${item.id}`);
  const direction = range.isDescending ? -1 : 1;
  const found = items
    .map((item) => ({ item, key: keyOf(item) }))
    .filter(({ key }) => isWithin(key, range, direction))
    .toSorted((a, b) => direction * compare(a.key, b.key));
  const page = found.slice(0, range.max);
  const headers: Record<string, string> = { "Accept-Ranges": names.join(", ") };
  const first = page[0];
  const last = page.at(-1);
  if (first !== undefined && last !== undefined) {
    const shown = `${sortedBy(first.item)}..${sortedBy(last.item)}`;
    headers["Content-Range"] = `${range.field} ${shown}${restOf(range)}`;
    if (found.length > page.length) {
      headers["Next-Range"] = `${range.field} ]${last.key}..${range.end}${restOf(range)}`;
    }
  }
  const body = page.map(({ item }) => toJson(item));
  return json(body, found.length > page.length ? 206 : 200, headers);
}

function wholeOf(field: string): Range {
  const whole = { start: "", isAfterStart: false, end: "", isDescending: false };
  return { ...whole, field, max: DEFAULT_MAX };
}

function restOf({ max, isDescending }: Range): string {
  return `; max=${max}${isDescending ? ", order=desc" : ""}`;
}

/** `null`: malformed. */
function parseRange(text: string): Range | null {
  const parts = /^(\w+) +(\]?)([^\s;]*?)\.\.([^\s;]*)\s*(?:;(.*))?$/.exec(text);
  if (parts === null) return null;
  const [, field = "", bracket = "", start = "", end = "", rest = ""] = parts;
  const settings = rest
    .split(/[,;]/)
    .map((setting) => setting.trim())
    .filter((setting) => setting !== "");
  let max = DEFAULT_MAX;
  let isDescending = false;
  for (const setting of settings) {
    const [, digits] = /^max=(\d{1,4})$/.exec(setting) ?? [];
    const [, order] = /^order=(asc|desc)$/.exec(setting) ?? [];
    if (digits !== undefined) max = Number(digits);
    else if (order !== undefined) isDescending = order === "desc";
    else return null;
  }
  if (max < 1 || max > LARGEST_MAX) return null;
  return { field, start, isAfterStart: bracket !== "", end, max, isDescending };
}

function isWithin(key: string, range: Range, direction: 1 | -1): boolean {
  const { start, isAfterStart, end } = range;
  if (start !== "") {
    const side = direction * compareBound(key, start);
    if (side < 0 || (side === 0 && isAfterStart)) return false;
  }
  return end === "" || direction * compareBound(key, end) <= 0;
}

/** A bound without `~<id>` is the value alone. */
function compareBound(key: string, bound: string): number {
  return compare(bound.includes("~") ? key : (key.split("~")[0] ?? key), bound);
}

/** Numbers by their value, all else by its letters. */
function compare(a: string, b: string): number {
  const [valueA = "", idA = ""] = a.split("~");
  const [valueB = "", idB = ""] = b.split("~");
  const areNumbers = /^\d+$/.test(valueA) && /^\d+$/.test(valueB);
  const byValue = areNumbers ? Number(valueA) - Number(valueB) : order(valueA, valueB);
  return byValue === 0 ? order(idA, idB) : byValue;
}

function order(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}
