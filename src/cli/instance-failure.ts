/** Why a verb about instances could not do its work: what it says, and the exit status. */

import type { Explanation } from "../errors.ts";
import { EXIT_FAILURE } from "./exit-codes.ts";

/** Ends a verb. Its text goes to the error output as it is. */
export class InstanceFailure extends Error {
  override readonly name = "InstanceFailure";
  /** The exit status. */
  readonly status: number;

  constructor({ what, why, next }: Explanation, status: number = EXIT_FAILURE) {
    super([`${what}: ${why}`, next].filter((line) => line !== "").join("\n"));
    this.status = status;
  }
}
