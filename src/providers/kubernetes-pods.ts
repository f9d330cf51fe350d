/** What keeps the pods of a workload from starting. Pure. */

import { LAST_OUTPUT } from "../app.ts";
import { type Fields, fieldsOf, listOf, numberOf, textOf } from "./kubernetes-json.ts";
import { safeText } from "./platform-quote.ts";

/** Why no pod of a workload takes requests. */
export interface Trouble {
  /** It will not pass by itself; otherwise the cluster may still find a way. */
  readonly isFinal: boolean;
  /** For people: what it is, in the cluster's words too, and what to do. */
  readonly why: string;
}

/**
 * Words for containers that do not start, and what to do about it. Source: kubelet, `container` and `images` errors; the
 * first is that of a container that has ended more than once.
 */
const FINAL: Readonly<Record<string, { readonly meaning: string; readonly advice: string }>> = {
  CrashLoopBackOff: {
    meaning: "ends again and again",
    advice: "its log (`kubectl logs --previous`) says why",
  },
  ImagePullBackOff: {
    meaning: "has an image that cannot be pulled",
    advice: "check the image's name and tag, and the pull secret",
  },
  ErrImageNeverPull: {
    meaning: "has an image that is not there and may not be pulled",
    advice: "put it on the node, or change imagePullPolicy",
  },
  InvalidImageName: {
    meaning: "has an image whose name makes no sense",
    advice: "correct the name",
  },
  CreateContainerConfigError: {
    meaning: "lacks a part of its configuration",
    advice: "make the Secret or ConfigMap that it refers to",
  },
  CreateContainerError: {
    meaning: "cannot be created",
    advice: "`kubectl describe pod` says more",
  },
  RunContainerError: {
    meaning: "cannot be run",
    advice: "check its command, and what it mounts",
  },
};

/**
 * What is wrong with the pods of a workload none of which is ready; `null`: nothing that they would say. While one of
 * them may still start, all is well.
 */
export function troubleOf(pods: readonly unknown[]): Trouble | null {
  const troubles = pods.filter(isActive).map(podTrouble);
  const passing = troubles.find((one) => one !== null && !one.isFinal) ?? null;
  if (troubles.includes(null)) return null;
  return passing ?? troubles[0] ?? null;
}

/** Pods that have ended, or are ending, say nothing about those to come. */
function isActive(pod: unknown): boolean {
  const { metadata, status } = fieldsOf(pod);
  const { phase } = fieldsOf(status);
  if (fieldsOf(metadata).deletionTimestamp !== undefined) return false;
  return phase !== "Failed" && phase !== "Succeeded";
}

function podTrouble(pod: unknown): Trouble | null {
  const status = fieldsOf(fieldsOf(pod).status);
  const containers = [
    ...listOf(status.initContainerStatuses),
    ...listOf(status.containerStatuses),
  ].map(fieldsOf);
  for (const container of containers) {
    const { reason, message } = fieldsOf(fieldsOf(container.state).waiting);
    const found = FINAL[textOf(reason)];
    if (found === undefined) continue;
    const end = lastEndOf(container);
    const details = [textOf(reason), end.how || textOf(message)].filter(Boolean).join(": ");
    const what = `container ${textOf(container.name)} ${found.meaning}`;
    const why = `${safeText(`${what} (${details})`)}: ${found.advice}`;
    return { isFinal: true, why: end.said === "" ? why : why + LAST_OUTPUT + safeText(end.said) };
  }
  return unschedulable(status.conditions);
}

/** How a container ended the last time, and what it said itself; empty: nobody knows. */
function lastEndOf(container: Fields): { readonly how: string; readonly said: string } {
  const { terminated } = fieldsOf(container.lastState);
  if (terminated === undefined) return { how: "", said: "" };
  const { exitCode, reason, message } = fieldsOf(terminated);
  const parts = [`exit code ${numberOf(exitCode)}`, textOf(reason)];
  return { how: parts.filter(Boolean).join(", "), said: textOf(message) };
}

/** More nodes may come, or others may leave room. */
function unschedulable(conditions: unknown): Trouble | null {
  const found = listOf(conditions)
    .map(fieldsOf)
    .find(({ type, status, reason }) => {
      return type === "PodScheduled" && status === "False" && reason === "Unschedulable";
    });
  if (found === undefined) return null;
  const why = safeText(`no node takes its pods (${textOf(found.message) || "Unschedulable"})`);
  const advice = "add a node, or change what its pods request or select";
  return { isFinal: false, why: `${why}: ${advice}` };
}
