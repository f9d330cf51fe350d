/** The README's generated parts are what the code says today. */

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { withGeneratedParts } from "../src/docs-tables.ts";
import { describeVariables } from "../src/environment.ts";
import { ANSWER_CODES } from "../src/errors.ts";

const ROOT = resolve(import.meta.dir, "..");
const readme = readFileSync(join(ROOT, "README.md"), "utf8");

test("readme: its tables are up to date (`npm run docs` writes them)", () => {
  expect(readme).toBe(withGeneratedParts(readme, ROOT));
});

test("readme: every variable and every code has a row", () => {
  for (const { name } of describeVariables()) expect(readme).toContain(`| \`${name}\``);
  for (const code of Object.keys(ANSWER_CODES)) expect(readme).toContain(`| \`${code}\` |`);
});

test("readme: a part that is out of date, unknown or missing is noticed", () => {
  const stale = readme.replace("| `unknown_app` | 404 |", "| `unknown_app` | 410 |");
  expect(stale).not.toBe(readme);
  expect(withGeneratedParts(stale, ROOT)).toBe(withGeneratedParts(readme, ROOT));
  const renamed = readme.replace("generated: codes", "generated: cods");
  expect(() => withGeneratedParts(renamed, ROOT)).toThrow('nobody generates a part named "cods"');
  expect(() => withGeneratedParts("# Paastis\n", ROOT)).toThrow("no markers for: environment");
});

test("readme: the commands it names exist", () => {
  const { scripts } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const named = [...readme.matchAll(/\bnpm (?:run )?(start|test|demo|build|format|check|docs)\b/g)];
  expect(named.length).toBeGreaterThan(5);
  for (const [, name] of named) expect(Object.keys(scripts)).toContain(String(name));
});
