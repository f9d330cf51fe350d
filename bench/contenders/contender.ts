/** What every contender has in common. */

import type { MeasuredProcess } from "../measured-process.ts";

/** Names the app to Paastis; the others forward whatever they are asked for. */
export const HOST = "bench.example";

/** Where a contender is to listen, and before what. */
export interface Place {
  readonly core: number;
  /** Its own; it does not exist yet. */
  readonly folder: string;
  readonly port: number;
  readonly upstreamPort: number;
}

/** A proxy that can be measured. */
export interface Contender {
  readonly name: ContenderName;
  /** What it is and its version; `null`: it is not here. */
  readonly version: string | null;
  /** How to come by it. */
  readonly remedy: string;
  start(place: Place): MeasuredProcess;
}

/** `socket` and `fetch` are the engines of Paastis. */
export type ContenderName = "nginx" | "haproxy" | "caddy" | "http-proxy" | "socket" | "fetch";

/** One that runs and has given a right answer. */
export interface Running extends AsyncDisposable {
  readonly name: ContenderName | "direct";
  readonly port: number;
  /** `null`: there is no proxy, the upstream itself is asked. */
  readonly process: MeasuredProcess | null;
}
