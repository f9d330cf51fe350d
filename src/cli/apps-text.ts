/** The answers of the admin endpoints about apps as tables for people. Pure. */

import { durationText } from "../durations.ts";
import { at, type Body, present, row, shown, timeWords } from "./admin-text.ts";
import { count, type Row, table } from "./table.ts";

/** What `GET /__apps` says. */
export function appsText(body: Body): string {
  const apps = listIn(body, "apps");
  if (apps.length === 0)
    return `There is no ${at(body, "total") === 0 ? "such " : "further "}app.\n`;
  const rows = apps.map((app): Row => {
    return [
      shown(at(app, "key")),
      phaseWords(app),
      timeWords(at(app, "since")),
      shown(at(app, "provider")),
      usesWords(app),
      nextWords(app),
    ];
  });
  const pages = Number(at(body, "pages") ?? 1);
  const page = shown(at(body, "page"));
  const below =
    pages > 1 ? `\nPage ${page} of ${pages}, ${shown(at(body, "total"))} apps in all.\n` : "";
  return table([["APP", "PHASE", "SINCE", "PROVIDER", "USED BY", "NEXT"], ...rows]) + below;
}

function listIn(body: unknown, ...path: readonly string[]): readonly unknown[] {
  const list = at(body, ...path);
  return Array.isArray(list) ? list : [];
}

function phaseWords(app: unknown): string {
  const pause = at(app, "pause", "kind");
  const phase = shown(at(app, "phase"));
  return present(pause) ? `${phase}, ${shown(pause)}` : phase;
}

function usesWords(app: unknown): string {
  const leases = Number(at(app, "leases") ?? 0) + Number(at(app, "leasesElsewhere") ?? 0);
  const waiting = Number(at(app, "waiting") ?? 0);
  return waiting > 0 ? `${leases} (${waiting} held)` : String(leases);
}

function nextWords(app: unknown): string {
  const until = at(app, "keptAwakeUntil");
  if (present(until)) return `kept awake until ${timeWords(until)}`;
  const sleepsAt = at(app, "next", "sleepsAt");
  if (at(app, "next", "sleep") === true) return `sleeps: ${shown(at(app, "next", "why"))}`;
  if (present(sleepsAt)) return `sleeps at ${timeWords(sleepsAt)} if unused`;
  const failure = at(app, "failure");
  return present(failure) ? shown(failure) : shown(at(app, "next", "why"));
}

/** What `GET /__apps/:app` says. */
export function appText(body: Body): string {
  const holders = listIn(body, "holders").map((one) => {
    return `${shown(at(one, "count"))} ${shown(at(one, "kind"))}`;
  });
  const events = listIn(body, "events").slice(0, EVENTS_SHOWN).toReversed();
  const settings = listIn(body, "settings").filter((one) => at(one, "from") !== "default");
  return [
    table([
      ["app", shown(at(body, "key"))],
      ["provider", `${shown(at(body, "provider"))} (${shown(at(body, "id"))})`],
      ["phase", `${phaseWords(body)}, since ${timeWords(at(body, "since"))}`],
      ...row(at(body, "failure"), "failed as", shown),
      ...row(at(body, "pause"), "paused", pauseWords),
      ["used by", holders.join(", ") || "nobody"],
      ...row(at(body, "lastUsed"), "last used", timeWords),
      ["next", nextWords(body)],
      ["why", shown(at(body, "next", "why"))],
      ...row(at(body, "target"), "target", shown),
      ...row(at(body, "lastWake"), "last wake", lastWakeWords),
      ...row(at(body, "wakes", "medianMs"), "wakes take", (median) => {
        return `${msWords(median)} usually, ${msWords(at(body, "wakes", "p95Ms"))} at most`;
      }),
      ...row(namesIn(body, "links"), "wakes", shown),
      ...row(namesIn(body, "linkedFrom"), "used by", shown),
      ...row(at(body, "runsAt"), "runs at", shown),
      ["requests", `${shown(at(body, "requests"))} since the start`],
    ]),
    settings.length === 0 ? "" : `\nSettings\n${table(settings.map(settingRow))}`,
    events.length === 0 ? "" : `\nEvents\n${table(events.map(eventRow))}`,
  ].join("");
}

const EVENTS_SHOWN = 10;

function namesIn(body: Body, name: string): string | null {
  return listIn(body, name).map(shown).join(", ") || null;
}

function pauseWords(pause: unknown): string {
  const until = at(pause, "until");
  const end = present(until) ? `, until ${timeWords(until)}` : "";
  const message = at(pause, "message");
  const said = present(message) && message !== "" ? `: ${shown(message)}` : "";
  return `${shown(at(pause, "kind"))} since ${timeWords(at(pause, "since"))}${end}${said}`;
}

function lastWakeWords(wake: unknown): string {
  const took = at(wake, "durationMs");
  const failure = at(wake, "failure");
  const end = present(failure)
    ? `, failed: ${shown(failure)}`
    : present(took)
      ? `, took ${msWords(took)}`
      : ", goes on";
  return `${timeWords(at(wake, "at"))} by ${shown(at(wake, "cause"))}${end}`;
}

function msWords(ms: unknown): string {
  return typeof ms === "number" ? durationText(ms) : "-";
}

