/** The verb `schema`: prints the JSON Schema of `paastis.yml`. */

import { PAASTIS_YML_SCHEMA } from "../paastis-yml-schema.ts";
import type { Surroundings } from "./surroundings.ts";

/** Prints it, indented. */
export function runSchema(surroundings: Surroundings): void {
  surroundings.writeOut(`${JSON.stringify(PAASTIS_YML_SCHEMA, null, 2)}\n`);
}
