/** How a `paastis.yml` of a test declares the app of `apps/everything.ts`. */

import { resolve } from "node:path";

const PROGRAM = resolve(import.meta.dir, "apps/everything.ts");

/** The command line; `exec` so that the process the provider starts is the app itself. */
export const EVERYTHING = `exec ${process.execPath} --no-install ${PROGRAM}`;

/** One entry of `apps`. @param settings further lines, such as `health: /` */
export function everythingApp(
  key: string,
  env: Readonly<Record<string, string>> = {},
  settings: readonly string[] = [],
): string {
  const variables = Object.entries(env).map(([name, value]) => `      ${name}: '${value}'`);
  return [
    `  ${key}:`,
    "    provider: process",
    `    command: ${EVERYTHING}`,
    ...(variables.length > 0 ? ["    env:", ...variables] : []),
    ...settings.map((line) => `    ${line}`),
    "",
  ].join("\n");
}
