/** Tables for people, in a terminal and in a file. */

import type { Verdict } from "./limits.ts";
import type { BenchRecord } from "./record.ts";
import {
  kindOf,
  type Measure,
  measuresOf,
  type Sample,
  type Summary,
  summarize,
} from "./sample.ts";

/** A table before it is drawn. The first two columns are words. */
interface Table {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

const WORD_COLUMNS = 2;

/** One scenario's figures, for a terminal. */
export function drawScenario(samples: readonly Sample[]): string {
  const { head, rows } = tableOf(samples);
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => (row[column] ?? "").length)),
  );
  const line = (cells: readonly string[]) =>
    `  ${cells
      .map((cell, column) => {
        const width = widths[column] ?? 0;
        return column < WORD_COLUMNS ? cell.padEnd(width) : cell.padStart(width);
      })
      .join("  ")}`.trimEnd();
  const rule = `  ${widths.map((width) => "─".repeat(width)).join("  ")}`;
  const drawn = rows.flatMap((row, index) => {
    const isSame = index > 0 && rows[index - 1]?.[0] === row[0];
    const cells = isSame ? ["", ...row.slice(1)] : row;
    return index > 0 && !isSame ? [rule, line(cells)] : [line(cells)];
  });
  return [line(head), rule, ...drawn].join("\n");
}

/** The same for Markdown. */
export function markdownOf(samples: readonly Sample[]): string {
  const { head, rows } = tableOf(samples);
  const align = head.map((_, column) => (column < WORD_COLUMNS ? "---" : "---:"));
  return [head, align, ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

function tableOf(samples: readonly Sample[]): Table {
  const measures = measuresOf(samples);
  const summaries = summarize(samples);
  const hasRatio = summaries.some(({ subject, timesNginx }) => subject !== "nginx" && timesNginx);
  const hasSpread = summaries.some(({ rounds }) => rounds > 1);
  const [first, ...others] = measures;
  const head = [
    "load",
    "proxy",
    ...(first === undefined ? [] : [kindOf(first).title]),
    ...(hasSpread ? ["from–to"] : []),
    ...(hasRatio ? ["x nginx"] : []),
    ...others.map((measure) => kindOf(measure).title),
  ];
  const rows = summaries.map((summary) => [
    summary.load,
    summary.subject,
    ...(first === undefined ? [] : [cellOf(summary, first)]),
    ...(hasSpread ? [spreadOf(summary, first)] : []),
    ...(hasRatio ? [summary.timesNginx?.toFixed(2) ?? ""] : []),
    ...others.map((measure) => cellOf(summary, measure)),
  ]);
  return { head, rows };
}

function cellOf({ medians }: Summary, measure: Measure): string {
  const value = medians[measure];
  return value === undefined ? "" : value.toFixed(kindOf(measure).digits);
}

function spreadOf({ spread: [least, most] }: Summary, first: Measure | undefined): string {
  if (first === undefined || !Number.isFinite(least)) return "";
  const { digits } = kindOf(first);
  return `${least.toFixed(digits)}–${most.toFixed(digits)}`;
}

const SIGNS = {
  kept: "✓",
  short: "~",
  exceeded: "✗",
  "not measured": "✗",
  "left out": "–",
} as const;

/** What became of each limit, a line each, and a last line that sums up. */
export function drawVerdicts(verdicts: readonly Verdict[]): string {
  if (verdicts.length === 0) return "No limit concerns what was measured.";
  const lines = verdicts.map(({ kind, text }) => `  ${SIGNS[kind]} ${text}`);
  const count = (kind: Verdict["kind"]) => verdicts.filter((one) => one.kind === kind).length;
  const words = {
    short: "short of their goal",
    "not measured": "not measured",
    "left out": "left out",
  };
  // Its keys are those of a record of ours.
  const tail = (Object.keys(words) as (keyof typeof words)[])
    .map((kind) => (count(kind) === 0 ? "" : `, ${count(kind)} ${words[kind]}`))
    .join("");
  const sum = `${count("kept")} limits kept, ${count("exceeded")} exceeded${tail}`;
  return [...lines, "", sum].join("\n");
}

/** The whole run as a page. */
export function pageOf(record: BenchRecord, verdicts: readonly Verdict[]): string {
  const { machine, versions } = record;
  return [
    `# Benchmarks of ${record.date}`,
    "",
    `\`${record.command}\`, commit ${record.commit}, ${record.minutes.toFixed(1)} minutes`,
    "",
    `${machine.processor}, ${machine.cores} cores, ${machine.memoryGb} GB; ${machine.system}, ${machine.kernel}; ` +
      `load average ${record.loadAverage.toFixed(2)} before it began`,
    "",
    versions.map(({ name, version }) => `${name} ${version ?? "(not here)"}`).join(", "),
    "",
    "Each figure is the median of its rounds. `x nginx` is the median of the rounds' ratios.",
    ...record.scenarios.flatMap(({ name, title, samples, failure }) => [
      "",
      `## ${name}: ${title}`,
      "",
      failure === null ? markdownOf(samples) : `It failed: ${failure}`,
    ]),
    "",
    "## Limits",
    "",
    ...verdicts.map(({ kind, text }) => `- ${SIGNS[kind]} ${text}`),
    "",
  ].join("\n");
}
