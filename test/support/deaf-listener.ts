/**
 * A listener whose machine takes no more connections: a connection to it never succeeds and never
 * fails.
 */

import { connect, type Socket } from "node:net";
import { until } from "./until.ts";

/** More than any queue of connections that nobody accepts. */
const CALLERS_MAX = 2_000;

/** Listens in a process that never accepts, and fills its queue. */
export async function startDeafListener(): Promise<{ readonly origin: string } & Disposable> {
  const script = `
    const server = require("node:net").createServer().listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
      require("node:fs").writeSync(1, String(server.address().port));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
    });`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  const callers: Socket[] = [];
  let waiting = 0;
  // Calls go out until one of them has been left hanging for a while.
  while (waiting === 0 && callers.length < CALLERS_MAX) {
    const batch = Array.from({ length: 100 }, () => connect(port, "127.0.0.1"));
    callers.push(...batch);
    for (const caller of batch) caller.on("error", () => undefined);
    const startMs = performance.now();
    await until(() => batch.every((one) => !one.connecting) || performance.now() - startMs > 200);
    waiting = batch.filter((one) => one.connecting).length;
  }
  return {
    origin: `http://127.0.0.1:${port}`,
    [Symbol.dispose]() {
      for (const caller of callers) caller.destroy();
      child.kill("SIGKILL");
    },
  };
}
