/** The verb `doctor`: looks for what is wrong with the machine and its instances, and says what to do. */

import { EXIT_FAILURE } from "./exit-codes.ts";
import { lookAtMachine, SYSTEMD } from "./instance-doctor-machine.ts";
import { lookAtInstance } from "./instance-doctor-one.ts";
import { readInstances } from "./instance-file.ts";
import type { Finding } from "./instance-finding.ts";
import { checkExists, machineFor, type PrefixFlag } from "./instance-machine.ts";
import { type Mark, tellJson, tellMarked } from "./instance-table.ts";
import { type Surroundings, tell } from "./surroundings.ts";
import { count, type Row } from "./table.ts";

/** Flags of `doctor`. */
export interface DoctorFlags extends PrefixFlag {
  readonly json?: true;
}

const MARKS: Readonly<Record<Finding["verdict"], Mark>> = { fine: "✓", doubtful: "!", wrong: "✗" };

/**
 * Changes nothing.
 * @param name `undefined`: all instances
 * @returns the exit status: 1 when something is wrong; what is merely doubtful does not count
 */
export async function runDoctor(
  name: string | undefined,
  flags: DoctorFlags,
  surroundings: Surroundings,
): Promise<number> {
  const machine = machineFor(flags, surroundings);
  if (name !== undefined) checkExists(name, machine);
  const all = readInstances(machine.paths);
  const asked = name === undefined ? all : all.filter((instance) => instance.name === name);
  const shared = await lookAtMachine(machine);
  const isSystemdThere = shared.every((one) => one.check !== SYSTEMD || one.verdict === "fine");
  const looks = asked.map((one) => lookAtInstance(one, { all, machine, isSystemdThere }));
  const findings = [...shared, ...(await Promise.all(looks)).flat()];
  const wrong = findings.filter(({ verdict }) => verdict === "wrong").length;
  if (flags.json === true) tellJson(surroundings, findings);
  else report(findings, { wrong, surroundings });
  return wrong === 0 ? 0 : EXIT_FAILURE;
}

function report(
  findings: readonly Finding[],
  { wrong, surroundings }: { readonly wrong: number; readonly surroundings: Surroundings },
): void {
  tellMarked(surroundings, findings.flatMap(rowsOf));
  const end = wrong === 0 ? "Nothing is wrong." : `${count(wrong, "problem")}.`;
  tell(surroundings, `\n${end}\n`);
}

function rowsOf({ instance, check, verdict, saw, advice }: Finding): readonly Row[] {
  const row = [MARKS[verdict], instance ?? "machine", check, saw];
  return advice === null ? [row] : [row, ["", "", "", `-> ${advice}`]];
}
