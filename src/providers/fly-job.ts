/** What is under way on Fly.io, as the text that the core hands back at each poll. Pure. */

import type { FlyMachine } from "./fly-json.ts";
import { type Operation, ProviderError, type Step } from "./provider.ts";

/** A wake or a sleep that goes on. */
export interface FlyJob {
  readonly goal: "wake" | "sleep";
  /** When it was begun, ms. */
  readonly sinceMs: number;
  /** The machine that is starting, as far as is known; empty: none. */
  readonly waitsFor: string;
  /** Machines that it is about. */
  readonly members: readonly FlyMember[];
}

/** A machine of a job. */
export interface FlyMember {
  readonly id: string;
  /** When it had ended the last time as it was started, by the platform's clock; `null`: it was not started. */
  readonly endedMs: number | null;
}

/** A machine that was started: an end of it before that is no end of this start. */
export function startedMember({ id, exit }: FlyMachine): FlyMember {
  return { id, endedMs: exit?.atMs ?? 0 };
}

/** A machine that nothing was done about. */
export function untouchedMember(id: string): FlyMember {
  return { id, endedMs: null };
}

/** It goes on. */
export function goOn({ goal, sinceMs, waitsFor, members }: FlyJob, pollAfterMs: number): Step {
  const texts = members.map(({ id, endedMs }) => `${id}~${endedMs ?? ""}`);
  const id = `${goal}/${sinceMs}/${waitsFor}/${texts.join(",")}`;
  return { done: false, operation: { id }, pollAfterMs };
}

/** @throws ProviderError `not-found` when it is none of ours */
export function jobOf({ id }: Operation): FlyJob {
  const [goal, sinceMs, waitsFor = "", texts] = id.split("/");
  if ((goal !== "wake" && goal !== "sleep") || texts === undefined) {
    throw new ProviderError("not-found", `Fly.io knows of no operation ${id}`);
  }
  const members = texts.split(",").filter((text) => text !== "");
  return { goal, sinceMs: Number(sinceMs), waitsFor, members: members.map(memberOf) };
}

function memberOf(text: string): FlyMember {
  const [id = "", endedMs = ""] = text.split("~");
  return { id, endedMs: endedMs === "" ? null : Number(endedMs) };
}
