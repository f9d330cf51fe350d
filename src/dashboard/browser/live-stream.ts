/** Follows the stream of rows for as long as the page is open, and says when it cannot. */

import type { AppSummary } from "../../admin/views.ts";
import type { AdminCalls } from "./admin-calls.ts";
import { CallError } from "./admin-calls.ts";

/** How the stream is doing. */
export type Connection =
  | { readonly kind: "connecting" }
  | { readonly kind: "live" }
  | { readonly kind: "lost"; readonly sinceMs: number; readonly why: string };

/** Who follows. */
export interface StreamFollower {
  /** These are all apps. */
  onSnapshot(apps: readonly AppSummary[]): void;
  /** These have changed, and those are gone: provider and id, `docker/shop`. */
  onChange(apps: readonly AppSummary[], gone: readonly string[]): void;
  onConnection(connection: Connection): void;
}

/** What the stream is followed with. */
export interface LiveStreamDeps {
  readonly calls: Pick<AdminCalls, "stream">;
  readonly follower: StreamFollower;
  /** ms since the epoch, by the browser's clock. */
  readonly now: () => number;
}

/** A stream that is being followed. */
export interface LiveStream {
  /** Tries now instead of waiting. */
  hurry(): void;
}

const RETRY_FIRST_MS = 500;
const RETRY_LAST_MS = 15_000;
/** The server says something every 15 s: after so long without a word it is gone, ms. */
const SILENCE_MAX_MS = 40_000;

/** Begins at once, and never ends by itself. */
export function followLiveStream(deps: LiveStreamDeps): LiveStream {
  const { follower, now } = deps;
  let lostSinceMs: number | null = null;
  let failures = 0;
  let hurry: () => void = () => undefined;
  const attempt = async () => {
    let why = "the connection was closed";
    try {
      await readStream(deps, () => {
        lostSinceMs = null;
        failures = 0;
        follower.onConnection({ kind: "live" });
      });
    } catch (error) {
      why = error instanceof CallError ? error.message : "the connection broke";
    }
    lostSinceMs ??= now();
    failures += 1;
    follower.onConnection({ kind: "lost", sinceMs: lostSinceMs, why });
  };
  const follow = async () => {
    follower.onConnection({ kind: "connecting" });
    for (;;) {
      await attempt();
      const waitMs = Math.min(RETRY_LAST_MS, RETRY_FIRST_MS * 2 ** Math.min(failures - 1, 10));
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, waitMs);
        hurry = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  };
  void follow();
  return { hurry: () => hurry() };
}

/** @throws CallError, or what reading throws, when it cannot go on */
async function readStream({ calls, follower }: LiveStreamDeps, onLive: () => void): Promise<void> {
  const controller = new AbortController();
  let timer = setTimeout(() => controller.abort(), SILENCE_MAX_MS);
  try {
    const reader = (await calls.stream(controller.signal)).getReader();
    const parser = createEventParser((name, data) => {
      // The endpoint's own shape: both ends are built from one source.
      const { apps, gone } = JSON.parse(data) as { apps: AppSummary[]; gone: string[] };
      if (name === "snapshot") {
        follower.onSnapshot(apps);
        onLive();
      } else if (name === "apps") {
        follower.onChange(apps, gone);
      }
    });
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => controller.abort(), SILENCE_MAX_MS);
      parser(value);
    }
  } finally {
    clearTimeout(timer);
    controller.abort();
  }
}

/** Reads the part of the format that Paastis uses: `event`, one line of `data`, comments. Pure but for what it calls. */
export function createEventParser(
  onEvent: (name: string, data: string) => void,
): (piece: Uint8Array) => void {
  const decoder = new TextDecoder();
  let pieces: string[] = [];
  return (piece) => {
    const text = decoder.decode(piece, { stream: true });
    pieces.push(text);
    // A snapshot of thousands of apps comes in many pieces: they are joined once.
    if (!text.includes("\n")) return;
    const blocks = pieces.join("").split("\n\n");
    pieces = [blocks.pop() ?? ""];
    for (const block of blocks) {
      const name = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      if (name !== undefined && data !== undefined) onEvent(name, data);
    }
  };
}
