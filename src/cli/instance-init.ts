/** The verb `init`: installs the template unit and the folders that instances share. */

import { accessSync, constants, mkdirSync, readFileSync, realpathSync } from "node:fs";
import { userInfo } from "node:os";
import { resolve } from "node:path";
import { messageOf } from "../errors.ts";
import { codeOf } from "../text-file.ts";
import { EXIT_USAGE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { writeWhole } from "./instance-file.ts";
import { type Machine, machineFor, type PrefixFlag } from "./instance-machine.ts";
import { systemdUnavailable } from "./instance-systemd.ts";
import { templateUnit } from "./instance-unit.ts";
import { complain, type Surroundings, tell } from "./surroundings.ts";
import { table } from "./table.ts";

/** Flags of `init`. */
export interface InitFlags extends PrefixFlag {
  readonly dryRun?: true;
  /** The executable that instances run. */
  readonly binary?: string;
}

/** `ProtectHome` and `PrivateTmp` hide what lies here. */
const HIDDEN = /^\/(?:home|root|run\/user|tmp|var\/tmp)\//;

/**
 * Safe to repeat: what is there already stays.
 * @throws InstanceFailure
 */
export async function runInit(flags: InitFlags, surroundings: Surroundings): Promise<void> {
  const machine = machineFor(flags, surroundings, { root: flags.dryRun !== true });
  const binary = binaryFrom(flags.binary, surroundings);
  const text = templateUnit({ paths: machine.paths, binary, user: ownerBelow(machine) });
  if (flags.dryRun === true) {
    warnOfHidden(binary, machine);
    return preview(machine, text);
  }
  refuseUnrunnable(binary, machine);
  const isNew = install(machine, text);
  await reload(machine);
  tell(
    surroundings,
    table([
      ["unit", `${machine.paths.unit} ${isNew ? "written" : "is as it must be"}`],
      ["program", binary],
      ["next", "paastis add <name>"],
    ]),
  );
}

/** The unit for this machine as it should be. @throws InstanceFailure for a program that cannot be run */
export function expectedUnit(machine: Machine, binary: string): string {
  return templateUnit({ paths: machine.paths, binary, user: ownerBelow(machine) });
}

/** The unit's text; `null`: there is none. */
export function installedUnit({ paths }: Pick<Machine, "paths">): string | null {
  try {
    return readFileSync(paths.unit, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
}

/** Why a unit could not run the executable, going on after its path; `null`: nothing is known against it. */
export function whyNotRunnable(binary: string, { paths }: Pick<Machine, "paths">): string | null {
  const hidden = whyHidden(binary);
  // Below a prefix something else may well take the place of systemd, and hide nothing.
  if (paths.prefix === null && hidden !== null) return hidden;
  try {
    accessSync(binary, constants.X_OK);
    return null;
  } catch (error) {
    return codeOf(error) === "ENOENT" ? "is not there" : `cannot be run: ${messageOf(error)}`;
  }
}

/** Whether the unit's own protection keeps the executable from it, going on after its path; `null`: it does not. */
export function whyHidden(binary: string): string | null {
  if (HIDDEN.test(binary)) return "lies where the unit's ProtectHome and PrivateTmp hide it";
  const real = realPathOf(binary);
  return HIDDEN.test(real)
    ? `leads to ${real}, where the unit's ProtectHome and PrivateTmp hide it`
    : null;
}

/** The path itself when nothing is there. */
function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

/** Below a prefix nobody else's folders are used, so nobody else may run there. */
function ownerBelow({ paths, userId }: Machine): string | null {
  return paths.prefix === null || userId === 0 ? null : userInfo().username;
}

function binaryFrom(flag: string | undefined, surroundings: Surroundings): string {
  if (flag !== undefined) return resolve(surroundings.workingDirectory, flag);
  // The script of a compiled program lies inside of it.
  if (process.argv[1]?.startsWith("/$bunfs/") === true) return realpathSync(process.execPath);
  throw new InstanceFailure(
    {
      what: "Cannot tell which program the unit should run",
      why: "this Paastis runs from its source",
      next: "Name the executable with --binary <file>",
    },
    EXIT_USAGE,
  );
}

function refuseUnrunnable(binary: string, machine: Machine): void {
  const why = whyNotRunnable(binary, machine);
  if (why === null) {
    warnOfHidden(binary, machine);
    return;
  }
  throw new InstanceFailure({
    what: "Cannot install the unit",
    why: `${binary} ${why}`,
    next: `Copy the program, as in \`install -m 755 ${binary} /usr/local/bin/paastis\`, then run \`/usr/local/bin/paastis init\``,
  });
}

function warnOfHidden(binary: string, { surroundings }: Machine): void {
  const why = whyHidden(binary);
  if (why === null) return;
  complain(surroundings, `Warning: ${binary} ${why}: systemd itself could not run it there\n`);
}

function preview({ paths, surroundings }: Machine, text: string): void {
  const folders = [paths.settings, paths.state, paths.runtime].join(", ");
  surroundings.writeOut(`# Would be written to ${paths.unit}; folders: ${folders}\n${text}`);
}

/** @returns whether the unit is new or was another */
function install(machine: Machine, text: string): boolean {
  const { paths } = machine;
  try {
    for (const folder of [paths.settings, paths.state, paths.runtime, paths.units]) {
      mkdirSync(folder, { recursive: true, mode: 0o755 });
    }
    if (installedUnit(machine) === text) return false;
    writeWhole(paths.unit, text, 0o644);
    return true;
  } catch (error) {
    throw new InstanceFailure({
      what: "Cannot install the unit",
      why: messageOf(error),
      next: "Run it again once that is mended: what is there already stays",
    });
  }
}

/** Below a prefix, systemd may well know nothing of all this. */
async function reload({ systemd, paths, surroundings }: Machine): Promise<void> {
  const answer = await systemd.call("daemon-reload");
  if (answer.kind === "done") return;
  const what = "The unit was written, but systemd did not read it";
  if (paths.prefix === null && answer.kind === "unavailable") {
    throw systemdUnavailable(what, answer.why);
  }
  if (paths.prefix === null) {
    const next = "Run `systemctl daemon-reload`";
    throw new InstanceFailure({ what, why: answer.why, next });
  }
  complain(surroundings, `Warning: ${what}: ${answer.why}\n`);
}
