/** The engines that the suite on the wire runs on. */

import { createFetchEngine } from "../../src/engines/fetch.ts";
import { createSocketEngine } from "../../src/engines/socket.ts";
import { type StartEngine, startEngine } from "./engine-under-test.ts";

/** One of them. */
export interface EngineCase {
  readonly name: "fetch" | "socket";
  readonly start: StartEngine;
}

export const ENGINES: readonly EngineCase[] = [
  {
    name: "fetch",
    start: (origin, script = {}) => startEngine(createFetchEngine, origin, script),
  },
  {
    name: "socket",
    start: (origin, script = {}) => startEngine(createSocketEngine, origin, script),
  },
];
