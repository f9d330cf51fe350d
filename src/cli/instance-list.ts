/** The verb `list`: the instances of this machine, and how each is. */

import { type Instance, readInstances } from "./instance-file.ts";
import { type Machine, machineFor, type PrefixFlag } from "./instance-machine.ts";
import { ownPaths } from "./instance-paths.ts";
import type { UnitState } from "./instance-systemd.ts";
import { tellJson, tellMarked } from "./instance-table.ts";
import { type Surroundings, tell } from "./surroundings.ts";

/** Flags of `list`. */
export interface ListFlags extends PrefixFlag {
  readonly json?: true;
}

/** An instance, with what systemd says of it. */
type Listed = Instance & UnitState;

/** Without systemd, states are unknown. */
export async function runList(flags: ListFlags, surroundings: Surroundings): Promise<void> {
  const machine = machineFor(flags, surroundings);
  const listed = await Promise.all(
    readInstances(machine.paths).map(async (instance) => ({
      ...instance,
      ...(await machine.systemd.unitState(instance.name)),
    })),
  );
  if (flags.json === true) {
    return tellJson(
      surroundings,
      listed.map((one) => forPrograms(one, machine)),
    );
  }
  if (listed.length === 0) {
    return tell(surroundings, "There is no instance. `paastis add <name>` makes one.\n");
  }
  const head = ["", "NAME", "STATE", "AT BOOT", "PORT", "TARGET", "HEALTH"];
  tellMarked(surroundings, [head, ...listed.map(forPeople)]);
}

function forPeople({ name, state, isEnabled, port, targetPort, healthPath, why }: Listed) {
  const mark = state === "active" ? "●" : state === "failed" ? "✗" : "○";
  const atBoot = isEnabled === null ? "unknown" : isEnabled ? "yes" : "no";
  if (why !== null) return [mark, name, state ?? "unknown", atBoot, "?", "?", `file ${why}`];
  const shown = [port, targetPort, healthPath].map((value) => String(value ?? "-"));
  return [mark, name, state ?? "unknown", atBoot, ...shown];
}

/** No token: it is in the file. */
function forPrograms(listed: Listed, { paths }: Machine) {
  const { name, state, isEnabled, port, targetPort, healthPath } = listed;
  const { file, dataDir, socket } = ownPaths(paths, name);
  return {
    name,
    state: state ?? "unknown",
    enabled: isEnabled,
    listenPort: port,
    targetPort,
    healthPath,
    file,
    dataDir: listed.variables.DATA_DIR ?? dataDir,
    socket: listed.socket ?? socket,
    problem: listed.why,
  };
}
