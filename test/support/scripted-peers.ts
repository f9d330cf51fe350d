/** Other instances that say what a test wants, and a registry whose claims they can take. */

import type { AppRef } from "../../src/app.ts";
import type { Peers, StopQuestion } from "../../src/peers.ts";
import { noPeers } from "../../src/peers.ts";
import { createMemoryRegistry } from "../../src/registry/memory.ts";
import type { AppRecord, Claim, Registry } from "../../src/registry/registry.ts";

export interface ScriptedPeers {
  readonly peers: Peers;
  readonly registry: Registry;
  /** What was asked before stops, in order. */
  readonly questions: StopQuestion[];
  /** How the next question is answered. */
  answer: (question: StopQuestion) => Promise<string | null>;
  isLeader: boolean;
  trouble: string | null;
  /** What claims find stored. */
  record: AppRecord | null;
  /** Another instance holds the claim. */
  isHeldElsewhere: boolean;
  /** All claims held here are lost; whoever waits hears of it only if `isNoticed`. */
  lose(isNoticed: boolean): void;
}

/** This instance is called `here`, and leads. */
export function scriptPeers(): ScriptedPeers {
  const memory = createMemoryRegistry();
  const controllers = new Set<AbortController>();
  let losses = 0;
  const scripted: ScriptedPeers = {
    peers: {
      ...noPeers("here"),
      isShared: true,
      isLeader: () => scripted.isLeader,
      whyNotLeader: () => (scripted.isLeader ? null : "another instance leads"),
      state: () => ({
        ...{ trouble: scripted.trouble, sinceMs: 0 },
        ...{ others: [], isLeader: false, leader: null },
      }),
      async askToLetGo(question) {
        scripted.questions.push(question);
        return await scripted.answer(question);
      },
    },
    registry: {
      ...memory,
      async claim(ref: AppRef, known: number): Promise<Claim | null> {
        if (scripted.trouble !== null) throw new Error(scripted.trouble);
        if (scripted.isHeldElsewhere) return null;
        const claim = await memory.claim(ref, Math.max(known, scripted.record?.fence ?? 0));
        if (claim === null) return null;
        const controller = new AbortController();
        controllers.add(controller);
        const begun = losses;
        return {
          ...claim,
          record: scripted.record,
          lost: controller.signal,
          isHeld: () => begun === losses && claim.isHeld(),
        };
      },
    },
    questions: [],
    answer: async () => null,
    isLeader: true,
    trouble: null,
    record: null,
    isHeldElsewhere: false,
    lose(isNoticed) {
      losses += 1;
      if (!isNoticed) return;
      for (const controller of controllers) controller.abort(new Error("the claim was lost"));
    },
  };
  return scripted;
}
