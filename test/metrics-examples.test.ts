/** The examples for Prometheus and Grafana: they can be read, and name only what there is. */

import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { appFamilies } from "../src/metrics/app-families.ts";
import { createAppTimes } from "../src/metrics/app-times.ts";
import type { Family } from "../src/metrics/family.ts";
import { createLifecycleCounts } from "../src/metrics/lifecycle-counts.ts";
import { processFamilies } from "../src/metrics/process-families.ts";
import { type ProgramFacts, programFamilies } from "../src/metrics/program-families.ts";
import { checkFile, HAS_PROMTOOL, WITHOUT_PROMTOOL } from "./support/promtool.ts";
import { tempDir } from "./support/temp-dir.ts";

const DEPLOY = join(import.meta.dir, "../deploy");
const ALERTS = join(DEPLOY, "prometheus/paastis-alerts.yml");

interface Panel {
  readonly id: number;
  readonly title: string;
  readonly type: string;
  readonly gridPos: {
    readonly x: number;
    readonly y: number;
    readonly w: number;
    readonly h: number;
  };
  readonly targets?: readonly { readonly expr: string }[];
}

// A file of ours, whose shape is looked at below.
const dashboard = JSON.parse(readFileSync(join(DEPLOY, "grafana/paastis.json"), "utf8")) as {
  readonly panels: readonly Panel[];
};
const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));

/** All that can be exposed. */
function families(): readonly Family[] {
  const ends = createLifecycleCounts(() => null);
  const apps = appFamilies({ apps: () => [], times: createAppTimes(() => 0), ends, isFast: false });
  // Only names are asked for: nothing is read.
  const facts = { ends, sweeps: {} } as ProgramFacts;
  return [...apps, ...programFamilies(facts), ...processFamilies({ startedS: 0, lagMs: () => 0 })];
}

/** Every name that a sample can have. */
function sampleNames(): ReadonlySet<string> {
  return new Set(
    families().flatMap(({ name, type }) =>
      type === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
    ),
  );
}

const namesIn = (text: string) => text.match(/\b(?:paastis|process)_[a-z_]+/g) ?? [];

test("dashboard: every metric that it shows is one of ours", () => {
  const known = sampleNames();
  expect(expressions.flatMap(namesIn).filter((name) => !known.has(name))).toEqual([]);
  expect(expressions.length).toBeGreaterThan(20);
});

test("dashboard: panels have ids of their own, a title, and lie beside each other", () => {
  const { panels } = dashboard;
  expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
  const cells = panels.flatMap(({ gridPos: { x, y, w, h } }) =>
    Array.from({ length: w * h }, (_, index) => `${x + (index % w)},${y + Math.floor(index / w)}`),
  );
  expect(new Set(cells).size).toBe(cells.length);
  expect(panels.every(({ title, gridPos }) => title !== "" && gridPos.x + gridPos.w <= 24)).toBe(
    true,
  );
});

test("alerts: every metric that they look at is one of ours", () => {
  const known = sampleNames();
  const lines = readFileSync(ALERTS, "utf8").split("\n");
  const names = lines.filter((line) => line.trim().startsWith("expr:")).flatMap(namesIn);
  expect(names.filter((name) => !known.has(name))).toEqual([]);
  expect(names.length).toBeGreaterThan(5);
});

test("metrics: names are as Prometheus wants them, each with a sentence of its own", () => {
  const all = families();
  for (const { name, help, type } of all) {
    expect([name, type === "counter"]).toEqual([name, name.endsWith("_total")]);
    expect([name, help]).toEqual([name, expect.stringMatching(/^[A-Z0-9][^"\\\n]+\.$/)]);
  }
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
});

test.skipIf(!HAS_PROMTOOL)(`alerts: Prometheus can read them${WITHOUT_PROMTOOL}`, async () => {
  expect(await checkFile("rules", ALERTS)).toBe("");
});

test.skipIf(!HAS_PROMTOOL)(
  `dashboard: Prometheus can read what it asks for${WITHOUT_PROMTOOL}`,
  async () => {
    using folder = tempDir();
    const rules = expressions.map((expression, index) => ({
      record: `panel_${index}`,
      expr: expression
        .replaceAll("$job", "paastis")
        .replaceAll("$app", ".*")
        .replaceAll("$__rate_interval", "5m"),
    }));
    // JSON is YAML, too.
    writeFileSync(
      folder.file("rules.yml"),
      JSON.stringify({ groups: [{ name: "panels", rules }] }),
    );
    expect(await checkFile("rules", folder.file("rules.yml"))).toBe("");
  },
);

test.skipIf(!HAS_PROMTOOL)(`scraping: Prometheus can read how${WITHOUT_PROMTOOL}`, async () => {
  using folder = tempDir();
  const example = readFileSync(join(DEPLOY, "prometheus/prometheus.yml"), "utf8");
  writeFileSync(folder.file("token"), "secret");
  writeFileSync(folder.file("paastis-alerts.yml"), readFileSync(ALERTS, "utf8"));
  // It looks whether the file with the token is there.
  const text = example.replace("/etc/prometheus/paastis-token", folder.file("token"));
  expect(text).not.toBe(example);
  writeFileSync(folder.file("prometheus.yml"), text);
  expect(await checkFile("config", folder.file("prometheus.yml"))).toBe("");
});
