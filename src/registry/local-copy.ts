/** A copy of what the shared registry holds, in a file of this instance: for a start at which that cannot be reached. */

import { type AppRef, refKey } from "../app.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerListener, Peers } from "../peers.ts";
import type { AppRecord, Loaded, Registry } from "./registry.ts";

/** A registry and its copy. */
export interface Copied {
  readonly registry: Registry;
  readonly peers: Peers;
  /** What is known at the start; what the copy alone has is in it, too. Never rejects for want of the shared one. */
  readonly loadFirst: () => Promise<Loaded>;
}

/** What it is made from. */
export interface CopyDeps {
  readonly shared: { readonly registry: Registry; readonly peers: Peers };
  /** Stays open when the registry is closed, and is written by nobody else. */
  readonly copy: Pick<Registry, "load" | "remove" | "save">;
  readonly log: Log;
}

/** All that this instance stores, and all that it hears that others have stored, is in the copy as well. */
export function withLocalCopy(deps: CopyDeps): Copied {
  const { registry, peers } = deps.shared;
  return {
    registry: {
      ...registry,
      async save(record) {
        // First: a shared registry that is away is what the copy is for.
        await keep(deps, record);
        return await registry.save(record);
      },
      async remove(ref) {
        await registry.remove(ref);
        await forget(deps, ref);
      },
    },
    peers: {
      ...peers,
      join: (listener) => peers.join(listeningTo(deps, listener)),
    },
    loadFirst: () => loadFirst(deps),
  };
}

function listeningTo(deps: CopyDeps, listener: PeerListener): PeerListener {
  return {
    ...listener,
    stored(record, from) {
      void keep(deps, record);
      listener.stored(record, from);
    },
  };
}

/** A copy that cannot be written is no reason for anything to fail. */
async function keep({ copy, log }: CopyDeps, record: AppRecord): Promise<void> {
  try {
    await copy.save(record);
  } catch (error) {
    log.debug({ app: record.key, reason: messageOf(error) }, "no copy of it could be kept here");
  }
}

async function forget({ copy, log }: CopyDeps, ref: AppRef): Promise<void> {
  try {
    await copy.remove(ref);
  } catch (error) {
    log.debug({ app: refKey(ref), reason: messageOf(error) }, "its copy could not be removed");
  }
}

async function loadFirst({ shared, copy, log }: CopyDeps): Promise<Loaded> {
  const copied = await copy.load();
  try {
    return merged(await shared.registry.load(), copied);
  } catch (error) {
    log.debug(
      { reason: messageOf(error) },
      "what is known here has to do until the registry answers",
    );
    return copied;
  }
}

/** What brings an app back is not lost because somebody has stored it without. Pure. */
function merged(shared: Loaded, copied: Loaded): Loaded {
  const copies = new Map(copied.records.map((record) => [refKey(record.ref), record]));
  const records = shared.records.map((record) => {
    const snapshot = record.snapshot ?? copies.get(refKey(record.ref))?.snapshot ?? null;
    return snapshot === record.snapshot ? record : { ...record, snapshot };
  });
  const known = new Set(shared.records.map(({ ref }) => refKey(ref)));
  const alone = copied.records.filter(({ ref }) => !known.has(refKey(ref)));
  return {
    records: [...records, ...alone],
    unreadable: [...shared.unreadable, ...copied.unreadable],
  };
}
