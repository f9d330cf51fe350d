/** The house rules that no other tool checks: arrows between files, sizes, names, rooms. */

import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const ROOT = resolve(import.meta.dir, "..");
const SRC = join(ROOT, "src");

const LINES_MAX = 400;
const BACK_ENDS = ["registry", "event-store", "providers"];
const INTERFACES = BACK_ENDS.map((room) => `${room}/${room.replace(/s$/, "")}.ts`);
/** What every back-end may use at run time, besides its siblings. */
const BACK_END_TOOLS = ["app.ts", "errors.ts", "clock.ts"];
/** Further arrows out of back-ends, each with its reason. */
const BACK_END_EXCEPTIONS: Readonly<Record<string, string>> = {
  "database.ts": "registry and events share one SQLite file",
  "events.ts": "a stored event is checked against the list of names",
  "instance-name.ts": "what a gone instance has left is told by its name",
  "time-words.ts": "labels say days and hours as `paastis.yml` does",
  "redis/redis-errors.ts": "what Redis refuses is explained in one place",
};
/** Programs of their own, outside the arrows of Paastis. */
const APART = ["demo/", "docs.ts", "docs-"];

interface Arrow {
  readonly to: string;
  /** Nothing of it is left at run time. */
  readonly isType: boolean;
}

interface SourceFile {
  /** Below `src`, with `/`. */
  readonly path: string;
  readonly text: string;
  /** Without comments. */
  readonly code: string;
  /** To files of ours; `path`s, or names of files beside `src` that begin with `..`. */
  readonly arrows: readonly Arrow[];
}

const files: readonly SourceFile[] = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .toSorted()
  .map(readSource);
const program = files.filter(({ path }) => !APART.some((start) => path.startsWith(start)));

