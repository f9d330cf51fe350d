/** What verbs about instances work with: folders, systemd, the terminal, the user. */

import { createInterface } from "node:readline";
import type { Command } from "commander";
import { type Clock, createSystemClock, keepAlive } from "../clock.ts";
import { nearest } from "../nearest.ts";
import { EXIT_NO_PERMISSION, EXIT_USAGE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { instanceNames } from "./instance-file.ts";
import {
  checkName,
  type InstancePaths,
  instancePaths,
  PREFIX_VARIABLE,
  prefixFrom,
} from "./instance-paths.ts";
import { createSystemd, type Systemd } from "./instance-systemd.ts";
import type { Surroundings } from "./surroundings.ts";

/** A flag of every verb here. */
export interface PrefixFlag {
  readonly prefix?: string;
}

/** Everything a verb may touch. */
export interface Machine {
  readonly surroundings: Surroundings;
  readonly paths: InstancePaths;
  readonly systemd: Systemd;
  readonly clock: Clock;
  /** Asks a person for a yes; `null`: nobody watches. */
  readonly ask: ((question: string) => Promise<boolean>) | null;
  readonly userId: number;
}

/** Adds the flag. */
export function addPrefixFlag(command: Command): Command {
  return command.option(
    "--prefix <folder>",
    `keep /etc, /var/lib and /run below this folder (or ${PREFIX_VARIABLE})`,
  );
}

/**
 * The machine that this runs on.
 * @throws InstanceFailure 77 for somebody who is not root, without a prefix; 64 for a prefix that cannot be used
 */
export function machineFor(
  flags: PrefixFlag,
  surroundings: Surroundings,
  needs: { readonly root: boolean } = { root: true },
): Machine {
  const { environment } = surroundings;
  const prefix = prefixFrom(flags.prefix, surroundings);
  const userId = process.getuid?.() ?? 0;
  if (needs.root && prefix === null && userId !== 0) throw notRoot(userId);
  const isWatched = process.stdin.isTTY === true && surroundings.columns.err !== null;
  return {
    surroundings,
    paths: instancePaths(prefix),
    systemd: createSystemd({ environment, prefix }),
    clock: createSystemClock(),
    ask: isWatched ? (question) => askPerson(question, surroundings) : null,
    userId,
  };
}

/** @throws InstanceFailure 64 for a name that none can have, 1 for one that none has */
export function checkExists(name: string, { paths }: Pick<Machine, "paths">): void {
  checkName(name);
  const names = instanceNames(paths);
  if (names.includes(name)) return;
  const meant = nearest(name, names);
  const hint = meant === null ? "`paastis list` shows those there are" : `Did you mean ${meant}?`;
  throw new InstanceFailure({
    what: `There is no instance ${name}`,
    why: `${paths.settings} has no ${name}.env`,
    next: names.length === 0 ? `\`paastis add ${name}\` makes it` : hint,
  });
}

/**
 * Goes on when somebody says so.
 * @throws InstanceFailure 64 when there is nobody to ask, 1 for a no
 */
export async function confirm(
  question: string,
  { machine, force }: { readonly machine: Machine; readonly force: boolean },
): Promise<void> {
  if (force) return;
  if (machine.ask === null) {
    throw new InstanceFailure(
      { what: "Nothing was removed", why: "there is no terminal to ask at", next: "Give --force" },
      EXIT_USAGE,
    );
  }
  if (await machine.ask(question)) return;
  throw new InstanceFailure({ what: "Nothing was removed", why: "the answer was no", next: "" });
}

function notRoot(userId: number): InstanceFailure {
  return new InstanceFailure(
    {
      what: "Cannot manage instances of this machine",
      why: `that needs root, and this is user ${userId}`,
      next: `Use sudo, or give a folder of your own with --prefix <folder> or ${PREFIX_VARIABLE}`,
    },
    EXIT_NO_PERMISSION,
  );
}

/** The end of the input is a no. The terminal stays as it is, so that Ctrl-C ends the program. */
async function askPerson(question: string, { writeErr }: Surroundings): Promise<boolean> {
  writeErr(`${question} [y/N] `);
  const letGo = keepAlive();
  const lines = createInterface({ input: process.stdin, terminal: false });
  try {
    const { promise, resolve } = Promise.withResolvers<string>();
    lines.once("line", resolve);
    lines.once("close", () => resolve(""));
    return /^\s*y(?:es)?\s*$/i.test(await promise);
  } finally {
    lines.close();
    letGo();
  }
}
