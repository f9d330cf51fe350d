/** `npm run docs`: writes the generated parts of the README anew. */

import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { withGeneratedParts } from "./docs-tables.ts";

if (import.meta.main) {
  const root = resolve(import.meta.dir, "..");
  const path = resolve(root, "README.md");
  writeFileSync(path, withGeneratedParts(readFileSync(path, "utf8"), root));
}
