/** Two socket engines in one process: one that listens, and one that takes its place. */

import { dlopen } from "bun:ffi";
import type { EngineScript, TestEngine } from "./engine-under-test.ts";
import { startSocketEngine } from "./socket-engine.ts";
import { tempDir } from "./temp-dir.ts";

/** The steps of a succession, each at the test's word. */
export interface Succession extends AsyncDisposable {
  readonly port: number;
  readonly old: TestEngine;
  /** From here on the old engine begins nothing. */
  hold(): void;
  /** The new engine listens, and is told of. @returns it; `left` resolves when the old one is through */
  takeOver(graceMs?: number): { readonly successor: TestEngine; readonly left: Promise<void> };
  /** The new engine listens on its private socket; the old one does not know of it yet. */
  listen(): { readonly successor: TestEngine; readonly socketPath: string };
}

/** @param scripts what each core does, and what else is said about its engine */
export function startSuccession(
  origin: string,
  scripts: { readonly old?: EngineScript; readonly next?: EngineScript } = {},
): Succession {
  const folder = tempDir();
  const socketPath = folder.file("socket");
  const old = startSocketEngine(origin, scripts.old);
  const { succession } = old.engine;
  if (succession === null) throw new Error("the socket engine hands on");
  const over = Promise.withResolvers<void>();
  let made: TestEngine | null = null;
  const listen = () => {
    // Another process has a descriptor of its own.
    const fd = copyOf(succession.fd);
    const inherited = { fd, socketPath, over: over.promise };
    const engine = { ...scripts.next?.engine, port: old.port, inherited };
    const successor = startSocketEngine(origin, { ...scripts.next, engine });
    made = successor;
    return { successor, socketPath };
  };
  return {
    port: old.port,
    old,
    hold: succession.hold,
    listen,
    takeOver(graceMs = 30_000) {
      succession.hold();
      const { successor } = listen();
      const left = succession.leave(socketPath, graceMs).then(over.resolve);
      return { successor, left };
    },
    async [Symbol.asyncDispose]() {
      await old.engine.stop(0);
      over.resolve();
      await made?.engine.stop(0);
      folder[Symbol.dispose]();
    },
  };
}

function copyOf(fd: number): number {
  const { symbols } = dlopen("libc.so.6", { dup: { args: ["i32"], returns: "i32" } });
  return symbols.dup(fd);
}
