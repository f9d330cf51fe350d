/**
 * An engine that uses up the descriptors of its process when it is asked for `/fill`, and answers
 * `/hello` itself. Its arguments are the engine's name and the origin of the target; it prints its port.
 */

import { openSync } from "node:fs";
import { devNull } from "node:os";
import { ENGINES } from "./engines.ts";
import { textAnswer } from "./scripted-handler.ts";

function fill(): string {
  try {
    for (;;) openSync(devNull, "r");
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "";
  }
}

const [name, origin = ""] = process.argv.slice(2);
const engine = ENGINES.find((candidate) => candidate.name === name);
if (engine === undefined) throw new Error(`there is no engine ${name}`);
const proxy = engine.start(origin, {
  admit(head, handler) {
    if (head.target === "/hello") return textAnswer(200, "hello");
    return head.target === "/fill" ? textAnswer(200, fill()) : handler.exchange(head);
  },
  failed: ({ kind, replayable }) =>
    textAnswer(503, `${kind}, ${replayable ? "to be tried again" : "not to be tried again"}`),
});
process.stdout.write(`${proxy.port}\n`);
