/** A socket engine on a free port with a scripted core behind it, for tests on the wire. */

import { createSocketEngine } from "../../src/engines/socket.ts";
import { type EngineScript, startEngine, type TestEngine } from "./engine-under-test.ts";

/** Starts one. Disposing it cuts everything. */
export function startSocketEngine(origin: string, script: EngineScript = {}): TestEngine {
  return startEngine(createSocketEngine, origin, script);
}
