/** Turns the text of a `paastis.yml` into apps and rules. */

import { resolve } from "node:path";
import type { TSchema } from "typebox";
import { targetOf } from "./app.ts";
import { checkShape, isMeant, type Shape, show } from "./check-shape.ts";
import type { Clock } from "./clock.ts";
import { createSystemClock } from "./clock.ts";
import type {
  AppsConfig,
  Declaration,
  HttpDeclaration,
  PortsDeclaration,
  Rule,
  Settings,
} from "./config.ts";
import {
  APP_KEYS,
  type AppEntry,
  PAASTIS_YML_SCHEMA,
  type RuleEntry,
} from "./paastis-yml-schema.ts";
import { checkKey, readSettings } from "./paastis-yml-settings.ts";
import { readTarget } from "./paastis-yml-target.ts";
import { slowestMatchMs } from "./pattern-cost.ts";
import { keyOf } from "./setting-parsers.ts";
import { readYaml, type YamlPath, type YamlSource } from "./yaml-source.ts";

/** What reading a file gave. `apps` is only worth something when there are no problems. */
export interface AppsReading {
  readonly apps: AppsConfig;
  /** Sentences without the file's name, each with its line: `line 4: rules[0].pattern must be …`. */
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

const STOP_TIMEOUT_SECONDS = 10;
/** What only apps with a `command` can be told. */
const PROCESS_KEYS = ["command", "cwd", "env", "port", "stop_signal", "stop_timeout"] as const;
/** The same, and where it answers: a port says that. */
const NOT_OF_PORTS = [...PROCESS_KEYS.filter((name) => name !== "port"), "targets"] as const;

/** How long a rule with an `app_name` may hold up all requests, at most, for a host that anybody can make up, ms. */
const MATCH_MS_MAX = 50;
/** Patterns that are measured; a file has far fewer with an `app_name`. */
const MEASURED_MAX = 200;
/** So long patterns are measured in all, ms: a file full of slow ones must not hold up a program that runs. */
const MEASURING_MS_MAX = 2000;

/** A file that the configuration names, or a sentence without it: `must be a file that exists`. */
export type TextReading = { readonly text: string } | { readonly why: string };

/** What a text is read with. */
export interface ParseOptions {
  /** The file's folder, absolute. */
  readonly folder: string;
  /** Reads a file that the text names, by its absolute path. Never throws. */
  readonly readText: (path: string) => TextReading;
  /** Measures the patterns; the system's unless given. */
  readonly clock?: Pick<Clock, "now">;
}

/** What one file is read with, and where its problems go. */
export interface Reader {
  readonly source: YamlSource;
  /** Absolute; relative paths count from here. */
  readonly folder: string;
  readonly readText: ParseOptions["readText"];
  readonly problem: (at: YamlPath, text: string) => void;
  readonly warning: (at: YamlPath, text: string) => void;
}

/**
 * Touches no file by itself. Collects all problems and never throws. Patterns of rules with an `app_name` are
 * measured, for up to about 2 s, because strangers choose what they are matched with.
 */
export function parsePaastisYml(text: string, options: ParseOptions): AppsReading {
  const read = readYaml(text);
  if ("problems" in read) {
    const problems = read.problems.map(({ line, message }) => `line ${line}: ${message}`);
    return { apps: { apps: [], rules: [] }, problems, warnings: [] };
  }
  const problems: Note[] = [];
  const warnings: Note[] = [];
  const reader: Reader = {
    source: read.source,
    folder: options.folder,
    readText: options.readText,
    problem: (at, what) => problems.push(note(read.source, at, what)),
    warning: (at, what) => warnings.push(note(read.source, at, what)),
  };
  const apps = readFile(reader, options.clock ?? createSystemClock());
  return { apps, problems: inOrder(problems), warnings: inOrder(warnings) };
}

/** `rules[0].linked_apps[1]`, `apps.shop.cwd`, `apps["a.b"]`. */
export function describePath(path: YamlPath): string {
  return path
    .map((step) => {
      if (typeof step === "number") return `[${step}]`;
      return /^[\w-]+$/.test(step) ? `.${step}` : `[${JSON.stringify(step)}]`;
    })
    .join("")
    .replace(/^\./, "");
}

interface Note {
  readonly line: number;
  readonly text: string;
}

function note(source: YamlSource, at: YamlPath, what: string): Note {
  const line = source.lineOf(at);
  return { line, text: `line ${line}: ${at.length === 0 ? "the file" : describePath(at)} ${what}` };
}

function inOrder(notes: readonly Note[]): string[] {
  return notes.toSorted((a, b) => a.line - b.line).map(({ text }) => text);
}

/** The file after its shape was checked: what was wrong is left out. */
interface CheckedFile {
  readonly apps?: Readonly<Record<string, AppEntry>>;
  readonly rules?: readonly (Partial<RuleEntry> | undefined)[];
}

function readFile(reader: Reader, clock: Pick<Clock, "now">): AppsConfig {
  // The schema is plain JSON Schema, of the kind that `Shape` describes.
  const shape = PAASTIS_YML_SCHEMA as TSchema as Shape;
  const checked = checkShape(shape, reader.source.value, [], reader.problem);
  // `checkShape` left out what the schema does not allow; what may be missing is optional here.
  const file = (checked ?? {}) as CheckedFile;
  const entries = Object.entries(file.apps ?? {});
  reportTwins(
    entries.map(([name]) => name),
    reader,
  );
  const rules = (file.rules ?? []).flatMap((entry, index) => readRule(entry ?? {}, index, reader));
  reportSlow(reader, rules, clock);
  return {
    apps: entries.flatMap(([name, entry]) => readApp(name, entry, reader)),
    rules: rules.map(({ rule }) => rule),
  };
}

function reportTwins(names: readonly string[], reader: Reader): void {
  const seen = new Map<string, string>();
  for (const name of names) {
    const key = name.toLowerCase();
    const twin = seen.get(key);
    if (twin !== undefined) {
      reader.problem(["apps", name], `is the same app as apps.${twin}: case does not matter`);
    }
    seen.set(key, name);
  }
}

/** A rule, and where it stands in the file: others may be left out. */
interface PlacedRule {
  readonly rule: Rule;
  readonly index: number;
}

function readRule(entry: Partial<RuleEntry>, index: number, reader: Reader): PlacedRule[] {
  const at = ["rules", index];
  const { pattern: source, app_name: appName, provider } = entry;
  const pattern = source === undefined ? null : readPattern(source, [...at, "pattern"], reader);
  const groups = pattern === null ? 9 : groupsOf(pattern);
  const checkText = (text: string, where: YamlPath) => checkGroups(text, groups, where, reader);
  const settings = readSettings(entry, at, reader);
  if (appName !== undefined) checkKey(appName, [...at, "app_name"], reader);
  if (appName !== undefined) checkText(appName, [...at, "app_name"]);
  if (entry.health !== undefined) checkText(entry.health, [...at, "health"]);
  if (entry.busy?.url !== undefined) checkText(entry.busy.url, [...at, "busy", "url"]);
  entry.linked_apps?.forEach((text, link) => {
    checkText(text, [...at, "linked_apps", link]);
  });
  if (pattern === null) return [];
  const own = { ...(appName !== undefined && { appName }), ...(provider && { provider }) };
  return [{ rule: { pattern, settings: { ...settings, ...own } }, index }];
}

function readPattern(source: string, at: YamlPath, reader: Reader): RegExp | null {
  try {
    return new RegExp(source);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    reader.problem(at, `must be a regular expression: ${show(source)} is none (${why})`);
    return null;
  }
}

/** A rule without an `app_name` is matched with the keys of apps only, which no stranger makes up. */
function reportSlow(reader: Reader, rules: readonly PlacedRule[], clock: Pick<Clock, "now">): void {
  const named = rules.filter(({ rule }) => rule.settings.appName !== undefined);
  const endMs = clock.now() + MEASURING_MS_MAX;
  for (const { rule, index } of named.slice(0, MEASURED_MAX)) {
    if (clock.now() >= endMs) return;
    const tookMs = slowestMatchMs(rule.pattern, MATCH_MS_MAX, clock.now);
    if (tookMs <= MATCH_MS_MAX) continue;
    reader.problem(
      ["rules", index, "pattern"],
      `must be simpler: ${show(rule.pattern.source)} took ${Math.round(tookMs)} ms to say no to a host name, ` +
        `at most ${MATCH_MS_MAX} ms are allowed; with app_name it is tried on every unknown host, and anybody ` +
        "can send such hosts and hold up all requests. Do not repeat what repeats already, as in (a+)+, or " +
        "anchor it with ^ and $",
    );
  }
}

/** An alternative that always matches shows how many groups a match has. */
function groupsOf(pattern: RegExp): number {
  return (new RegExp(`${pattern.source}|`).exec("")?.length ?? 1) - 1;
}

function checkGroups(text: string, groups: number, at: YamlPath, reader: Reader): void {
  for (const [used] of text.matchAll(/\$[1-9]/g)) {
    if (Number(used.slice(1)) <= groups) continue;
    const there = groups === 1 ? "1 group" : `${groups} groups`;
    reader.warning(at, `uses ${used}, but the pattern has ${there}: nothing will stand there`);
  }
}

function readApp(name: string, entry: AppEntry, reader: Reader): Declaration[] {
  const key = keyOf(name);
  const at = ["apps", name];
  const settings = readSettings(entry, at, reader);
  const provider = providerOf(entry, at, reader);
  if (key === null || provider === null) return [];
  const draft = { key, entry, settings, at };
  switch (provider) {
    case "http":
      return readHttpApp(draft, reader);
    case "ports":
      return readPortsApp(draft, reader);
    case "process":
      return readProcessApp(draft, reader);
  }
}

/** An app on its way to a declaration. */
interface Draft {
  readonly key: string;
  readonly entry: AppEntry;
  readonly settings: Settings;
  readonly at: YamlPath;
}

function providerOf(entry: AppEntry, at: YamlPath, reader: Reader): Declaration["provider"] | null {
  if (entry.provider !== undefined) return entry.provider;
  // As it stands in the file: a command or targets that are wrong still tell the provider.
  const command = isWanted(at, "command", reader);
  const targets = isWanted(at, "targets", reader);
  if (command && targets) {
    reader.problem(at, "has both command and targets: keep one of them, or say which `provider`");
    return null;
  }
  if (command || targets) return command ? "process" : "http";
  if (!isWanted(at, "provider", reader)) {
    reader.problem(
      at,
      "needs `command` (Paastis starts and stops it) or `targets` (lives elsewhere)",
    );
  }
  return null;
}

function readProcessApp(draft: Draft, reader: Reader): Declaration[] {
  const { entry, at, key, settings } = draft;
  if (isGiven(at, "targets", reader)) {
    reader.problem([...at, "targets"], "does not apply to provider process: it needs `command`");
  }
  if (!isWanted(at, "command", reader)) reader.problem(at, "needs `command` (provider process)");
  if (entry.command === undefined) return [];
  return [
    {
      provider: "process",
      key,
      command: entry.command,
      cwd: resolve(reader.folder, entry.cwd ?? "."),
      env: readEnv(entry.env ?? {}, [...at, "env"], reader),
      port: entry.port ?? null,
      stopSignal: entry.stop_signal ?? "SIGTERM",
      stopTimeoutMs: Math.round((entry.stop_timeout ?? STOP_TIMEOUT_SECONDS) * 1000),
      settings,
    },
  ];
}

/** Numbers and booleans become texts as they are written: `1.10` stays `1.10`. */
function readEnv(
  env: NonNullable<AppEntry["env"]>,
  at: YamlPath,
  reader: Reader,
): Record<string, string> {
  if (env.PORT !== undefined) {
    reader.warning([...at, "PORT"], "has no effect: Paastis sets PORT itself; `port` says which");
  }
  return Object.fromEntries(
    Object.entries(env).map(([name, value]) => [
      name,
      typeof value === "string" ? value : (reader.source.textOf([...at, name]) ?? String(value)),
    ]),
  );
}

function readHttpApp(draft: Draft, reader: Reader): HttpDeclaration[] {
  const { entry, at, key, settings } = draft;
  for (const name of PROCESS_KEYS) {
    if (!isGiven(at, name, reader)) continue;
    reader.problem(
      [...at, name],
      "does not apply to provider http: Paastis does not start the app",
    );
  }
  if (!isWanted(at, "targets", reader)) reader.problem(at, "needs `targets` (provider http)");
  const targets = (entry.targets ?? []).flatMap((text, index) => {
    const reading = readTarget(text, reader.folder);
    if ("target" in reading) return reading.target;
    reader.problem([...at, "targets", index], reading.problem);
    return [];
  });
  return [{ provider: "http", key, targets, settings }];
}

function readPortsApp(draft: Draft, reader: Reader): PortsDeclaration[] {
  const { entry, at, key, settings } = draft;
  for (const name of NOT_OF_PORTS) {
    if (!isGiven(at, name, reader)) continue;
    reader.problem([...at, name], "does not apply to provider ports: somebody else starts the app");
  }
  if (!isWanted(at, "port", reader)) reader.problem(at, "needs `port` (provider ports)");
  if (entry.port === undefined) return [];
  const target = targetOf(`http://127.0.0.1:${entry.port}`);
  return [{ provider: "ports", key, target, settings }];
}

/** Whether the key stands in the file, with whatever value. */
function isGiven(at: YamlPath, key: string, reader: Reader): boolean {
  return Object.hasOwn(entryAt(at, reader), key);
}

/** The same, or one that is not known and was probably meant to be it: that was reported already. */
function isWanted(at: YamlPath, key: string, reader: Reader): boolean {
  return isMeant(entryAt(at, reader), key, APP_KEYS);
}

/** As it stands in the file; empty when it is no map. */
function entryAt(at: YamlPath, reader: Reader): Readonly<Record<string, unknown>> {
  let value: unknown = reader.source.value;
  for (const step of at) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return {};
    // An object's own property: whatever it is, it is `unknown`.
    value = (value as Record<string | number, unknown>)[step];
  }
  // As above.
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
