/** Children of the process whose place this one has taken: they live on, and that one ends them when it is told to. */

import { targetOf } from "../app.ts";
import type { KeptApp, ToPredecessor, ToSuccessor } from "../restart/messages.ts";
import type { Child, ChildExit } from "./process-child.ts";
import { ProviderError } from "./provider.ts";

/** How the process that has started them is spoken to. */
export interface InheritedDeps {
  send(message: ToPredecessor): void;
  onMessage(callback: (message: ToSuccessor) => void): () => void;
  readonly closed: Promise<void>;
  /** Ends what a process that has ended without a word has left of an app. Never rejects. */
  endLeftovers(app: string): Promise<void>;
}

/** A child that is not ours, looked at as if it were. */
export function inheritedChild(
  { pid, port, declaration, keeper }: KeptApp,
  deps: InheritedDeps,
): Child {
  const exited = Promise.withResolvers<ChildExit>();
  const { key } = declaration;
  let isEndWanted = false;
  let hasExited = false;
  let isAlone = false;
  let ending: Promise<void> | null = null;
  const over = (exit: ChildExit) => {
    hasExited = true;
    exited.resolve(exit);
  };
  const stop = deps.onMessage((message) => {
    if (message.kind === "exited" && message.pid === pid) over(message.exit);
  });
  void deps.closed.then(() => {
    isAlone = true;
    const reason = "the process that had started it has ended, and its app with it";
    if (!hasExited) over({ byItself: !isEndWanted, status: null, reason });
    stop();
  });
  async function end(): Promise<void> {
    if (isAlone) return await deps.endLeftovers(key);
    const answered = Promise.withResolvers<string | null>();
    const forget = deps.onMessage((message) => {
      if (message.kind === "ended" && message.pid === pid) answered.resolve(message.why);
    });
    void deps.closed.then(() => deps.endLeftovers(key)).then(() => answered.resolve(null));
    deps.send({ kind: "end", pid });
    const why = await answered.promise;
    forget();
    if (why === null) return;
    ending = null;
    throw new ProviderError("failed", `cannot stop ${key}: ${why}`);
  }
  return {
    pid,
    declaration,
    port,
    keeper,
    target: targetOf(`http://127.0.0.1:${port}`),
    isRunning: () => !hasExited && !isEndWanted,
    exited: exited.promise,
    // What it prints stands in the log, written by the process that reads it.
    output: () => "",
    end() {
      if (!hasExited) isEndWanted = true;
      ending ??= end();
      return ending;
    },
    async kill() {
      deps.send({ kind: "kill", pid });
    },
  };
}
