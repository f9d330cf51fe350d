/** The verb `clean`: removes every instance, and what `init` has installed. */

import { rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../errors.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { entriesOf, instanceNames } from "./instance-file.ts";
import { confirm, machineFor, type PrefixFlag } from "./instance-machine.ts";
import { removeFolder, removeInstance } from "./instance-remove.ts";
import { complain, type Surroundings, tell } from "./surroundings.ts";
import { count, inWords } from "./table.ts";

/** Flags of `clean`. */
export interface CleanFlags extends PrefixFlag {
  readonly force?: true;
}

/** Safe to repeat after an interruption. @throws InstanceFailure when an instance cannot be stopped */
export async function runClean(flags: CleanFlags, surroundings: Surroundings): Promise<void> {
  const machine = machineFor(flags, surroundings);
  const { paths, systemd } = machine;
  const names = instanceNames(paths);
  const which = names.length === 0 ? "" : ` (${inWords(names)})`;
  const all = `${count(names.length, "instance")}${which}`;
  const question = `Remove everything of Paastis: ${all}, all state, all settings and the unit?`;
  await confirm(question, { machine, force: flags.force === true });
  for (const name of names) await removeInstance(name, { machine, keepState: false });
  try {
    rmSync(paths.unit, { force: true });
    // What `remove --keep-state` has left.
    for (const left of entriesOf(paths.state)) removeFolder(join(paths.state, left));
    for (const folder of [paths.state, paths.runtime, paths.settings]) {
      rmSync(folder, { recursive: true, force: true });
    }
  } catch (error) {
    const next = "Run it again once that is mended";
    throw new InstanceFailure({ what: "Not all is removed", why: messageOf(error), next });
  }
  const answer = await systemd.call("daemon-reload");
  if (answer.kind !== "done") {
    complain(surroundings, `Warning: systemd did not take notice: ${answer.why}\n`);
  }
  tell(surroundings, `Removed: ${all}, settings, state and unit.\n`);
}
