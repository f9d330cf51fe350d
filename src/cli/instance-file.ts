/** The file of an instance: the environment that systemd hands to it. */

import {
  closeSync,
  fchmodSync,
  fsyncSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { parseDotenv } from "../dotenv-file.ts";
import { codeOf, readTextFile } from "../text-file.ts";
import { type InstancePaths, isInstanceName, ownPaths } from "./instance-paths.ts";

/** What `add` decides about an instance. */
export interface NewInstance {
  readonly name: string;
  readonly port: number;
  readonly targetPort: number;
  /** Begins with `/`. */
  readonly healthPath: string;
  readonly token: string;
}

/** An instance as its file has it. */
export interface Instance {
  readonly name: string;
  /** `null`: the file says nothing that could be one. */
  readonly port: number | null;
  readonly targetPort: number | null;
  /** `null`: the default. */
  readonly healthPath: string | null;
  /** Never print it. */
  readonly token: string | null;
  readonly socket: string | null;
  /** All variables, secrets included. */
  readonly variables: Readonly<Record<string, string>>;
  /** Why the file cannot be read, going on after its name; `null`: it can. */
  readonly why: string | null;
}

const SUFFIX = ".env";

/** Pure. The whole file: systemd reads it (systemd.exec, `EnvironmentFile=`), and so does `.env`'s reader. */
export function instanceText(instance: NewInstance, paths: InstancePaths): string {
  const own = ownPaths(paths, instance.name);
  return `# Instance ${instance.name} of Paastis, written by \`paastis add\`. After a change: \`paastis restart ${instance.name}\`.
# The file holds a secret: its mode must stay 0600.
INSTANCE_NAME=${instance.name}
LISTEN_PORT=${instance.port}
INITIAL_TARGET_PORT=${instance.targetPort}
HEALTH_PATH=${quoted(instance.healthPath)}
ADMIN_TOKEN=${instance.token}
ADMIN_UNIX_SOCKET=${own.socket}
DATA_DIR=${own.dataDir}
STATE_FILE=${own.stateFile}
# HOST=127.0.0.1
# PAASTIS_CONFIG=${join(paths.settings, `${instance.name}.yml`)}
`;
}

/** Names of all instances, in order; none when the folder is not there. @throws what reading it threw */
export function instanceNames(paths: InstancePaths): readonly string[] {
  return entriesOf(paths.settings)
    .filter((entry) => entry.endsWith(SUFFIX))
    .map((entry) => entry.slice(0, -SUFFIX.length))
    .filter(isInstanceName)
    .toSorted();
}

/** The instance, or `null` when there is none of this name. Never throws. */
export function readInstance(paths: InstancePaths, name: string): Instance | null {
  const reading = readTextFile(ownPaths(paths, name).file);
  if ("why" in reading) {
    if (reading.isMissing) return null;
    return instanceFrom(name, {}, reading.why);
  }
  return instanceFrom(name, parseDotenv(reading.text).values, null);
}

/** All of them, in the order of their names. */
export function readInstances(paths: InstancePaths): readonly Instance[] {
  return instanceNames(paths).flatMap((name) => readInstance(paths, name) ?? []);
}

/** Writes a file whole or not at all, and so that it outlives a power cut. Safe to repeat. */
export function writeWhole(path: string, text: string, mode: number): void {
  const half = join(dirname(path), `.${process.pid}.new`);
  rmSync(half, { force: true });
  const file = openSync(half, "wx", mode);
  try {
    // The mask of whoever runs this takes bits away.
    fchmodSync(file, mode);
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(half, path);
}

function instanceFrom(
  name: string,
  variables: Readonly<Record<string, string>>,
  why: string | null,
): Instance {
  return {
    name,
    port: portOf(variables.LISTEN_PORT ?? variables.PORT),
    targetPort: portOf(variables.INITIAL_TARGET_PORT),
    healthPath: variables.HEALTH_PATH ?? null,
    token: variables.ADMIN_TOKEN ?? null,
    socket: variables.ADMIN_UNIX_SOCKET ?? null,
    variables,
    why,
  };
}

function portOf(text = ""): number | null {
  const port = Number(text);
  return /^\d+$/.test(text) && port >= 1 && port <= 65_535 ? port : null;
}

/** A path of a URL may have characters that would end a plain value. */
function quoted(text: string): string {
  return /^[\w./-]*$/.test(text) ? text : `"${text.replaceAll(/["\\]/g, "\\$&")}"`;
}

/** Names of what is in a folder; none when it is not there. @throws what reading it threw */
export function entriesOf(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return [];
    throw error;
  }
}
