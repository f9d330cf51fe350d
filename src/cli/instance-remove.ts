/** The verb `remove`: stops an instance and deletes what belongs to it. */

import { existsSync, lstatSync, realpathSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../errors.ts";
import { codeOf } from "../text-file.ts";
import { InstanceFailure } from "./instance-failure.ts";
import {
  checkExists,
  confirm,
  type Machine,
  machineFor,
  type PrefixFlag,
} from "./instance-machine.ts";
import { checkName, ownPaths, unitOf } from "./instance-paths.ts";
import { runningProcess } from "./instance-running.ts";
import { type SystemdAnswer, systemdUnavailable } from "./instance-systemd.ts";
import { complain, type Surroundings, tell } from "./surroundings.ts";

/** Flags of `remove`. */
export interface RemoveFlags extends PrefixFlag {
  readonly force?: true;
  readonly keepState?: true;
}

/** Safe to repeat after an interruption: the file that makes an instance goes last. @throws InstanceFailure */
export async function runRemove(
  name: string,
  flags: RemoveFlags,
  surroundings: Surroundings,
): Promise<void> {
  const machine = machineFor(flags, surroundings);
  checkName(name);
  const own = ownPaths(machine.paths, name);
  const keepState = flags.keepState === true;
  // What an earlier `--keep-state` has left can be removed, too.
  if (keepState || !existsSync(own.dataDir)) checkExists(name, machine);
  const state = keepState
    ? `its state in ${own.dataDir} stays`
    : `with its state in ${own.dataDir}`;
  await confirm(`Stop and remove the instance ${name}, ${state}?`, {
    machine,
    force: flags.force === true,
  });
  await removeInstance(name, { machine, keepState });
  const kept = keepState ? ` Its state is kept in ${own.dataDir}.` : "";
  tell(surroundings, `${name} is removed.${kept}\n`);
  const dropIns = join(machine.paths.units, `${unitOf(name)}.d`);
  if (existsSync(dropIns))
    tell(surroundings, `What was changed with systemctl edit stays: ${dropIns}\n`);
}

/** Stops it, then deletes. @throws InstanceFailure when it may still run: then nothing is deleted */
export async function removeInstance(
  name: string,
  { machine, keepState }: { readonly machine: Machine; readonly keepState: boolean },
): Promise<void> {
  const { paths } = machine;
  const own = ownPaths(paths, name);
  await end(name, machine);
  await refuseRunning(name, machine);
  try {
    if (!keepState) removeFolder(own.dataDir);
    removeFolder(own.runtime);
    rmSync(own.file, { force: true });
  } catch (error) {
    throw new InstanceFailure({
      what: `Not all of ${name} could be removed`,
      why: messageOf(error),
      next: "Run it again once that is mended",
    });
  }
}

/** Stops it and takes it out of the machine's start, where it is in there. */
async function end(name: string, machine: Machine): Promise<void> {
  const { systemd } = machine;
  const { state, isEnabled } = await systemd.unitState(name);
  if (state === null) return await endUnknown(name, machine);
  if (state !== "inactive" && state !== "failed") {
    mustBeDone(await systemd.call("stop", unitOf(name)), name);
  }
  // Otherwise a failed unit is remembered under this name.
  if (state === "failed") await systemd.call("reset-failed", unitOf(name));
  if (isEnabled === true) mustBeDone(await systemd.call("disable", unitOf(name)), name);
}

/** Where systemd cannot be asked, it runs nothing; below a prefix that is nothing special. */
async function endUnknown(name: string, { systemd, paths, surroundings }: Machine): Promise<void> {
  const answer = await systemd.call("stop", unitOf(name));
  if (answer.kind !== "unavailable") return mustBeDone(answer, name);
  if (paths.prefix === null) throw systemdUnavailable(`Cannot stop ${name}`, answer.why);
  complain(surroundings, `Warning: ${name} was not stopped through systemd: ${answer.why}\n`);
}

/** What systemd has not started, it does not stop either. */
async function refuseRunning(name: string, { paths }: Machine): Promise<void> {
  const running = await runningProcess(paths, name);
  if (running === null) return;
  throw new InstanceFailure({
    what: `${name} is not removed`,
    why: `it still runs outside systemd, as ${running}`,
    next: "Stop that process, then run this again; nothing was deleted",
  });
}

function mustBeDone(answer: SystemdAnswer, name: string): void {
  if (answer.kind === "done") return;
  throw new InstanceFailure({
    what: `${name} is not removed`,
    why: answer.why,
    next: `\`systemctl status ${unitOf(name)}\` says more; nothing was deleted`,
  });
}

/**
 * Deletes an instance's folder; one that systemd keeps for a user of its own is a link into a folder beside.
 * Source: systemd.exec, `DynamicUser=`: `/var/lib/private`, `/run/private`.
 */
export function removeFolder(path: string): void {
  const target = linkTarget(path);
  if (target?.endsWith(join("private", "paastis", path.split("/").at(-1) ?? "")) === true) {
    rmSync(target, { recursive: true, force: true });
  }
  rmSync(path, { recursive: true, force: true });
}

/** `null`: it is no link, or leads nowhere. */
function linkTarget(path: string): string | null {
  try {
    return lstatSync(path).isSymbolicLink() ? realpathSync(path) : null;
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null;
    throw error;
  }
}
