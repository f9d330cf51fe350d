/** A process of its own that writes a state file until it is killed. Arguments: the path, how large at most. */

import { createSystemClock } from "../../src/clock.ts";
import { openStateFile } from "../../src/state-file.ts";

const [path = "", charactersMax = "0"] = process.argv.slice(2);
const file = openStateFile({ path, clock: createSystemClock() });

/** Prints `saved <n>` once that is durable. */
for (let n = 1; ; n += 1) {
  const size = Math.floor(Math.random() * Number(charactersMax));
  await file.write({ n, size, filling: "x".repeat(size) });
  process.stdout.write(`saved ${n}\n`);
}
