/** Server-sent events: a stream that asks its source for more only when the client has taken what there was. */

import type { CancelTimer, Clock } from "../clock.ts";
import { problem } from "./apps-problem.ts";

/** Where a stream's events come from. It keeps what waits, within limits of its own. */
export interface StreamSource {
  /** Called once, as soon as somebody reads. @param onNews to be called whenever `next` may have something */
  open(onNews: () => void): void;
  /** What is to be sent now, in the format of server-sent events; `null`: nothing; `end`: nothing any more. */
  next(): string | null | "end";
  /** The client has left, or the program stops. Called once if it was opened. */
  close(): void;
}

/** What all streams share. */
export interface StreamsDeps {
  readonly clock: Clock;
  /** Aborted when all of them are to end. */
  readonly stopping: AbortSignal;
}

/** Streams that are open. */
export interface Streams {
  /** @returns `null`: too many are open */
  open(source: StreamSource): Response | null;
  count(): number;
}

/** So many at once: each holds a connection. */
export const STREAMS_MAX = 100;
/** Whatever stands between must not take a quiet stream for a dead one, ms. */
const HEARTBEAT_MS = 15_000;
/** After so long a browser comes back by itself, ms. */
const RETRY_MS = 2000;

const HEADERS = {
  "content-type": "text/event-stream; charset=utf-8",
  "cache-control": "no-store",
  // Proxies in front would keep events back.
  "x-accel-buffering": "no",
};

/** None is open yet. */
export function createStreams(deps: StreamsDeps): Streams {
  let count = 0;
  return {
    open(source) {
      if (count >= STREAMS_MAX || deps.stopping.aborted) return null;
      // What is asked for with HEAD is never read.
      const onOpen = () => {
        count += 1;
        return () => {
          count -= 1;
        };
      };
      return new Response(bodyOf(source, { ...deps, onOpen }), { headers: HEADERS });
    },
    count: () => count,
  };
}

/** Whether a request is for a stream. */
export function wantsStream({ headers }: Request): boolean {
  return (headers.get("accept") ?? "").toLowerCase().includes("text/event-stream");
}

/** The stream, or why there is none. What is asked for with HEAD has no end, and so no body. */
export function sent(streams: Streams, source: StreamSource, { method }: Request): Response {
  if (method === "HEAD") return new Response(null, { headers: HEADERS });
  const detail = `${streams.count()} streams are open already, or Paastis stops`;
  return streams.open(source) ?? problem("admin_busy", { detail, headers: BUSY_HEADERS });
}

/** Whoever has left makes room as soon as that is noticed. */
const BUSY_HEADERS = { "retry-after": "5" };

/** One event. @param id what the client says when it comes back; left out: none */
export function eventText(name: string, data: unknown, id?: string): string {
  const first = id === undefined ? "" : `id: ${id}\n`;
  return `${first}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;
}

/** A stream is read piece by piece; between two pieces nothing of it is kept here. */
function bodyOf(
  source: StreamSource,
  { clock, stopping, onOpen }: StreamsDeps & { readonly onOpen: () => () => void },
): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let onEnd: (() => void) | null = null;
  let isOver = false;
  let wake: (() => void) | null = null;
  const onNews = () => wake?.();
  const end = () => {
    if (isOver) return;
    isOver = true;
    stopping.removeEventListener("abort", onNews);
    if (onEnd !== null) source.close();
    onEnd?.();
    wake?.();
  };
  const untilNews = () =>
    new Promise<"heartbeat" | "news">((resolve) => {
      let cancel: CancelTimer | null = null;
      const settle = (why: "heartbeat" | "news") => {
        cancel?.();
        wake = null;
        resolve(why);
      };
      cancel = clock.after(HEARTBEAT_MS, () => settle("heartbeat"));
      wake = () => settle("news");
    });
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (onEnd === null) {
          onEnd = onOpen();
          stopping.addEventListener("abort", onNews, { once: true });
          source.open(onNews);
          controller.enqueue(encoder.encode(`retry: ${RETRY_MS}\n\n`));
          return;
        }
        while (!isOver) {
          const text = stopping.aborted ? "end" : source.next();
          if (text === "end") {
            end();
            controller.close();
            return;
          }
          if (text !== null) return controller.enqueue(encoder.encode(text));
          if ((await untilNews()) === "heartbeat" && !isOver) {
            return controller.enqueue(encoder.encode(": still here\n\n"));
          }
        }
      },
      cancel: end,
    },
    { highWaterMark: 0 },
  );
}
