/** The theme in use: read again when a file of its folder changes. */

import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../clock.ts";
import type { Log } from "../log.ts";
import type { Theme, ThemeSource } from "./look.ts";
import { readTheme } from "./theme.ts";

/** A source that watches its folder. */
export interface WatchedTheme extends ThemeSource {
  /** Watches no longer. Safe to repeat. */
  end(): void;
}

/** A few files that hardly ever change: no need to be told by the file system. */
const LOOK_EVERY_MS = 1000;
/** What is written in several steps counts as one change. */
const SETTLE_MS = 100;

/**
 * Watches a folder whose templates were read the moment before. New templates are in use from then on; as long as one
 * of them cannot be used, all stay as they were.
 * @param options.folder absolute
 * @param options.theme what was read
 */
export function watchTheme(options: {
  readonly folder: string;
  readonly theme: Theme;
  readonly clock: Clock;
  readonly log: Log;
}): WatchedTheme {
  const { folder, clock, log } = options;
  let { theme } = options;
  let used = identify(folder);
  let seen = used;
  let cancel = clock.after(LOOK_EVERY_MS, look);
  function look() {
    const found = identify(folder);
    const isAtRest = found === seen;
    seen = found;
    cancel = clock.after(isAtRest ? LOOK_EVERY_MS : SETTLE_MS, look);
    if (isAtRest && found !== used) readAgain(found);
  }
  function readAgain(found: string) {
    used = found;
    const reading = readTheme(folder);
    if (reading.kind === "theme") {
      theme = reading.theme;
      log.info({ folder, templates: theme.size }, "new templates of pages are in use");
    } else {
      const reason = reading.problems.join("; ");
      log.warn({ folder, reason }, "the new templates cannot be used: pages stay as they were");
    }
  }
  return { current: () => theme, end: () => cancel() };
}

/** Stands for what the folder holds: another inode, size or time of change is taken for another content. */
function identify(folder: string): string {
  try {
    return readdirSync(folder)
      .filter((name) => name.endsWith(".html"))
      .toSorted()
      .map((name) => {
        const found = statSync(join(folder, name), { bigint: true, throwIfNoEntry: false });
        return `${name}:${found?.ino}:${found?.size}:${found?.mtimeNs}`;
      })
      .join("\n");
  } catch {
    return "";
  }
}
