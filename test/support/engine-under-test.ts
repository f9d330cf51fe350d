/** An engine on a free port with a scripted core behind it. */

import { createSystemClock } from "../../src/clock.ts";
import type { Engine } from "../../src/engines/engine.ts";
import type { FetchEngineOptions } from "../../src/engines/fetch.ts";
import type { LogFields } from "../../src/log.ts";
import { createScriptedHandler, type Script, type ScriptedHandler } from "./scripted-handler.ts";

export interface TestEngine extends AsyncDisposable {
  readonly engine: Engine;
  readonly port: number;
  readonly handler: ScriptedHandler;
  /** Everything that was logged. */
  readonly logged: readonly { level: string; message: string; fields: LogFields }[];
}

/** What a test may say about the engine it starts. */
export type EngineScript = Script & {
  readonly engine?: Omit<Partial<FetchEngineOptions>, "limits" | "upstream"> & {
    readonly limits?: Partial<FetchEngineOptions["limits"]>;
    readonly upstream?: Partial<FetchEngineOptions["upstream"]>;
  };
};

const LIMITS: FetchEngineOptions["limits"] = {
  http2: false,
  keepAliveMs: 5000,
  headersTimeoutMs: 6000,
  headBytesMax: 65_536,
  bodyBytesMax: null,
};

const UPSTREAM: FetchEngineOptions["upstream"] = {
  connectTimeoutMs: 5000,
  timeoutMs: null,
  keepAlive: true,
  keepAliveMs: 4000,
  socketsMax: 1024,
};

/** Starts one. */
export type StartEngine = (origin: string, script?: EngineScript) => TestEngine;

/** Starts one. Disposing it cuts everything. */
export function startEngine(
  create: (options: FetchEngineOptions) => Engine,
  origin: string,
  script: EngineScript,
): TestEngine {
  const logged: { level: string; message: string; fields: LogFields }[] = [];
  const note = (level: string) => (fields: LogFields, message: string) =>
    void logged.push({ level, message, fields });
  const handler = createScriptedHandler(origin, script);
  const engine = create({
    host: "127.0.0.1",
    port: 0,
    handler,
    clock: createSystemClock(),
    log: { debug: note("debug"), info: note("info"), warn: note("warn"), error: note("error") },
    certificates: null,
    forwarded: { enabled: true, trustedProxies: [] },
    newRequestId: () => "made-for-a-test",
    ...script.engine,
    limits: { ...LIMITS, ...script.engine?.limits },
    upstream: { ...UPSTREAM, ...script.engine?.upstream },
  });
  return {
    engine,
    port: engine.port,
    handler,
    logged,
    [Symbol.asyncDispose]: () => engine.stop(0),
  };
}
