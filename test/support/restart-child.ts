/** Holds a data folder like a Paastis that runs, and does what it is told to at SIGUSR2: the argument behind the folder. */

import { openDataDir } from "../../src/data-dir.ts";
import { noteOutcome } from "../../src/restart/outcome.ts";

const [folder = "", what = "{}"] = process.argv.slice(2);
const dataDir = openDataDir(folder, Math.random);
process.on("SIGUSR2", () => {
  if (what === "end") process.exit(0);
  noteOutcome(folder, { from: process.pid, to: null, why: null, ...JSON.parse(what) });
});
console.log(dataDir.kind);
setInterval(() => dataDir, 1_000);
