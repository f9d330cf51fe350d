/** A real app behind the compiled program, on one engine or the other. */

import { test } from "bun:test";
import { resolve } from "node:path";
import { FETCH_EXCEPTIONS } from "../wire/exceptions.ts";
import { type RunningPaastis, startPaastis } from "./start-paastis.ts";

export type EngineName = "socket" | "fetch";

/** For `describe.each`. */
export const ENGINE_NAMES: readonly EngineName[] = ["socket", "fetch"];

/** A running Paastis with one app, which is asleep until it is asked for. */
export interface ProxiedApp extends AsyncDisposable {
  readonly paastis: RunningPaastis;
  readonly port: number;
  /** What clients send as `Host`: `<key>.example:<port>`. */
  readonly host: string;
}

/** What the app is. */
export interface AppToProxy {
  readonly engine: EngineName;
  readonly key: string;
  /** Run by sh; must listen on 127.0.0.1 at `$PORT`. */
  readonly command: string;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Settings of Paastis. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** Apps are never put to sleep meanwhile: the idle time is an hour. */
export async function startProxiedApp(app: AppToProxy): Promise<ProxiedApp> {
  const { key, command, cwd, env } = app;
  const entry = { provider: "process", command, ...(cwd && { cwd }), ...(env && { env }) };
  const paastis = await startPaastis({
    config: JSON.stringify({ apps: { [key]: entry } }),
    env: { ENGINE: app.engine, START_AND_STOP_MAX_IDLE_TIME: "60", ...app.settings },
  });
  return {
    paastis,
    port: paastis.port,
    host: `${key}.example:${paastis.port}`,
    [Symbol.asyncDispose]: () => paastis[Symbol.asyncDispose](),
  };
}

/** The path of one of the programs in `test/support/apps`. */
export function appProgram(name: string): string {
  return resolve(import.meta.dir, "apps", name);
}

/** A test that the fetch engine declares it cannot pass; it is skipped there, with the reason. */
export function testUnlessDeclared(
  engine: EngineName,
  limit: keyof typeof FETCH_EXCEPTIONS,
  fact: string,
  run: () => Promise<void>,
): void {
  if (engine === "fetch") test.skip(`${fact} (${FETCH_EXCEPTIONS[limit]})`, run);
  else test(fact, run);
}
