/** A socket engine on a free port with a scripted core behind it, for tests on the wire. */

import { createSocketEngine, type SocketEngineOptions } from "../../src/engines/socket.ts";
import { startEngine, type TestEngine } from "./engine-under-test.ts";
import type { Script } from "./scripted-handler.ts";

/** Starts one. Disposing it cuts everything. */
export function startSocketEngine(
  origin: string,
  script: Script & { readonly engine?: Partial<SocketEngineOptions> } = {},
): TestEngine {
  return startEngine(createSocketEngine, origin, script);
}
