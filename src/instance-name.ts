/** What an instance is called by the others that share its registry. */

import { hostname } from "node:os";

/** So much of an id tells instances on one machine apart. */
const ID_SHOWN = 6;

/** @param instanceId the one that its data folder keeps */
export function instanceNameOf(instanceId: string): string {
  return `${hostname()}-${instanceId.slice(0, ID_SHOWN)}`;
}
