/** The part of the configuration that is about our pages. */

import { resolve } from "node:path";
import type { Config } from "./config.ts";
import type { EnvironmentValues } from "./environment.ts";
import { readTheme } from "./pages/theme.ts";

/** What was read, with one sentence for each thing that is wrong with it. */
export interface PageReading {
  readonly pages: Config["pages"];
  readonly problems: readonly string[];
}

/** Reads the templates, if there is a folder for them. Never throws. */
export function readPages(values: EnvironmentValues, workingDirectory: string): PageReading {
  if (values.waitingPageDir === null) return { pages: null, problems: [] };
  const folder = resolve(workingDirectory, values.waitingPageDir);
  const reading = readTheme(folder);
  if (reading.kind === "theme") return { pages: { folder, theme: reading.theme }, problems: [] };
  const problems = reading.problems.map((problem) => `WAITING_PAGE_DIR: ${problem}`);
  return { pages: null, problems };
}
