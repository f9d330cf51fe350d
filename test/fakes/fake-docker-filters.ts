/** The `filters` parameter of the fake Docker engine: read, checked, and applied to lists. */

import { matchesLabel } from "./fake-docker-events.ts";
import type { Container } from "./fake-docker-model.ts";
import type { DockerCall } from "./fake-docker-server.ts";

/** Name of a filter -> the values, of which one must match; for labels all. */
export type Filters = Readonly<Record<string, readonly string[]>>;

/** The filters, or what is wrong with them. */
export type FilterReading =
  | { readonly ok: true; readonly filters: Filters }
  | { readonly ok: false; readonly why: string };

/** Source: moby `api/swagger.yaml`, `ContainerList`. */
const LIST_FILTERS = [
  ...[
    "ancestor",
    "annotation",
    "before",
    "exited",
    "expose",
    "health",
    "id",
    "isolation",
    "is-task",
  ],
  ...["label", "name", "network", "publish", "since", "status", "volume"],
];
const STATUSES = ["created", "restarting", "running", "removing", "paused", "exited", "dead"];
const HEALTHS = ["starting", "healthy", "unhealthy", "none"];
/** Source: moby `api/swagger.yaml`, `SystemEvents`. */
const EVENT_FILTERS = [
  ...["config", "container", "daemon", "event", "image", "label", "network", "node", "plugin"],
  ...["scope", "secret", "service", "type", "volume"],
];

/** Filters of a list; what an engine refuses is a violation too. */
export function listFiltersOf(call: DockerCall): FilterReading {
  const reading = parseFilters(call);
  if (!reading.ok) return refused(call, reading.why);
  for (const [name, values] of Object.entries(reading.filters)) {
    if (!LIST_FILTERS.includes(name)) return refused(call, `invalid filter '${name}'`);
    const allowed = name === "status" ? STATUSES : name === "health" ? HEALTHS : null;
    const wrong = allowed === null ? undefined : values.find((value) => !allowed.includes(value));
    if (wrong !== undefined) return refused(call, `invalid filter '${name}=${wrong}'`);
  }
  return reading;
}

/** Filters of the stream. An engine takes any name there, and lets everything through. */
export function eventFiltersOf(call: DockerCall): FilterReading {
  const reading = parseFilters(call);
  if (!reading.ok) return refused(call, reading.why);
  for (const name of Object.keys(reading.filters)) {
    if (!EVENT_FILTERS.includes(name)) call.violation(`"${name}" is no filter of events`);
  }
  return reading;
}

function refused(call: DockerCall, why: string): FilterReading {
  call.violation(why);
  return { ok: false, why };
}

/** `{"label":["a=b"]}`, or as of old `{"label":{"a=b":true}}`. */
function parseFilters(call: DockerCall): FilterReading {
  const text = call.query.get("filters");
  if (text === null || text === "") return { ok: true, filters: {} };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, why: `invalid character '${text[0]}' looking for beginning of value` };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { ok: false, why: "json: cannot unmarshal into map[string][]string" };
  }
  const filters: Record<string, readonly string[]> = {};
  for (const [name, given] of Object.entries(value)) {
    const values = valuesOf(given);
    if (values === null) return { ok: false, why: "json: cannot unmarshal into []string" };
    filters[name] = values;
  }
  return { ok: true, filters };
}

function valuesOf(given: unknown): readonly string[] | null {
  if (Array.isArray(given)) {
    return given.every((value) => typeof value === "string") ? given : null;
  }
  if (typeof given !== "object" || given === null) return null;
  const entries = Object.entries(given);
  return entries.every(([, isOn]) => typeof isOn === "boolean")
    ? entries.filter(([, isOn]) => isOn).map(([value]) => value)
    : null;
}

/** Whether a list shows a container. */
export function isListed(
  container: Container,
  { filters, isAll }: { readonly filters: Filters; readonly isAll: boolean },
): boolean {
  const { spec, status, id, name, health } = container;
  const isUp = status === "running" || status === "paused" || status === "restarting";
  if (!isAll && !isUp && filters.status === undefined) return false;
  const some = (values: readonly string[] | undefined, matches: (value: string) => boolean) =>
    values === undefined || values.some(matches);
  return (
    (filters.label ?? []).every((wanted) => matchesLabel(spec.labels, wanted)) &&
    some(filters.status, (wanted) => wanted === status) &&
    some(filters.id, (wanted) => id.startsWith(wanted)) &&
    // A part of the name is enough.
    some(filters.name, (wanted) => new RegExp(wanted).test(`/${name}`)) &&
    some(filters.network, (wanted) => spec.networks.includes(wanted)) &&
    some(filters.health, (wanted) => wanted === (health?.status ?? "none"))
  );
}