function readSource(path: string): SourceFile {
  const text = readFileSync(join(SRC, path), "utf8");
  const code = text
    .replaceAll(/\/\*[\s\S]*?\*\//g, (comment) => comment.replaceAll(/[^\n]/g, " "))
    .replaceAll(/(^|[\s;{}(,])\/\/.*$/gm, "$1");
  return { path, text, code, arrows: arrowsOf(path, code) };
}

function arrowsOf(path: string, code: string): Arrow[] {
  const statements =
    /^(?:import|export)\s+(type\s+)?([^;"]*?)\s*from\s*"([^"]+)"|^import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm;
  return [...code.matchAll(statements)]
    .map(([, typeWord, names = "", from, bare, dynamic]) => ({
      to: from ?? bare ?? dynamic ?? "",
      isType: typeWord !== undefined || hasOnlyTypes(names),
    }))
    .filter(({ to }) => to.startsWith("."))
    .map(({ to, isType }) => ({ to: relative(SRC, join(SRC, dirname(path), to)), isType }));
}

function hasOnlyTypes(names: string): boolean {
  const list = /^\{([^}]*)\}$/.exec(names.trim())?.[1];
  if (list === undefined) return false;
  const parts = list.split(",").filter((part) => part.trim() !== "");
  return parts.length > 0 && parts.every((part) => /^\s*type\s/.test(part));
}

/** Everything that is loaded when `path` is, with the way there. */
function reachedFrom(path: string): Map<string, readonly string[]> {
  const ways = new Map<string, readonly string[]>([[path, [path]]]);
  for (const [at, way] of ways) {
    const file = files.find((candidate) => candidate.path === at);
    for (const { to, isType } of file?.arrows ?? []) {
      if (!isType && !ways.has(to)) ways.set(to, [...way, to]);
    }
  }
  return ways;
}

function roomOf(path: string): string {
  return path.includes("/") ? (path.split("/")[0] ?? "") : "";
}

/** Lines of the program that match and stand in none of `rooms`, as `path:line`. Declarations are no code. */
function placesOf(pattern: RegExp, rooms: readonly string[]): string[] {
  return program
    .filter(({ path }) => !path.endsWith(".d.ts"))
    .filter(({ path }) => !rooms.some((room) => path === room || path.startsWith(`${room}/`)))
    .flatMap(({ path, code }) =>
      code.split("\n").flatMap((line, index) => (pattern.test(line) ? `${path}:${index + 1}` : [])),
    );
}

describe("arrows", () => {
  test("the reader of imports sees values, types, and imports within functions", () => {
    const code = `import { a } from "./a.ts";
import type { B } from "./b.ts";
import { type C, type D } from "./c.ts";
import { type E, f } from "./e.ts";
import { readFile } from "node:fs";
const g = await import("../g.ts");`;
    expect(arrowsOf("engines/x.ts", code)).toEqual([
      { to: "engines/a.ts", isType: false },
      { to: "engines/b.ts", isType: true },
      { to: "engines/c.ts", isType: true },
      { to: "engines/e.ts", isType: false },
      { to: "g.ts", isType: false },
    ]);
  });

  test("every arrow leads to a file", () => {
    const broken = files.flatMap(({ path, arrows }) =>
      arrows.filter(({ to }) => !existsSync(join(SRC, to))).map(({ to }) => `${path} -> ${to}`),
    );
    expect(broken).toEqual([]);
  });

  test("what serves a request leads to no back-end, no admin and no command line", () => {
    const starts = ["server.ts", ...files.map(({ path }) => path).filter(isEngine)];
    const wrong = starts.flatMap((start) =>
      [...reachedFrom(start)]
        .filter(([to]) => [...BACK_ENDS, "admin", "cli"].includes(roomOf(to)))
        .filter(([to]) => !INTERFACES.includes(to))
        .map(([, way]) => way.join(" -> ")),
    );
    expect(wrong).toEqual([]);
  });

  test("nothing imports main, and only the command line, the library and the demo import serve", () => {
    const wrong = files.flatMap(({ path, arrows }) =>
      arrows
        .filter(({ to }) => to === "main.ts" || (to === "serve.ts" && !mayServe(path)))
        .map(({ to }) => `${path} -> ${to}`),
    );
    expect(wrong).toEqual([]);
  });

  test("back-ends use the nouns, errors and the clock, and otherwise only their siblings", () => {
    const wrong = files
      .filter(({ path }) => BACK_ENDS.includes(roomOf(path)))
      .flatMap(({ path, arrows }) =>
        arrows
          .filter(({ to, isType }) => !isType && roomOf(to) !== roomOf(path))
          .filter(({ to }) => !BACK_END_TOOLS.includes(to) && !(to in BACK_END_EXCEPTIONS))
          .map(({ to }) => `${path} -> ${to}`),
      );
    expect(wrong).toEqual([]);
  });

  test("the program imports nothing of the demo, the documentation or the tests", () => {
    const wrong = program.flatMap(({ path, arrows }) =>
      arrows
        .filter(({ to }) => APART.some((start) => to.startsWith(start)) || to.startsWith("../test"))
        .map(({ to }) => `${path} -> ${to}`),
    );
    expect(wrong).toEqual([]);
  });
});

function isEngine(path: string): boolean {
  return roomOf(path) === "engines";
}

function mayServe(path: string): boolean {
  return roomOf(path) === "cli" || roomOf(path) === "demo" || path === "library.ts";
}

describe("files", () => {
  test(`no file has more than ${LINES_MAX} lines`, () => {
    const long = files.filter(({ text }) => text.split("\n").length - 1 > LINES_MAX);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  test("names are kebab-case and say what the file holds", () => {
    const names = files.map(({ path }) => path);
    const wrong = names.filter(
      (path) =>
        !/^([a-z0-9-]+\/)*[a-z0-9-]+(\.d)?\.ts$/.test(path) ||
        /(^|[/-])(index|utils?|helpers?|common|shared|types|misc)\.ts$/.test(path),
    );
    expect(wrong).toEqual([]);
  });

  test("each begins with a sentence about what it holds", () => {
    const mute = files.filter(({ text }) => !/^(#!.*\n)?\/\*\*\s+\S/.test(text));
    expect(mute.map(({ path }) => path)).toEqual([]);
  });

  test("there is no default export, no export of another file's names", () => {
    const wrong = files.filter(({ code }) =>
      /^export\s+(default\b|\*|(type\s+)?\{[^}]*\}\s*from)/m.test(code),
    );
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  test("classes are errors only, and no module keeps a variable", () => {
    expect(
      placesOf(/^\s*(export\s+)?(abstract\s+)?class\s+\w+(?!.*\bextends\s+\w*Error\b)/, []),
    ).toEqual([]);
    expect(placesOf(/^(export\s+)?(let|var)\s/, [])).toEqual([]);
  });
});

describe("rooms", () => {
  test("only the clock reads the time or sets a timer", () => {
    // What stands in `pages` and `dashboard/browser` runs in a browser.
    const pattern =
      /\bDate\.now\b|\bnew Date\(\)|\bsetTimeout\b|\bsetInterval\b|\bperformance\.now\b|\bBun\.(sleep|nanoseconds)|\bAbortSignal\.timeout\b/;
    expect(placesOf(pattern, ["clock.ts", "pages", "dashboard/browser"])).toEqual([]);
  });

  test("only the config room and the command line read the environment", () => {
    const pattern = /\bprocess\.env\b|\bBun\.env\b|\bimport\.meta\.env\b/;
    expect(placesOf(pattern, ["environment.ts", "load-config.ts", "main.ts", "cli"])).toEqual([]);
  });

  test("nothing writes to the console behind the log", () => {
    expect(placesOf(/\bconsole\./, [])).toEqual([]);
  });
});

describe("around the code", () => {
  test("the lock file names no registry", () => {
    const lock = readFileSync(join(ROOT, "package-lock.json"), "utf8");
    expect(lock.match(/"resolved": "http[^"]*"/g) ?? []).toEqual([]);
  });

  test("the README's map names every file of src, and no other", () => {
    const readme = readFileSync(join(ROOT, "README.md"), "utf8");
    const map = /<!-- generated: map[\s\S]*?<!-- end -->/.exec(readme)?.[0] ?? "";
    const named = [...map.matchAll(/^\| `([^`]+\.ts)` \|/gm)].map(([, path]) => path);
    expect(named.toSorted()).toEqual(files.map(({ path }) => path).toSorted());
  });

  test("the licence is the whole AGPL-3.0", () => {
    const lines = readFileSync(join(ROOT, "LICENSE"), "utf8").trimEnd().split("\n");
    expect(lines).toHaveLength(661);
    expect(lines[0]?.trim()).toBe("GNU AFFERO GENERAL PUBLIC LICENSE");
    expect(lines[1]?.trim()).toBe("Version 3, 19 November 2007");
    expect(lines.at(-1)).toBe("<https://www.gnu.org/licenses/>.");
  });
});
