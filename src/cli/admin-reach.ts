/** Where a running Paastis answers verbs, and with which token: from flags, environment, and files of instances. */

import { resolve } from "node:path";
import { isShelterThere, shelterFor, socketIn } from "../admin-socket.ts";
import { parseDotenv } from "../dotenv-file.ts";
import { readTextFile } from "../text-file.ts";
import { EXIT_FAILURE, EXIT_NO_PERMISSION, EXIT_USAGE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { readInstance } from "./instance-file.ts";
import { checkName, instancePaths, ownPaths, prefixFrom } from "./instance-paths.ts";
import type { Surroundings } from "./surroundings.ts";

/** The variable that stands for `--url`. */
export const URL_VARIABLE = "PAASTIS_URL";
/** The variable that stands for `--token`, which others can see in the list of processes. */
export const TOKEN_VARIABLE = "PAASTIS_TOKEN";

/** As they were given. */
export interface ReachFlags {
  readonly url?: string;
  readonly instance?: string;
  readonly socket?: string;
  readonly token?: string;
  readonly prefix?: string;
}

/** One way to it. */
export interface Place {
  /** For people. */
  readonly label: string;
  /** Scheme, host and port. */
  readonly origin: string;
  /** Absolute; `null`: over TCP. */
  readonly socketPath: string | null;
}

/** Where to ask. */
export interface Reach {
  /** The first one that takes a connection is asked. */
  readonly places: readonly Place[];
  /** Goes there and nowhere else, and is never printed. `null`: there is none. */
  readonly token: string | null;
  /** What to look at when the token is wrong. */
  readonly tokenFrom: string;
}

type Variables = Readonly<Record<string, string | undefined>>;
type Given = Pick<Surroundings, "environment" | "workingDirectory">;

const PORT_DEFAULT = 3000;
const DATA_DIR_DEFAULT = ".paastis";

/**
 * What is given wins, then `PAASTIS_URL`; then it is the Paastis that would run in this folder: its socket or,
 * where there is none, its port.
 * @throws InstanceFailure 64 for what cannot be meant, 1 for an instance that there is not, 77 for one whose file is
 *   not ours to read
 */
export function reachFrom(flags: ReachFlags, given: Given): Reach {
  const { instance, socket } = flags;
  refuseSeveral(flags);
  if (instance !== undefined) return reachOfInstance(instance, flags, given);
  const url = flags.url ?? filled(given.environment[URL_VARIABLE]);
  const isHere = socket === undefined && url === undefined;
  const here = isHere ? variablesHere(given) : {};
  const tokens = [
    { text: flags.token, from: "--token" },
    { text: filled(given.environment[TOKEN_VARIABLE]), from: TOKEN_VARIABLE },
    { text: filled(here.ADMIN_TOKEN), from: "ADMIN_TOKEN here" },
  ];
  const { text, from } = tokens.find((one) => one.text !== undefined) ?? NO_TOKEN;
  const token = { token: checkedToken(text), tokenFrom: from };
  if (socket !== undefined) {
    return { places: [socketPlace(resolve(given.workingDirectory, socket))], ...token };
  }
  if (url !== undefined) return { places: [urlPlace(url, flags.url)], ...token };
  const dataDir = folderIn(here, given);
  const places = [...socketPlaces(here, dataDir, given.workingDirectory), ...portPlaces(here)];
  return { places, ...token };
}

/** The data folder of the Paastis that would run in this folder; absolute. */
export function dataDirHere(given: Given): string {
  return folderIn(variablesHere(given), given);
}

function folderIn({ DATA_DIR }: Variables, { workingDirectory }: Given): string {
  return resolve(workingDirectory, filled(DATA_DIR) ?? DATA_DIR_DEFAULT);
}

const NO_TOKEN = { text: undefined, from: `--token or ${TOKEN_VARIABLE}` };

function refuseSeveral({ url, instance, socket }: ReachFlags): void {
  const [one, other] = Object.entries({ url, instance, socket })
    .filter(([, value]) => value !== undefined)
    .map(([name]) => `--${name}`);
  if (other === undefined) return;
  throw usage("Cannot tell whom to ask", `${one} and ${other} both say it`, "Give one of them");
}

/** The token that others are asked with is not for it. */
function reachOfInstance(name: string, { prefix, token }: ReachFlags, given: Given): Reach {
  checkName(name);
  const paths = instancePaths(prefixFrom(prefix, given));
  const { file, dataDir } = ownPaths(paths, name);
  const instance = readInstance(paths, name);
  const what = `Cannot ask instance ${name}`;
  if (instance === null) {
    const next = "`paastis list` shows those there are";
    throw new InstanceFailure({ what, why: `there is no ${file}`, next }, EXIT_FAILURE);
  }
  if (instance.why !== null) {
    const next = "Use sudo, or give its --url and --token";
    throw new InstanceFailure({ what, why: `${file} ${instance.why}`, next }, EXIT_NO_PERMISSION);
  }
  const { variables } = instance;
  // Its unit makes it work there.
  const folder = resolve(dataDir, filled(variables.DATA_DIR) ?? "");
  return {
    places: [...socketPlaces(variables, folder, dataDir), ...portPlaces(variables)],
    token: checkedToken(token ?? filled(variables.ADMIN_TOKEN)),
    tokenFrom: token === undefined ? `ADMIN_TOKEN in ${file}` : "--token",
  };
}

/** What a Paastis in this folder would find. */
function variablesHere({ environment, workingDirectory }: Given): Variables {
  const dotenv = readTextFile(resolve(workingDirectory, ".env"));
  const values = "text" in dotenv ? parseDotenv(dotenv.text).values : {};
  const set = Object.entries(environment).filter(([, value]) => filled(value) !== undefined);
  return { ...values, ...Object.fromEntries(set) };
}

function portPlaces(variables: Variables): Place[] {
  const text = filled(variables.PORT) ?? filled(variables.LISTEN_PORT) ?? String(PORT_DEFAULT);
  // 0 is any free one: nobody knows which.
  if (!/^\d{1,5}$/.test(text) || Number(text) === 0) return [];
  const host = filled(variables.HOST) ?? "0.0.0.0";
  const isEvery = host === "0.0.0.0" || host === "::";
  const reached = isEvery ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
  const scheme = filled(variables.TLS_CERT) === undefined ? "http" : "https";
  const origin = `${scheme}://${reached}:${text}`;
  return URL.canParse(origin) ? [{ label: origin, origin, socketPath: null }] : [];
}

/** Where it was told to be; otherwise in the data folder or, when there is one that nobody else can have made, the shelter. */
function socketPlaces(variables: Variables, dataDir: string, workingDirectory: string): Place[] {
  const named = filled(variables.ADMIN_UNIX_SOCKET);
  if (named !== undefined) return [socketPlace(resolve(workingDirectory, named))];
  const shelter = shelterFor(dataDir);
  const places = [socketPlace(socketIn(dataDir))];
  return isShelterThere(shelter) ? [...places, socketPlace(shelter)] : places;
}

function socketPlace(socketPath: string): Place {
  return { label: socketPath, origin: "http://localhost", socketPath };
}

/** @param flag undefined: it is from the environment */
function urlPlace(text: string, flag: string | undefined): Place {
  const name = flag === undefined ? URL_VARIABLE : "--url";
  const url = URL.parse(text.trim());
  if (url === null || !/^https?:$/.test(url.protocol)) {
    const next = "Give an address such as http://127.0.0.1:3000";
    throw usage(`Cannot use ${name}`, "it is not an address with http: or https:", next);
  }
  if (url.username !== "" || url.password !== "") {
    const next = `Give the token with --token or ${TOKEN_VARIABLE}`;
    throw usage(`Cannot use ${name}`, "it has a user or a password in it", next);
  }
  if (url.pathname !== "/" || url.search !== "") {
    const next = `Give ${url.origin}`;
    throw usage(`Cannot use ${name}`, "it has a path, and the endpoints have their own", next);
  }
  return { label: url.origin, origin: url.origin, socketPath: null };
}

/** What no header can hold would end in a message of the runtime's that shows it. */
function checkedToken(text: string | undefined): string | null {
  const token = text?.trim() ?? "";
  if (token === "") return null;
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  const next = "Look for a line break, a blank or a letter with an accent in it";
  throw usage("Cannot use this token", "it has characters that no header can hold", next);
}

function filled(text: string | undefined): string | undefined {
  const trimmed = text?.trim() ?? "";
  return trimmed === "" ? undefined : trimmed;
}

function usage(what: string, why: string, next: string): InstanceFailure {
  return new InstanceFailure({ what, why, next }, EXIT_USAGE);
}
