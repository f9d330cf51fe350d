/** What a verb may touch of the process it runs in. */

import type { Environment } from "../load-config.ts";

/** Handed in, so that verbs can be run in a test. */
export interface Surroundings {
  readonly environment: Environment;
  /** Absolute. */
  readonly workingDirectory: string;
  readonly writeOut: (text: string) => void;
  readonly writeErr: (text: string) => void;
}
