/** The part of `doctor` that looks at what all instances share. */

import { statSync } from "node:fs";
import { messageOf } from "../errors.ts";
import { codeOf } from "../text-file.ts";
import { type Finding, findingsOf } from "./instance-finding.ts";
import { expectedUnit, installedUnit, whyHidden, whyNotRunnable } from "./instance-init.ts";
import type { Machine } from "./instance-machine.ts";
import { TEMPLATE_UNIT } from "./instance-paths.ts";

/** Bits of a mode: others may write. */
const WRITABLE_BY_OTHERS = 0o022;

const { fine, doubtful, wrong } = findingsOf(null);

/** What the finding about systemd is called. */
export const SYSTEMD = "systemctl";

/** In the order of the report. */
export async function lookAtMachine(machine: Machine): Promise<readonly Finding[]> {
  const { settings, state } = machine.paths;
  return [
    await lookAtSystemd(machine),
    ...lookAtUnit(machine),
    lookAtFolder(settings, machine),
    lookAtFolder(state, machine),
  ];
}

/** The program may well be there where something else runs the machine, as in a container. */
async function lookAtSystemd({ systemd }: Machine): Promise<Finding> {
  const program = systemd.find("systemctl");
  const advice = "Run this where systemd runs the machine; elsewhere, run `paastis serve` itself";
  if (program === null) return wrong(SYSTEMD, "not on the PATH", advice);
  const answer = await systemd.call("is-active", TEMPLATE_UNIT);
  if (answer.kind !== "unavailable") return fine(SYSTEMD, program);
  const [why = ""] = answer.why.split("\n");
  return wrong(SYSTEMD, `${program} is there, but systemd does not run: ${why}`, advice);
}

function lookAtUnit(machine: Machine): readonly Finding[] {
  const { unit } = machine.paths;
  const text = installedUnit(machine);
  if (text === null) return [wrong("unit", `${unit} is not there`, "Run `paastis init`")];
  const binary = /^ExecStart=(\S+) serve$/m.exec(text)?.[1];
  if (binary === undefined) {
    return [wrong("unit", `${unit} starts something else`, "Run `paastis init`")];
  }
  const isSame = text === expectedUnit(machine, binary);
  return [
    isSame
      ? fine("unit", unit)
      : doubtful(
          "unit",
          `${unit} is not what this version writes`,
          "Run `paastis init`, then restart the instances; keep own changes with `systemctl edit`",
        ),
    lookAtBinary(binary, machine),
  ];
}

function lookAtBinary(binary: string, machine: Machine): Finding {
  const advice =
    "Install the program, for example as /usr/local/bin/paastis, then run `paastis init` with it";
  const why = whyNotRunnable(binary, machine);
  if (why !== null) return wrong("binary", `${binary} ${why}`, advice);
  const doubt = whyHidden(binary);
  return doubt === null ? fine("binary", binary) : doubtful("binary", `${binary} ${doubt}`, advice);
}

function lookAtFolder(path: string, { userId }: Machine): Finding {
  try {
    const { mode, uid } = statSync(path);
    const next = `chown ${userId} ${path} && chmod 755 ${path}`;
    if (uid !== userId && uid !== 0) {
      return wrong("folder", `${path} belongs to user ${uid}`, `Run \`${next}\``);
    }
    if ((mode & WRITABLE_BY_OTHERS) === 0) return fine("folder", path);
    return wrong("folder", `${path} can be written by others`, `Run \`${next}\``);
  } catch (error) {
    const saw = codeOf(error) === "ENOENT" ? "is not there" : messageOf(error);
    return wrong("folder", `${path} ${saw}`, "Run `paastis init`");
  }
}
