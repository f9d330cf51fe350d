/** What a run leaves: machine, versions, all figures. */

import { mkdirSync, writeFileSync } from "node:fs";
import { loadavg } from "node:os";
import { join } from "node:path";
import type { Contender } from "./contenders/contender.ts";
import type { Verdict } from "./limits.ts";
import { describeMachine, findCommand, firstLineOf, type Machine } from "./machine.ts";
import { pageOf } from "./report.ts";
import { type ScenarioResult, type Summary, summarize } from "./sample.ts";

/** One run. */
export interface BenchRecord {
  /** Such as 2026-11-21. */
  readonly date: string;
  readonly command: string;
  readonly commit: string;
  readonly machine: Machine;
  /** Of the last minute before the run: what else the machine did. */
  readonly loadAverage: number;
  readonly versions: readonly { readonly name: string; readonly version: string | null }[];
  readonly minutes: number;
  readonly scenarios: readonly (ScenarioResult & { readonly summaries: readonly Summary[] })[];
}

/** All but what has yet to be measured. */
export function beginRecord(
  contenders: readonly Contender[],
  command: string,
): Omit<BenchRecord, "minutes" | "scenarios"> {
  return {
    date: new Date().toISOString().slice(0, 10),
    command,
    commit: commitNow(),
    machine: describeMachine(),
    loadAverage: loadavg()[0] ?? Number.NaN,
    versions: [
      ...contenders.map(({ name, version }) => ({ name: nameOf(name), version })),
      { name: "wrk", version: versionOfWrk() },
      { name: "Bun", version: Bun.version },
    ],
  };
}

function nameOf(name: string): string {
  return name === "socket" || name === "fetch" ? `Paastis (${name} engine)` : name;
}

/** With `+` if files are not as in the commit. */
function commitNow(): string {
  const git = (...words: string[]) => firstLineOf(["git", "-C", import.meta.dir, ...words]);
  if (findCommand("git") === null) return "unknown";
  const changed = git("status", "--porcelain") === "" ? "" : "+";
  return `${git("rev-parse", "--short", "HEAD")}${changed}`;
}

function versionOfWrk(): string | null {
  const wrk = findCommand("wrk");
  return wrk === null ? null : (/^wrk (\S+)/.exec(firstLineOf([wrk, "-v"]))?.[1] ?? "unknown");
}

/** Adds what was measured. */
export function endRecord(
  begun: Omit<BenchRecord, "minutes" | "scenarios">,
  results: readonly ScenarioResult[],
  minutes: number,
): BenchRecord {
  const scenarios = results.map((one) => ({ ...one, summaries: summarize(one.samples) }));
  return { ...begun, minutes, scenarios };
}

/** Writes it beside the others, over one of the same day. @returns the path of the page */
export function keepRecord(
  record: BenchRecord,
  verdicts: readonly Verdict[],
  folder = join(import.meta.dir, "results"),
): string {
  mkdirSync(folder, { recursive: true });
  const page = join(folder, `${record.date}.md`);
  writeFileSync(page, pageOf(record, verdicts));
  const all = {
    ...record,
    verdicts: verdicts.map(({ kind, found, text }) => ({ kind, found, text })),
  };
  writeFileSync(join(folder, `${record.date}.json`), `${JSON.stringify(all, null, 1)}\n`);
  return page;
}
