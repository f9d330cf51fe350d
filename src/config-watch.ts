/** Notices that a file has new content, however it got there. */

import { type FSWatcher, statSync, watch } from "node:fs";
import { dirname } from "node:path";
import type { CancelTimer, Clock } from "./clock.ts";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";

/** What to watch, and whom to tell. */
export interface ConfigWatchOptions {
  /** Absolute; it need not exist. */
  readonly file: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Called when the file's content is new and has been at rest for a moment. */
  readonly onChange: () => void;
}

/** An editor's several writes count as one change when they are no further apart. */
const SETTLE_MS = 100;
/** For file systems that report nothing, and for a folder that was replaced. */
const POLL_MS = 2000;

interface Watching extends ConfigWatchOptions {
  /** Content last reported, or found at the start; `null`: there was no file. */
  reported: string | null;
  /** Content last seen, waiting to come to rest. */
  seen: string | null;
  cancelSettle: CancelTimer | null;
  cancelPoll: CancelTimer;
  watcher: FSWatcher | null;
}

/**
 * Watches until the returned function is called. Writing in place, replacing by rename, deleting and
 * re-creating, and swapping a symbolic link on the way (a Kubernetes ConfigMap's `..data`) all count. A file
 * that is merely gone is no change: its last content stays in use.
 */
export function watchConfigFile(options: ConfigWatchOptions): () => void {
  const content = identify(options.file);
  const watching: Watching = {
    ...options,
    reported: content,
    seen: content,
    cancelSettle: null,
    cancelPoll: () => undefined,
    watcher: null,
  };
  watching.watcher = watchFolder(watching);
  poll(watching);
  return () => {
    watching.watcher?.close();
    watching.cancelSettle?.();
    watching.cancelPoll();
  };
}

/** A rename shows in the folder only, and so does a swapped link; hence the folder, not the file. */
function watchFolder(watching: Watching): FSWatcher | null {
  const { file, log } = watching;
  const onFailure = (error: unknown) =>
    log.debug({ file, error: messageOf(error) }, `Looking for changes every ${POLL_MS} ms only`);
  try {
    const watcher = watch(dirname(file), { persistent: false }, () => look(watching));
    watcher.on("error", onFailure);
    return watcher;
  } catch (error) {
    onFailure(error);
    return null;
  }
}

function poll(watching: Watching): void {
  watching.cancelPoll = watching.clock.after(POLL_MS, () => {
    look(watching);
    poll(watching);
  });
}

/** Cheap, as it runs for every change of any file in the folder. */
function look(watching: Watching): void {
  if (watching.cancelSettle !== null) return;
  const content = identify(watching.file);
  if (content === watching.seen) return;
  watching.seen = content;
  watching.cancelSettle = watching.clock.after(SETTLE_MS, () => settle(watching));
}

function settle(watching: Watching): void {
  watching.cancelSettle = null;
  const content = identify(watching.file);
  if (content !== watching.seen) {
    look(watching);
    return;
  }
  if (content === watching.reported) return;
  const { file, log } = watching;
  if (content === null) {
    // Once, as `seen` remembers it; `reported` stays, so that the same file coming back is no change.
    log.warn({ file }, "The file is gone: what it said last stays in use");
    return;
  }
  watching.reported = content;
  try {
    watching.onChange();
  } catch (error) {
    log.error({ file, error: messageOf(error) }, "A change of the file was lost");
  }
}

/** Stands for the content: another inode, size or time of change is taken for another content. */
function identify(file: string): string | null {
  try {
    const found = statSync(file, { bigint: true, throwIfNoEntry: false });
    return found === undefined ? null : `${found.dev}:${found.ino}:${found.size}:${found.mtimeNs}`;
  } catch {
    // Not readable for now (a folder on the way is no folder, or closed to us) is as good as gone.
    return null;
  }
}
