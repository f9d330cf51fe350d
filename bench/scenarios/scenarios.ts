/** All scenarios, in the order in which they are run. */

import type { Scenario } from "../bench-world.ts";
import { bodies } from "./bodies.ts";
import { connections } from "./connections.ts";
import { latency } from "./latency.ts";
import { manyApps } from "./many-apps.ts";
import { providerCalls } from "./provider-calls.ts";
import { switching } from "./switching.ts";
import { throughput } from "./throughput.ts";
import { wake } from "./wake.ts";
import { websockets } from "./websockets.ts";

/** All of them. */
export const SCENARIOS: readonly Scenario[] = [
  throughput,
  latency,
  connections,
  bodies,
  websockets,
  switching,
  wake,
  manyApps,
  providerCalls,
];
