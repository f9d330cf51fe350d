/** Apps that were started here go on as children of this process, at the orders of the one that has taken its place. */

import { messageOf } from "../errors.ts";
import type { Child, ChildExit } from "../providers/process-child.ts";
import type { Channel, ToPredecessor, ToSuccessor } from "./messages.ts";

/**
 * Ends children as it is told to, and says when one has ended. Should the other process end without a word, so do they:
 * nobody else would ever.
 * @returns fulfilled when none is left; never rejects
 */
export function keepChildren(
  children: readonly Child[],
  {
    channel,
    giveUp,
  }: {
    readonly channel: Channel<ToSuccessor, ToPredecessor>;
    /** No more orders are waited for. */
    readonly giveUp: Promise<unknown>;
  },
): Promise<void> {
  const left = new Map(children.map((child) => [child.pid, child]));
  const exits = new Map<number, ChildExit>();
  const done = Promise.withResolvers<void>();
  const look = () => {
    if (left.size === 0) done.resolve();
  };
  const end = async (child: Child): Promise<string | null> => {
    try {
      await child.end();
      left.delete(child.pid);
      return null;
    } catch (error) {
      return messageOf(error);
    } finally {
      look();
    }
  };
  for (const child of children) {
    const { pid } = child;
    void child.exited.then((exit) => {
      exits.set(pid, exit);
      channel.send({ kind: "exited", pid, exit });
    });
  }
  const stop = channel.onMessage((message) => {
    if (message.kind === "attend") {
      for (const pid of message.pids) {
        const exit = exits.get(pid);
        if (exit !== undefined) channel.send({ kind: "exited", pid, exit });
      }
    }
    if (message.kind !== "end" && message.kind !== "kill") return;
    const { pid } = message;
    const child = left.get(pid);
    if (message.kind === "kill") void child?.kill().catch(() => undefined);
    else if (child === undefined) channel.send({ kind: "ended", pid, why: null });
    else void end(child).then((why) => channel.send({ kind: "ended", pid, why }));
  });
  void Promise.race([channel.closed, giveUp]).then(async () => {
    await Promise.all([...left.values()].map(end));
    // What cannot be ended stays: the next start looks for it.
    done.resolve();
  });
  look();
  return done.promise.finally(stop);
}
