/** New versions of apps, started beside the one that runs. */

import { addressOf, LAST_OUTPUT } from "../app.ts";
import { messageOf } from "../errors.ts";
import { throwIfAborted } from "./abortable.ts";
import type { Child } from "./process-child.ts";
import { endChild, startIn } from "./process-run.ts";
import { find, type ProcessContext, type Slot, slotOf, throwIfClosing } from "./process-slots.ts";
import { ProviderError, type Version, type Versions } from "./provider.ts";

/** What the provider of processes can do about versions. */
export function createVersions(context: ProcessContext): Versions {
  return {
    async begin(id, signal) {
      throwIfAborted(signal, `starting a new version of ${id}`);
      return begin(context, id);
    },
    adopt(id, target, onEnd) {
      const slot = slotOf(context, id);
      const address = addressOf(target);
      const found = [...slot.candidates, ...slot.former].find((one) => isAt(one, address));
      if (found !== undefined) adopt(slot, found);
      // Should it have ended already, its end was told as that of any other.
      slot.onEnd = slot.child !== null && isAt(slot.child, address) ? onEnd : null;
    },
    endFormer: (id, spared) => endFormer(context, id, spared),
  };
}

function begin(context: ProcessContext, id: string): Version {
  throwIfClosing(context, id);
  const declaration = find(context, id);
  const { port } = declaration;
  if (port !== null) {
    const why = `paastis.yml gives ${id} the fixed port ${port}, on which two versions cannot listen at once`;
    const next =
      "leave `port` out, and have the app listen on the port that the variable PORT says";
    throw new ProviderError("invalid", `${why}: ${next}`);
  }
  const slot = slotOf(context, id);
  const take = (started: Child) => void slot.candidates.add(started);
  const child = startIn(context, slot, { declaration, take });
  return {
    target: child.target,
    ended: child.exited.then(({ reason }) => reason.split(LAST_OUTPUT)[0] ?? reason),
    output: child.output,
    async end() {
      if (slot.candidates.has(child)) await endChild(slot, child);
    },
  };
}

function isAt({ target }: Child, address: string): boolean {
  return addressOf(target) === address;
}

/** In one go: whoever asks sees the one or the other. */
function adopt(slot: Slot, child: Child): void {
  if (slot.child !== null) slot.former.add(slot.child);
  slot.candidates.delete(child);
  slot.former.delete(child);
  slot.child = child;
  slot.seen = { phase: "awake", target: child.target };
  slot.reportedChange = null;
}

async function endFormer(
  context: ProcessContext,
  id: string,
  spared: ReadonlySet<string>,
): Promise<void> {
  const slot = context.slots.get(id);
  if (slot === undefined) return;
  const dispensable = [...slot.former].filter(({ target }) => !spared.has(addressOf(target)));
  const endings = dispensable.map(async (child) => {
    try {
      await endChild(slot, child);
    } catch (error) {
      context.deps.log.error({ app: id, reason: messageOf(error) }, "a process cannot be ended");
    }
  });
  await Promise.all(endings);
}
