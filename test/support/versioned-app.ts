/** A folder with one process app whose next version a test chooses, and a Paastis in front of it. */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { isAlive, makeFolder, type RunningPaastis, startPaastis } from "./start-paastis.ts";

const PROGRAM = resolve(import.meta.dir, "apps/versioned.ts");
/** Lets everything be changed over TCP. */
export const TOKEN = "a-token-of-these-tests";

/** The place of one test. */
export interface VersionedApp {
  readonly folder: string;
  /** `paastis.yml`. */
  readonly config: string;
  /** What the next start of the app is: `v2`, `v2 exits`; see `apps/versioned.ts`. */
  nextVersion(text: string): void;
  /** Process numbers of its versions, in the order of their starts. */
  pids(): readonly number[];
  /** Those that still live. */
  living(): readonly number[];
  start(env?: Readonly<Record<string, string>>): Promise<RunningPaastis>;
}

/** @param settings further lines of the app in `paastis.yml` */
export function versionedApp(settings: readonly string[] = []): VersionedApp {
  const folder = makeFolder();
  const runsFile = join(folder, "runs");
  const versionFile = join(folder, "version");
  const config = [
    "apps:",
    "  shop:",
    "    provider: process",
    `    command: exec ${process.execPath} --no-install ${PROGRAM}`,
    `    env: { RUNS_FILE: '${runsFile}', VERSION_FILE: '${versionFile}' }`,
    ...settings.map((line) => `    ${line}`),
    "",
  ].join("\n");
  const nextVersion = (text: string) => writeFileSync(versionFile, `${text}\n`);
  nextVersion("v1");
  const pids = () =>
    existsSync(runsFile)
      ? (readFileSync(runsFile, "utf8").match(/\d+(?=\n)/g) ?? []).map(Number)
      : [];
  return {
    folder,
    config,
    nextVersion,
    pids,
    living: () => pids().filter(isAlive),
    start: (env = {}) =>
      startPaastis({
        folder,
        config,
        env: {
          ADMIN_TOKEN: TOKEN,
          ADMIN_RATE_LIMIT: "1000",
          DEFAULT_APP: "shop",
          DRAIN_MS: "5000",
          ...env,
        },
      }),
  };
}

/** What an admin endpoint said. */
export interface AdminReply {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: a test looks into it, and fails where it is something else.
  readonly body: any;
}

/** Asks an admin endpoint about the app. */
export async function admin(
  { port }: Pick<RunningPaastis, "port">,
  path: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<AdminReply> {
  const method = path === "/__status" || path === "/__health" ? "GET" : "POST";
  const response = await fetch(`http://127.0.0.1:${port}${path}?app=shop`, {
    method,
    headers: { "x-admin-token": TOKEN, ...headers },
  });
  return { status: response.status, body: await response.json() };
}
