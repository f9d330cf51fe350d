/** The engine's events: lines out of any pieces, and what each means to us. */

import { expect, test } from "bun:test";
import fc from "fast-check";
import { LINE_CHARS_MAX, linesOf, readEvent } from "../src/providers/docker-events.ts";

async function* pieces(all: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* all;
}

async function linesIn(all: readonly (string | Uint8Array)[]): Promise<readonly string[]> {
  const bytes = all.map((piece) => (typeof piece === "string" ? Buffer.from(piece) : piece));
  return await Array.fromAsync(linesOf(pieces(bytes)));
}

test("docker events: several lines come in one piece, one line in several", async () => {
  expect(await linesIn(["a\nb", "c\n", "", "\nd\n"])).toEqual(["a", "bc", "", "d"]);
});

test("docker events: what has no end when the stream ends is no line", async () => {
  expect(await linesIn(["a\nb"])).toEqual(["a"]);
  expect(await linesIn([])).toEqual([]);
});

test("docker events: however a stream is cut, its lines are the same", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: "grapheme" }).map((text) => text.replaceAll("\n", "é€😀"))),
      fc.array(fc.nat(50), { minLength: 1 }),
      async (lines, sizes) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(""));
        const cut: Uint8Array[] = [];
        for (let at = 0, index = 0; at < bytes.length; index += 1) {
          const size = (sizes[index % sizes.length] ?? 0) + 1;
          cut.push(bytes.subarray(at, at + size));
          at += size;
        }
        expect(await linesIn(cut)).toEqual(lines);
      },
    ),
    { numRuns: 200 },
  );
});

test("docker events: a line without an end is given up", async () => {
  const piece = "x".repeat(64 * 1024);
  const count = LINE_CHARS_MAX / piece.length + 1;
  expect(linesIn(Array(count).fill(piece))).rejects.toThrow("without an end");
  const long = "x".repeat(LINE_CHARS_MAX - 1);
  expect(await linesIn([long, "\n", long, "\n"])).toEqual([long, long]);
});

function eventOf(Action: unknown, attributes: object = {}): string {
  return JSON.stringify({
    Type: "container",
    Action,
    Actor: { ID: "abc", Attributes: { name: "demo", ...attributes } },
    time: 1,
  });
}

test.each([
  ["start", "started"],
  ["die", "ended"],
  ["died", "ended"],
  ["health_status: healthy", "changed"],
  ["health_status", "changed"],
  ["pause", "changed"],
  ["unpause", "changed"],
  ["stop", "changed"],
  ["oom", "changed"],
  ["create", "listed"],
  ["destroy", "listed"],
  ["remove", "listed"],
  ["rename", "listed"],
])("docker events: %p means that something has %s", (action, kind) => {
  expect(readEvent(eventOf(action))).toEqual({ containerId: "abc", kind: kind as "started" }); // One of the words above.
});

test.each([
  ["15", true],
  ["9", true],
  // As nginx and Apache are told to end.
  ["3", true],
  ["28", true],
  ["1", false],
  ["10", false],
  ["12", false],
  ["18", false],
])("docker events: signal %s tells a container to end: %p", (signal, isToldToEnd) => {
  const event = readEvent(eventOf("kill", { signal }));
  expect(event?.kind === "told-to-end").toBe(isToldToEnd);
  expect(readEvent(eventOf("kill"))?.kind).toBe("told-to-end");
});

test("docker events: what does not matter, or is none, is passed over", () => {
  const lines = [
    ...["exec_create: /bin/sh", "exec_die", "attach", "top", "", 7, null].map((a) => eventOf(a)),
    ...["", "nonsense", "null", "[]", "{}", '{"Type":"network","Action":"die"}'],
    '{"Type":"container","Action":"die","Actor":null}',
    '{"Type":"container","Action":"constructor","Actor":{"ID":"x"}}',
  ];
  expect(lines.map(readEvent)).toEqual(lines.map(() => null));
});
