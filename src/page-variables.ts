/** The environment variable that says what the pages of Paastis look like. */

import { text } from "./setting-parsers.ts";
import { variable } from "./variable.ts";

/** Rows of the table of variables. */
export const PAGE_VARIABLES = {
  waitingPageDir: variable<string | null>({
    name: "WAITING_PAGE_DIR",
    parser: text("a path"),
    fallback: null,
    doc: "The folder with templates of the waiting page and the error pages; a relative path counts from the working directory.",
  }),
} as const;
