/** The verb `restart` without a name: the Paastis of this folder gives way to a new process, and nobody notices. */

import { hostname } from "node:os";
import { createSystemClock, sleep } from "../clock.ts";
import { holderOfDataDir } from "../data-dir.ts";
import { forgetOutcome, type RestartOutcome, readOutcome } from "../restart/outcome.ts";
import { codeOf } from "../text-file.ts";
import { dataDirHere } from "./admin-reach.ts";
import { EXIT_FAILURE, EXIT_NO_PERMISSION, EXIT_UNAVAILABLE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { type Surroundings, tell } from "./surroundings.ts";

/** To start, to read a configuration, for apps to stop, and to open what is stored, and once more should that fail, ms. */
const PATIENCE_MS = 200_000;
const LOOK_EVERY_MS = 50;

const WHAT = "Cannot restart Paastis";

/** @throws InstanceFailure why it did not restart, or that nobody knows */
export async function runRestartHere(surroundings: Surroundings): Promise<void> {
  const dataDir = dataDirHere(surroundings);
  const pid = runningIn(dataDir);
  try {
    forgetOutcome(dataDir);
    process.kill(pid, "SIGUSR2");
  } catch (error) {
    const isMissing = codeOf(error) === "ESRCH";
    const why = isMissing ? `process ${pid} is gone` : `process ${pid} belongs to another user`;
    const next = isMissing ? "Start it anew" : "Run this as that user, or with sudo";
    throw new InstanceFailure({ what: WHAT, why, next }, EXIT_NO_PERMISSION);
  }
  const { to, why } = await outcomeOf(pid, dataDir);
  if (to === null) {
    const next = "Its log says more; where it goes on, nothing has changed";
    throw new InstanceFailure({ what: WHAT, why: why ?? "nobody knows why", next }, EXIT_FAILURE);
  }
  if (why !== null) {
    const next = `Process ${to} has taken its place, with the program that ran before; its log says more`;
    throw new InstanceFailure({ what: WHAT, why, next }, EXIT_FAILURE);
  }
  tell(surroundings, `Process ${to} has taken the place of process ${pid}.\n`);
}

function runningIn(dataDir: string): number {
  const holder = holderOfDataDir(dataDir);
  const [, pid, host] = /^(\d+) on (.+)$/.exec(holder ?? "") ?? [];
  if (pid !== undefined && host === hostname()) return Number(pid);
  const why =
    host === undefined
      ? `none runs with the data folder ${dataDir}`
      : `it runs on another machine, or in a container: ${host}`;
  const next =
    host === undefined
      ? "Run this where it was started, or set DATA_DIR to its folder; `paastis restart <name>` is for instances"
      : "Run this there";
  throw new InstanceFailure({ what: WHAT, why, next }, EXIT_UNAVAILABLE);
}

async function outcomeOf(pid: number, dataDir: string): Promise<RestartOutcome> {
  const clock = createSystemClock();
  const untilMs = clock.now() + PATIENCE_MS;
  for (;;) {
    const wasThere = isThere(pid);
    const outcome = readOutcome(dataDir);
    if (outcome?.from === pid) return outcome;
    if (!wasThere) {
      const why = `process ${pid} has ended`;
      throw new InstanceFailure({ what: WHAT, why, next: "Look at its log" }, EXIT_FAILURE);
    }
    if (clock.now() >= untilMs) {
      const why = `process ${pid} has not said within ${PATIENCE_MS / 1000} s what came of it`;
      throw new InstanceFailure({ what: WHAT, why, next: "Look at its log" }, EXIT_FAILURE);
    }
    await sleep(clock, LOOK_EVERY_MS);
  }
}

function isThere(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === "EPERM";
  }
}
