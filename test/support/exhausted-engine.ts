/**
 * A fetch engine that uses up the descriptors of its process when it is asked for `/fill`, and
 * answers `/hello` itself. Its argument is the origin of the target; it prints its port.
 */

import { openSync } from "node:fs";
import { devNull } from "node:os";
import { createFetchEngine } from "../../src/engines/fetch.ts";
import { startEngine } from "./engine-under-test.ts";
import { textAnswer } from "./scripted-handler.ts";

function fill(): string {
  try {
    for (;;) openSync(devNull, "r");
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : "";
  }
}

const proxy = startEngine(createFetchEngine, process.argv[2] ?? "", {
  admit(head, handler) {
    if (head.target === "/hello") return textAnswer(200, "hello");
    return head.target === "/fill" ? textAnswer(200, fill()) : handler.exchange(head);
  },
  failed: ({ kind, replayable }) =>
    textAnswer(503, `${kind}, ${replayable ? "to be tried again" : "not to be tried again"}`),
});
process.stdout.write(`${proxy.port}\n`);
