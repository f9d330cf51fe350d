/** Where everything of instances lies: below `/`, or below a folder that was given for it. */

import { isAbsolute, join, resolve } from "node:path";
import { keyOf } from "../setting-parsers.ts";
import { EXIT_USAGE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";

/** The variable that stands for `--prefix`. */
export const PREFIX_VARIABLE = "PAASTIS_PREFIX";
/** The template from which systemd makes each instance's unit. */
export const TEMPLATE_UNIT = "paastis@.service";

/** Absolute paths of what all instances share. */
export interface InstancePaths {
  /** `null`: the machine's own folders. */
  readonly prefix: string | null;
  /** `/etc/paastis`: one file per instance. */
  readonly settings: string;
  /** `/var/lib/paastis`: one folder per instance. */
  readonly state: string;
  /** `/run/paastis`: one folder per instance. */
  readonly runtime: string;
  /** `/etc/systemd/system`. */
  readonly units: string;
  /** The template unit's file. */
  readonly unit: string;
}

/** Absolute paths of one instance. */
export interface OwnPaths {
  /** Its environment, with its token. */
  readonly file: string;
  readonly dataDir: string;
  readonly stateFile: string;
  readonly runtime: string;
  readonly socket: string;
}

/** Pure. @param prefix absolute; `null`: none */
export function instancePaths(prefix: string | null): InstancePaths {
  const below = (path: string) => join(prefix ?? "/", path);
  const units = below("etc/systemd/system");
  return {
    prefix,
    settings: below("etc/paastis"),
    state: below("var/lib/paastis"),
    runtime: below("run/paastis"),
    units,
    unit: join(units, TEMPLATE_UNIT),
  };
}

/** Pure. @param name has been checked */
export function ownPaths(paths: InstancePaths, name: string): OwnPaths {
  const dataDir = join(paths.state, name);
  const runtime = join(paths.runtime, name);
  return {
    file: join(paths.settings, `${name}.env`),
    dataDir,
    stateFile: join(dataDir, "state.json"),
    runtime,
    socket: join(runtime, "admin.sock"),
  };
}

/** What systemd calls an instance. */
export function unitOf(name: string): string {
  return `paastis@${name}.service`;
}

/**
 * The prefix that was given, absolute; `null`: none. The flag wins over the variable.
 * @throws InstanceFailure 64 for characters that would need quoting in a unit
 */
export function prefixFrom(
  flag: string | undefined,
  given: {
    readonly environment: Readonly<Record<string, string | undefined>>;
    readonly workingDirectory: string;
  },
): string | null {
  const text = flag ?? given.environment[PREFIX_VARIABLE] ?? "";
  if (text === "") return null;
  const prefix = isAbsolute(text) ? resolve(text) : resolve(given.workingDirectory, text);
  if (!/^[\w./@+:-]+$/.test(prefix)) {
    throw new InstanceFailure(
      {
        what: "Cannot use this prefix",
        why: `${JSON.stringify(prefix)} has characters that systemd would read in its own way`,
        next: "Use a folder whose path has letters, digits and . _ - + @ : / only",
      },
      EXIT_USAGE,
    );
  }
  return prefix === "/" ? null : prefix;
}

/** systemd takes names of users of at most 31 characters, and each instance has its own: `paastis-<name>`. */
const NAME_CHARACTERS_MAX = 31 - "paastis-".length;
/** The sentence about names. */
export const NAME_ALLOWED = `small letters a to z, digits and hyphens, at most ${NAME_CHARACTERS_MAX}, with no hyphen at either end`;

/** Whether an instance can be called so: systemd need not escape it, and a host's label may equal it. */
export function isInstanceName(name: string): boolean {
  return keyOf(name) === name && name.length <= NAME_CHARACTERS_MAX;
}

/** @throws InstanceFailure 64 when no instance can be called so */
export function checkName(name: string): void {
  if (isInstanceName(name)) return;
  throw new InstanceFailure(
    {
      what: `Cannot use the name ${JSON.stringify(name)}`,
      why: `a name must be ${NAME_ALLOWED}`,
      next: "",
    },
    EXIT_USAGE,
  );
}
