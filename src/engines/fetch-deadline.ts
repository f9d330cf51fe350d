/** Ends an attempt to reach a target that takes too long, but never an app that is only slow. */

import { connect } from "node:net";
import { addressOf, type Target } from "../app.ts";
import type { CancelTimer, Clock } from "../clock.ts";
import type { ForwardFailure } from "./engine.ts";

/** The two limits of an attempt, in ms. */
export interface Limits {
  readonly connectTimeoutMs: number;
  /** From the request to the answer's head; `null`: no limit. */
  readonly responseTimeoutMs: number | null;
}

/** Why an attempt was given up. */
export type Expiry = Pick<ForwardFailure, "kind" | "message">;

/**
 * Whether an attempt at this target can run into a limit at all. A connection to our own machine
 * never hangs.
 */
export function hasDeadline(limits: Limits, target: Target): boolean {
  return limits.responseTimeoutMs !== null || !isLoopback(target);
}

/**
 * Watches one attempt. Neither `fetch` nor `ws` says when it is connected, so after half of the
 * connect limit without an answer we open a connection of our own to the same target: it gets the
 * other half.
 * @param onExpire called at most once, and never after the returned function
 * @returns ends the watch
 */
export function watchAttempt(
  clock: Clock,
  attempt: Limits & { readonly target: Target },
  onExpire: (expiry: Expiry) => void,
): CancelTimer {
  const { target, connectTimeoutMs, responseTimeoutMs } = attempt;
  const cancels: CancelTimer[] = [];
  const end = () => {
    for (const cancel of cancels.splice(0)) cancel();
  };
  const expire = (expiry: Expiry) => {
    end();
    onExpire(expiry);
  };
  if (responseTimeoutMs !== null) {
    const message = `no answer from ${addressOf(target)} within ${responseTimeoutMs} ms`;
    cancels.push(clock.after(responseTimeoutMs, () => expire({ kind: "timeout", message })));
  }
  if (!isLoopback(target)) {
    const half = connectTimeoutMs / 2;
    const message = `no connection to ${addressOf(target)} within ${connectTimeoutMs} ms`;
    const onSilence = () => expire({ kind: "unreachable", message });
    cancels.push(
      clock.after(half, () => cancels.push(probe(clock, { target, limitMs: half }, onSilence))),
    );
  }
  return end;
}

/**
 * Connects and hangs up. Only silence counts: a refusal is an answer of a machine that is there.
 */
function probe(
  clock: Clock,
  options: { readonly target: Target; readonly limitMs: number },
  onSilence: () => void,
): CancelTimer {
  const url = new URL(options.target.origin);
  const socket = connect({
    host: url.hostname.replace(/^\[|\]$/g, ""),
    port: Number(url.port || (url.protocol === "https:" ? 443 : 80)),
  });
  const cancel = clock.after(options.limitMs, () => {
    socket.destroy();
    onSilence();
  });
  const finish = () => {
    cancel();
    socket.destroy();
  };
  socket.once("connect", finish);
  socket.on("error", finish);
  return finish;
}

/** The host of a socket's origin is `localhost`. */
function isLoopback(target: Target): boolean {
  return /^(?:127(?:\.\d+){3}|(?:[^:]+\.)?localhost|\[::1\])(?::\d+)?$/i.test(target.host);
}