function settingRow(setting: unknown): Row {
  const value = at(setting, "value");
  const words = Array.isArray(value) ? value.map(shown).join("; ") : shown(value);
  return [shown(at(setting, "name")), words, `from ${shown(at(setting, "from"))}`];
}

/** What `GET /__events` says. */
export function eventsText(body: Body): string {
  const events = listIn(body, "events");
  return events.length === 0 ? "There are no such events.\n" : table(events.map(eventRow));
}

/** One event on a line, as they are followed. */
export function eventLine(event: unknown): string {
  return `${eventRow(event).join("  ")}\n`;
}

function eventRow(event: unknown): Row {
  const reason = at(event, "reason");
  const why = present(reason) ? `: ${shown(reason)}` : "";
  const name = shown(at(event, "name"));
  const reference = FAILURES.includes(name) ? ` (reference ${shown(at(event, "id"))})` : "";
  return [
    timeWords(at(event, "at")),
    shown(at(event, "app")),
    name,
    `${shown(at(event, "cause"))}${why}${reference}`,
  ];
}

/** What visitors are shown the reference of. */
const FAILURES = ["APP_START_FAILED", "APP_CRASHED"];

/** What becomes of a request, in words. */
const OUTCOMES: Readonly<Record<string, string>> = {
  admin: "Paastis itself answers",
  forward: "goes to the app",
  hold: "waits for the app",
  ignored: "is answered without waking the app",
  page: "gets the waiting page",
  refused: "is refused",
};

/** What `GET /__explain` says. */
export function explainText(body: Body): string {
  const outcome = shown(at(body, "outcome"));
  const status = at(body, "status");
  const code = at(body, "code");
  const answer = present(status)
    ? ` (${shown(status)}${present(code) ? ` ${shown(code)}` : ""})`
    : "";
  const rules = listIn(body, "rules").map((rule) => {
    return `rules[${shown(at(rule, "index"))}] (${shown(at(rule, "pattern"))})`;
  });
  const settings = listIn(body, "settings").filter((one) => at(one, "from") !== "default");
  const request = ["method", "host", "path"].map((name) => shown(at(body, "request", name)));
  return [
    table([
      ["request", `${request[0]} ${request[1]}${request[2]}`],
      ["app", present(at(body, "app")) ? shown(at(body, "app")) : "none"],
      ["outcome", `${Object.hasOwn(OUTCOMES, outcome) ? OUTCOMES[outcome] : outcome}${answer}`],
      ["why", shown(at(body, "why"))],
      ["wakes it", shown(at(body, "wakes"))],
      ["is a use", shown(at(body, "countsAsUse"))],
      ...row(rules.join(", ") || null, "rules", shown),
      ...row(at(body, "next"), "a sweep", (next) => {
        return `${at(next, "sleep") === true ? "puts it to sleep" : "leaves it"}: ${shown(at(next, "why"))}`;
      }),
    ]),
    settings.length === 0 ? "" : `\nSettings\n${table(settings.map(settingRow))}`,
  ].join("");
}

/** What `GET /__sweep` and `POST /__sweep` say. */
export function sweepText(body: Body): string {
  const entries = listIn(body, "entries");
  const isDry = at(body, "dryRun") === true;
  const sleeps = entries.filter((one) => at(one, "sleep") === true);
  const rows = entries.map((one): Row => {
    return [
      shown(at(one, "app")),
      at(one, "sleep") === true ? "sleeps" : "stays",
      shown(at(one, "why")),
    ];
  });
  const word = isDry ? "would be put to sleep" : "put to sleep from now on";
  return `${count(sleeps.length, "app")} of ${entries.length} ${word}\n${table(rows)}`;
}

/** What `GET /__config` says. */
export function configText(body: Body, isAll: boolean): string {
  const variables = listIn(body, "variables").filter((one) => isAll || at(one, "from") === "given");
  const rows = variables.map((one): Row => {
    const isGiven = at(one, "from") === "given";
    return [shown(at(one, "name")), shown(at(one, "value")), isGiven ? "" : "default"];
  });
  const apps = listIn(body, "apps").map((app): Row => {
    const settings = listIn(app, "settings").map((one) => shown(at(one, "name")));
    return [shown(at(app, "key")), shown(at(app, "provider")), settings.join(", ")];
  });
  const rules = listIn(body, "rules").map((rule): Row => {
    return [shown(at(rule, "pattern")), listIn(rule, "says").map(shown).join(", ")];
  });
  return [
    rows.length === 0 ? "Every variable has its default.\n" : table(rows),
    `\nFile: ${shown(at(body, "file"))}\n`,
    apps.length === 0 ? "" : `\nApps\n${table(apps)}`,
    rules.length === 0 ? "" : `\nRules\n${table(rules)}`,
  ].join("");
}

/** What `GET /__savings` says. */
export function savingsText(body: Body): string {
  const share = Number(at(body, "share") ?? 0);
  return table([
    ["since", timeWords(at(body, "since"))],
    ["asleep", `${shown(at(body, "asleepHours"))} h of apps, ${Math.round(share * 1000) / 10} %`],
    ["awake", `${shown(at(body, "awakeHours"))} h of apps`],
    ...row(at(body, "money"), "saved", (money) => {
      return `${shown(at(money, "amount"))} ${shown(at(money, "currency"))}`;
    }),
  ]);
}

/** What an action on an app says when it is done. */
export function actionText(body: Body): string {
  return `${shown(at(body, "message"))}\n`;
}
