/** A state file without a disk: writes take time, fail when told to, and a killed program leaves what was durable by then. */

import type { Clock } from "../../src/clock.ts";
import { sleep } from "../../src/clock.ts";
import type { StateFile } from "../../src/state-file.ts";
import type { Chance } from "../support/random.ts";

/** What outlives the program. */
export interface Disk {
  content: unknown;
  /** Nothing can be written. */
  isFull: boolean;
}

/** The file as one run of the program sees it: once `isAlive` says no, nothing is written any more. */
export function createInMemoryStateFile(deps: {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly chance: Chance;
  readonly isAlive: () => boolean;
}): StateFile {
  const { disk, clock, chance, isAlive } = deps;
  let writing: Promise<void> = Promise.resolve();
  async function take(content: unknown): Promise<void> {
    if (chance.happens(0.5)) await sleep(clock, chance.oneOf([1, 5, 50]));
    if (!isAlive()) await new Promise(() => undefined);
    if (disk.isFull) throw new Error("the disk is full");
    disk.content = content;
    // It is there, and not yet known to last.
    if (chance.happens(0.3)) await sleep(clock, chance.oneOf([1, 20]));
    if (!isAlive()) await new Promise(() => undefined);
  }
  return {
    read: () => (disk.content === null ? null : { content: structuredClone(disk.content) }),
    write(content) {
      const taken = structuredClone(content);
      const work = writing.then(() => take(taken));
      writing = work.catch(() => undefined);
      return work;
    },
    setAside: (why) => why,
    close: () => writing,
  };
}
