/** The verb `add`: makes an instance, with ports, a token and folders of its own. */

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync } from "node:fs";
import { messageOf } from "../errors.ts";
import { type Parser, path, wholeNumber } from "../setting-parsers.ts";
import { fitsSocket, SOCKET_BYTES_MAX } from "../socket-path.ts";
import { EXIT_USAGE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { instanceText, type NewInstance, readInstances, writeWhole } from "./instance-file.ts";
import { withLock } from "./instance-lock.ts";
import { type Machine, machineFor, type PrefixFlag } from "./instance-machine.ts";
import { checkName, ownPaths } from "./instance-paths.ts";
import {
  freePort,
  LISTEN_RANGE,
  listeningPorts,
  ownersOf,
  type PortRange,
  TARGET_RANGE,
} from "./instance-ports.ts";
import { type Surroundings, tell } from "./surroundings.ts";
import { table } from "./table.ts";

/** Flags of `add`. */
export interface AddFlags extends PrefixFlag {
  readonly port?: string;
  readonly target?: string;
  readonly health?: string;
  readonly force?: true;
  readonly showToken?: true;
}

/** 256 bits: nobody guesses it. */
const TOKEN_BYTES = 32;
const HEALTH_PATH_DEFAULT = "/health";

/** Safe to repeat after an interruption: the file that makes an instance comes last. @throws InstanceFailure */
export function runAdd(name: string, flags: AddFlags, surroundings: Surroundings): void {
  const machine = machineFor(flags, surroundings);
  checkName(name);
  const wishes = wishesFrom(flags);
  const instance = make(machine, () => {
    refuseExisting(name, machine, flags);
    return {
      name,
      ...portsFor(name, wishes, machine),
      healthPath: wishes.healthPath,
      token: randomBytes(TOKEN_BYTES).toString("base64url"),
    };
  });
  describe(instance, machine, flags);
}

interface Wishes {
  readonly port: number | null;
  readonly targetPort: number | null;
  readonly healthPath: string;
  readonly force: boolean;
}

function wishesFrom(flags: AddFlags): Wishes {
  const port = wholeNumber(1, 65_535);
  const wishes = {
    port: parsed("--port", flags.port, port),
    targetPort: parsed("--target", flags.target, port),
    healthPath: parsed("--health", flags.health, path()) ?? HEALTH_PATH_DEFAULT,
    force: flags.force === true,
  };
  if (wishes.port === null || wishes.port !== wishes.targetPort) return wishes;
  throw usage("--port and --target must differ", `both are ${wishes.port}`);
}

function parsed<T>(flag: string, text: string | undefined, parser: Parser<T>): T | null {
  if (text === undefined) return null;
  const reading = parser.parse(text);
  if (reading.ok) return reading.value;
  throw usage(`${flag} must be ${parser.allowed}`, `it is ${JSON.stringify(text)}`);
}

function usage(what: string, why: string): InstanceFailure {
  return new InstanceFailure({ what, why, next: "" }, EXIT_USAGE);
}

function refuseExisting(name: string, { paths }: Machine, { force }: AddFlags): void {
  const { file } = ownPaths(paths, name);
  if (force === true || !existsSync(file)) return;
  throw new InstanceFailure({
    what: `Cannot add ${name}`,
    why: `there is an instance of this name already (${file})`,
    next: "Choose another name, or give --force to replace its settings and its token",
  });
}

/** A wish for a port of another instance is refused; ports that nobody wished for are looked for. */
function portsFor(
  name: string,
  wishes: Wishes,
  { paths }: Machine,
): Pick<NewInstance, "port" | "targetPort"> {
  const instances = readInstances(paths);
  const before = instances.find((instance) => instance.name === name);
  const owners = ownersOf(instances.filter((instance) => instance !== before));
  const listening = listeningPorts();
  for (const port of [wishes.port, wishes.targetPort]) refuseOwned(port, owners);
  // Whoever has it there may be the instance itself, of which only the settings are replaced.
  if (wishes.port !== null && wishes.port !== before?.port && !wishes.force) {
    refuseListening(wishes.port, listening);
  }
  const choose = (range: PortRange, own: number | null | undefined, other: number | null) => {
    const isTaken = (port: number) => owners.has(port) || port === other;
    if (typeof own === "number" && !isTaken(own)) return own;
    return freePort(range, (port) => isTaken(port) || listening.has(port));
  };
  const port = wishes.port ?? choose(LISTEN_RANGE, before?.port, wishes.targetPort);
  const targetPort = wishes.targetPort ?? choose(TARGET_RANGE, before?.targetPort, port);
  return { port, targetPort };
}

function refuseOwned(port: number | null, owners: ReadonlyMap<number, string>): void {
  const owner = port === null ? undefined : owners.get(port);
  if (owner === undefined) return;
  throw new InstanceFailure({
    what: `Cannot use port ${port}`,
    why: `it belongs to the instance ${owner}`,
    next: "Choose another, or leave the flag out for a free one",
  });
}

function refuseListening(port: number, listening: ReadonlySet<number>): void {
  if (!listening.has(port)) return;
  throw new InstanceFailure({
    what: `Cannot listen on port ${port}`,
    why: "another program listens there",
    next: "Choose another, leave the flag out for a free one, or give --force if it is about to go",
  });
}

/** Two that are made in the same moment must not choose the same ports. */
function make(machine: Machine, decide: () => NewInstance): NewInstance {
  const { paths } = machine;
  try {
    mkdirSync(paths.settings, { recursive: true, mode: 0o755 });
    return withLock(paths, () => {
      const instance = decide();
      const own = ownPaths(paths, instance.name);
      refuseLongSocket(own.socket);
      mkdirSync(paths.state, { recursive: true, mode: 0o755 });
      mkdirSync(paths.runtime, { recursive: true, mode: 0o755 });
      mkdirSync(own.dataDir, { recursive: true, mode: 0o700 });
      mkdirSync(own.runtime, { recursive: true, mode: 0o700 });
      writeWhole(own.file, instanceText(instance, paths), 0o600);
      return instance;
    });
  } catch (error) {
    if (error instanceof InstanceFailure) throw error;
    throw new InstanceFailure({
      what: "Cannot make the instance",
      why: messageOf(error),
      next: "Run it again once that is mended",
    });
  }
}

function refuseLongSocket(socket: string): void {
  if (fitsSocket(socket)) return;
  throw new InstanceFailure({
    what: "Cannot make the instance",
    why: `its socket ${socket} would have a path longer than ${SOCKET_BYTES_MAX} bytes`,
    next: "Use a shorter name or prefix",
  });
}

function describe(instance: NewInstance, machine: Machine, { showToken }: AddFlags): void {
  const { paths, surroundings } = machine;
  const { name } = instance;
  const { file } = ownPaths(paths, name);
  const token = showToken === true ? instance.token : `ADMIN_TOKEN in ${file}`;
  const first = existsSync(paths.unit) ? "" : "paastis init, then ";
  tell(
    surroundings,
    table([
      ["instance", name],
      ["listens on", `port ${instance.port}`],
      ["leads to", `127.0.0.1:${instance.targetPort}`],
      ["healthy when", `${instance.healthPath} answers 2xx there`],
      ["settings", file],
      ["token", token],
      [
        "next",
        `${first}paastis start ${name}; paastis enable ${name} to start it with the machine`,
      ],
    ]),
  );
}
