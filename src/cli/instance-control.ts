/** The verbs `start`, `stop`, `restart`, `enable` and `disable`. */

import { existsSync } from "node:fs";
import { EXIT_FAILURE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { readInstance } from "./instance-file.ts";
import { checkExists, type Machine, machineFor, type PrefixFlag } from "./instance-machine.ts";
import { unitOf } from "./instance-paths.ts";
import { systemdUnavailable } from "./instance-systemd.ts";
import { complain, type Surroundings, tell } from "./surroundings.ts";

/** What can be asked of systemd, by its own words. */
export type ControlVerb = "start" | "stop" | "restart" | "enable" | "disable";

const DONE: Readonly<Record<ControlVerb, string>> = {
  start: "is started",
  stop: "is stopped",
  restart: "is restarted",
  enable: "will be started with the machine",
  disable: "will no longer be started with the machine",
};

/**
 * Tries all of them, and says what came of each.
 * @param names at least one
 * @returns the exit status: 1 when one of them failed
 * @throws InstanceFailure before anything is done
 */
export async function runControl(
  verb: ControlVerb,
  names: readonly string[],
  { flags, surroundings }: { readonly flags: PrefixFlag; readonly surroundings: Surroundings },
): Promise<number> {
  const machine = machineFor(flags, surroundings);
  for (const name of names) checkExists(name, machine);
  checkUnit(machine);
  let status = 0;
  for (const name of new Set(names)) {
    if (!(await control(verb, name, machine))) status = EXIT_FAILURE;
  }
  return status;
}

async function control(verb: ControlVerb, name: string, machine: Machine): Promise<boolean> {
  const { systemd, surroundings } = machine;
  const answer = await systemd.call(verb, unitOf(name));
  if (answer.kind === "unavailable") throw systemdUnavailable(`Cannot ${verb} ${name}`, answer.why);
  if (answer.kind === "done") {
    tell(surroundings, `${name} ${DONE[verb]}${whereItListens(verb, name, machine)}.\n`);
    return true;
  }
  complain(
    surroundings,
    `Cannot ${verb} ${name}: ${answer.why}\n\`paastis logs ${name}\` shows what it said, \`paastis doctor ${name}\` looks for causes.\n`,
  );
  return false;
}

function whereItListens(verb: ControlVerb, name: string, { paths }: Machine): string {
  const port = readInstance(paths, name)?.port ?? null;
  return port === null || !verb.endsWith("start") ? "" : ` and listens on port ${port}`;
}

function checkUnit({ paths }: Machine): void {
  if (existsSync(paths.unit)) return;
  throw new InstanceFailure({
    what: "Cannot ask systemd",
    why: `the unit ${paths.unit} is not installed`,
    next: "Run `paastis init`",
  });
}
