/** What a process has of the one whose place it takes: its listener, its apps, and what is still under way there. */

import type { Clock } from "../clock.ts";
import type { InheritedListener } from "../engines/engine.ts";
import type { Log } from "../log.ts";
import type { PeerListener } from "../peers.ts";
import type { Child } from "../providers/process-child.ts";
import { inheritedChild } from "../providers/process-inherited.ts";
import { endLeftoversOf } from "../providers/process-leftovers.ts";
import { reachKeeper } from "./keeper-socket.ts";
import { type Estate, LISTENER_FD } from "./messages.ts";
import type { Predecessor } from "./predecessor.ts";
import { privateSocket, removePrivateSocket } from "./private-socket.ts";

/** Taken over. */
export interface Inheritance {
  readonly estate: Estate;
  /** What the listener of this process is made of. */
  readonly listener: InheritedListener;
  /** Apps that are up as children of the other process, or of one before it. @param instanceId of this one, and so of that one */
  children(
    instanceId: string,
    deps: { readonly clock: Clock; readonly log: Log },
  ): readonly Child[];
  /** Another process will command them: what their processes say of them is for it. */
  handOnChildren(): void;
  /** Counts what is under way there as use of its app, as long as there is any. */
  heed(listener: PeerListener): void;
  /** From here on what comes there is ours, and so are the orders to its children. */
  sayListening(): void;
  /** We are told to stop: what is still under way there may take so long, ms. */
  sayStopping(limitMs: number): void;
  /** Removes what was made for it. Safe to repeat. */
  end(): void;
}

/** What the other process is called among those that use the same apps. */
const NAME = "the process before this one";

/** @param dataDir absolute; `null`: nothing can be written there */
export async function inherit(
  predecessor: Predecessor,
  dataDir: string | null,
): Promise<Inheritance> {
  const estate = await predecessor.takePlace();
  const socketPath = privateSocket(dataDir);
  const end = () => removePrivateSocket(socketPath);
  const keepers = new Map(
    [...new Set(estate.apps.map(({ keeper }) => keeper))].map((path) => [path, reachKeeper(path)]),
  );
  const drained = Promise.withResolvers<void>();
  predecessor.onMessage(({ kind }) => {
    if (kind === "drained") drained.resolve();
  });
  const over = Promise.race([drained.promise, predecessor.closed]);
  void over.then(end);
  return {
    estate,
    end,
    listener: { fd: LISTENER_FD, socketPath, over },
    children: (instanceId, deps) =>
      estate.apps.flatMap((app) => {
        const keeper = keepers.get(app.keeper);
        const isFrom = (id: string) => id === instanceId;
        const endLeftovers = (key: string) => endLeftoversOf({ app: key, isFrom }, deps);
        return keeper === undefined ? [] : [inheritedChild(app, { ...keeper, endLeftovers })];
      }),
    handOnChildren() {
      for (const keeper of keepers.values()) keeper.handOn();
    },
    heed(listener) {
      listener.used(NAME, estate.uses);
      const stop = predecessor.onMessage((message) => {
        if (message.kind === "uses") listener.used(NAME, message.uses);
      });
      void over.then(() => {
        stop();
        listener.gone(NAME);
      });
    },
    sayStopping: (limitMs) => predecessor.send({ kind: "stop", limitMs }),
    sayListening() {
      for (const [path, keeper] of keepers) {
        const pids = estate.apps.filter((app) => app.keeper === path).map(({ pid }) => pid);
        keeper.send({ kind: "attend", pids });
      }
      predecessor.send({ kind: "listening", socketPath });
    },
  };
}
