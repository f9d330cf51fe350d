/** The answers of the admin endpoints as tables for people. Pure. */

import { cleanText } from "../log-safety.ts";
import { type Row, table } from "./table.ts";

/** A JSON object from somewhere else: anything may be in it. */
export type Body = Readonly<Record<string, unknown>>;

/** What is at a path in it; `undefined`: nothing. */
export function at(body: unknown, ...path: readonly string[]): unknown {
  let value = body;
  for (const name of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, name))
      return undefined;
    // An object that has it.
    value = (value as Body)[name];
  }
  return value;
}

/** A value on one line, safe to print; `-` for none. */
export function shown(value: unknown): string {
  if (value === undefined || value === null || value === "") return "-";
  if (typeof value === "boolean") return value ? "yes" : "no";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return cleanText(text).replaceAll(/\s+/g, " ").trim();
}

/** JSON whose text can do nothing to a terminal: `JSON.stringify` leaves C1 controls and directions as they are. */
export function jsonText(body: Body): string {
  const escaped = JSON.stringify(body, null, 2).replaceAll(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
  return `${escaped}\n`;
}

/** What `GET /__status` says of one app, or of all. */
export function statusText(body: Body): string {
  const apps = at(body, "apps");
  if (!Array.isArray(apps)) return table([...statusRows(body), ...troubleRows(body)]);
  const troubles = troubleRows(body);
  const below = troubles.length === 0 ? "" : `\n${table(troubles)}`;
  if (apps.length === 0) return `There is no app.\n${below}`;
  const rows = apps.map((app): Row => {
    const way = at(app, "lastSwitch");
    return [
      shown(at(app, "app")),
      shown(at(app, "activePort")),
      shown(at(app, "state")),
      way === null || way === undefined ? "never" : switchWords(way),
    ];
  });
  return table([["APP", "ACTIVE", "STATE", "LAST SWITCH"], ...rows]) + below;
}

/** Other instances, and stores and platforms that cannot be reached; those that can are not worth a line. */
function troubleRows(body: Body): Row[] {
  const providers = at(body, "providers");
  const names = typeof providers === "object" && providers !== null ? Object.keys(providers) : [];
  return [
    ...instanceRows(at(body, "stores", "registry")),
    ...row(at(body, "stores", "registry", "trouble"), "registry", (trouble) =>
      troubleWords(trouble, at(body, "stores", "registry", "since")),
    ),
    ...row(at(body, "stores", "events", "trouble"), "events", (trouble) =>
      troubleWords(trouble, at(body, "stores", "events", "since")),
    ),
    ...backlogRows(at(body, "stores", "events")),
    ...names.flatMap((name) =>
      row(at(providers, name, "trouble"), shown(name), (trouble) => troubleWords(trouble, null)),
    ),
  ];
}

/** One that is alone needs no line. */
function instanceRows(registry: unknown): Row[] {
  const others = at(registry, "otherInstances");
  if (!Array.isArray(others) || at(registry, "type") !== "redis") return [];
  const all = [at(registry, "instance"), ...others].map(shown).toSorted();
  const leader = at(registry, "leaderInstance");
  const words = present(leader) ? `; ${shown(leader)} puts apps to sleep` : "";
  return [["instances", all.join(", ") + words]];
}

function troubleWords(trouble: unknown, since: unknown): string {
  return `trouble${present(since) ? ` since ${timeWords(since)}` : ""}: ${shown(trouble)}`;
}

/** A few events always wait for a moment. */
function backlogRows(events: unknown): Row[] {
  const waiting = present(at(events, "trouble")) ? Number(at(events, "waiting")) : 0;
  const dropped = Number(at(events, "dropped") ?? 0);
  const words = [
    ...(waiting > 0 ? [`${waiting} wait to be stored`] : []),
    ...(dropped > 0 ? [`${dropped} lost since the start`] : []),
  ];
  return words.length === 0 ? [] : [["", words.join(", ")]];
}

/** Lines that say "nothing" are left out, but for those that everybody looks for. */
function statusRows(body: Body): Row[] {
  const lastSwitch = at(body, "lastSwitch");
  return [
    ["app", shown(at(body, "app"))],
    ["active", portWords(at(body, "activePort"))],
    ["state", shown(at(body, "state"))],
    ["last switch", present(lastSwitch) ? switchWords(lastSwitch) : "never"],
    ...row(at(body, "switching"), "switching", (one) => `to ${portWords(at(one, "to"))} now`),
    ...row(at(body, "drainUntil"), "draining", (until) => `until ${timeWords(until)} at most`),
    ...row(at(body, "rollback"), "way back", (one) => {
      return `to ${portWords(at(one, "to"))}, until ${timeWords(at(one, "until"))}`;
    }),
    ...row(at(body, "pause"), shown(at(body, "pause", "kind")), (one) => {
      const message = at(one, "message");
      const said = present(message) && message !== "" ? `: ${shown(message)}` : "";
      return `since ${timeWords(at(one, "since"))}${said}`;
    }),
  ];
}

/** What `GET /__metrics` says. Counters that are not kept (`FAST_PATH`) are left out. */
export function metricsText(body: Body): string {
  const inflightMax = at(body, "inflightMax");
  const most = present(inflightMax) ? `, at most ${shown(inflightMax)}` : "";
  return table([
    ["since", timeWords(at(body, "startedAt"))],
    ["in flight", `${shown(at(body, "inflight"))}${most}`],
    ["requests", shown(at(body, "totalRequests"))],
    ...row(at(body, "rollingRps60"), "per second", (rate) => `${shown(rate)} in the last minute`),
    ...row(at(body, "statusCounters"), "statuses", (counters) =>
      ["2xx", "3xx", "4xx", "5xx"].map((name) => `${shown(at(counters, name))} ${name}`).join(", "),
    ),
    ["proxy errors", shown(at(body, "totalProxyErrors"))],
    ...row(at(body, "lastProxyError"), "last of them", errorWords),
    ...row(at(body, "health"), "health", (health) => {
      const isOk = at(health, "activePortOk");
      const word = isOk === true ? "ok" : isOk === false ? "not ok" : "not looked at yet";
      return word + lookedWords(at(health, "lastCheckedAt"), at(health, "consecutiveFails"));
    }),
    ...row(at(body, "upstreamSocketsCreated"), "connections", (made) => `${shown(made)} made`),
    ...troubleRows(body),
  ]);
}

/** What `GET /__health` says, healthy or not. */
export function healthText(body: Body): string {
  const looked = lookedWords(at(body, "checkedAt"), at(body, "consecutiveFails"));
  return table([
    ["health", `${shown(at(body, "status"))}${looked}`],
    ["active", portWords(at(body, "activePort"))],
    ...row(at(body, "seen"), "answered", seenWords),
  ]);
}

/** What `POST /__switch` says when it is done. */
export function switchText(body: Body): string {
  const { message, switch: done, health } = body;
  const rows = [
    ...row(done, "switch", switchWords),
    ...row(at(done, "id"), "id", shown),
    ...row(health, "answered", seenWords),
  ];
  return `${shown(message)}\n${table(rows)}`;
}

/** What pausing, resuming and maintenance say when they are done. */
export function pauseText(body: Body): string {
  const paused = at(body, "paused");
  const meaning =
    paused === "paused"
      ? "is paused: its requests wait until `paastis resume`"
      : paused === "maintenance"
        ? "is in maintenance: its requests are answered 503 until `paastis resume`"
        : "takes requests";
  return `${shown(at(body, "app"))} ${meaning}\n`;
}

/** What `POST /__deploy` says when it is done. */
export function deployText(body: Body): string {
  const output = at(body, "output");
  const rows = present(at(body, "switch")) ? switchText(body) : `${shown(at(body, "message"))}\n`;
  return present(output) ? `${rows}\n${outputText(output)}` : rows;
}

/** The last lines of a program, each on its own. */
export function outputText(output: unknown): string {
  const text = Array.isArray(output) ? output.map(String).join("\n") : String(output);
  return cleanText(text)
    .trimEnd()
    .split("\n")
    .map((line) => `  ${line}\n`)
    .join("");
}

/** What a target was seen to answer. */
export function seenWords(look: unknown): string {
  const status = at(look, "status");
  const ms = at(look, "ms");
  const why = at(look, "error") ?? at(look, "why");
  const body = at(look, "body");
  const said = present(body) && body !== "" ? `: ${shown(body)}` : "";
  const time = typeof ms === "number" ? ` (${ms} ms)` : "";
  if (!present(status)) return `${present(why) ? shown(why) : "nothing"}${time}`;
  return `status ${shown(status)}${present(why) ? `, ${shown(why)}` : ""}${time}${said}`;
}

function switchWords(one: unknown): string {
  const ways = `${shown(at(one, "from"))} to ${shown(at(one, "to"))}`;
  return `${ways}, ${timeWords(at(one, "at"))}, ${shown(at(one, "reason"))}`;
}

function errorWords(error: unknown): string {
  const what = `${shown(at(error, "code"))} at ${portWords(at(error, "target"))}`;
  return `${what}, ${timeWords(at(error, "at"))}: ${shown(at(error, "message"))}`;
}

function lookedWords(when: unknown, fails: unknown): string {
  const time = present(when) ? `, looked at ${timeWords(when)}` : "";
  return typeof fails === "number" && fails > 0 ? `${time}, ${fails} failed in a row` : time;
}

/** A line, where there is something to say. */
export function row(value: unknown, name: string, words: (value: unknown) => string): Row[] {
  return present(value) ? [[name, words(value)]] : [];
}

/** Whether there is something. */
export function present(value: unknown): boolean {
  return value !== undefined && value !== null;
}

/** Targets of other machines have no port alone. */
function portWords(port: unknown): string {
  return typeof port === "number" ? `port ${port}` : shown(port);
}

/** `2024-01-15T10:30:00.000Z` as people write it. */
export function timeWords(time: unknown): string {
  return shown(time).replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?Z$/, "$1 $2 UTC");
}
