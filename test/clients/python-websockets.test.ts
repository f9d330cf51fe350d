/** Python's `websockets`, client and server, through the compiled program. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { resolve } from "node:path";
import {
  appProgram,
  ENGINE_NAMES,
  type ProxiedApp,
  startProxiedApp,
  testUnlessDeclared,
} from "../support/proxied-app.ts";
import { runCommand } from "../support/run-command.ts";
import { until } from "../support/until.ts";

/** Debian's own, which finds `python3-websockets`; another one may come first in `PATH`. */
const PYTHON = "/usr/bin/python3";
const CLIENT = resolve(import.meta.dir, "programs/websockets_client.py");

async function hasPackage(): Promise<boolean> {
  const found = Bun.which(PYTHON) !== null;
  const argv = [PYTHON, "-c", "import websockets"];
  return found && (await runCommand(argv, { mayFail: true })).status === 0;
}

// In CI it must be there: the tests then run, and fail, rather than be forgotten.
const isMissing = process.env.CI === undefined && !(await hasPackage());
const where = isMissing ? " (python3-websockets is not installed)" : "";

describe.skipIf(isMissing)(`Python's websockets${where}`, () => {
  describe.each(ENGINE_NAMES)("on the %s engine", (engine) => {
    let app: ProxiedApp;
    beforeAll(async () => {
      const command = `exec ${PYTHON} ${appProgram("python-websockets.py")}`;
      app = await startProxiedApp({ engine, key: "app", command });
    });
    afterAll(() => app[Symbol.asyncDispose]());

    async function story(name: string, details: object = {}): Promise<unknown> {
      const args = [name, "app.example", String(app.port), JSON.stringify(details)];
      return JSON.parse((await runCommand([PYTHON, CLIENT, ...args])).stdout);
    }

    test("wakes the app; text, binary and empty messages come back as they were", async () => {
      expect(await story("echo")).toEqual({
        text: "grüße, 世界 🌍",
        empty: "",
        binary: true,
        end: [1000, ""],
      });
    });

    test("messages in hundreds of fragments arrive whole, both ways", async () => {
      expect(await story("fragments")).toEqual({ text: true, binary: true, answer: "onetwothree" });
    });

    test("pings are answered by the other side, both ways", async () => {
      expect(await story("pings")).toBe("there was a pong");
    });

    testUnlessDeclared(engine, "compression", "permessage-deflate is end to end", async () => {
      const extensions = expect.stringContaining("permessage-deflate");
      expect(await story("compression")).toEqual({ extensions, echoed: true });
    });

    test("a subprotocol is negotiated with the app", async () => {
      expect(await story("subprotocols")).toBe("second");
    });

    test("a message of 16 MB comes back whole", async () => {
      expect(await story("large")).toBe(true);
    });

    const ENDS = [1000, 3001, 4999].map((code) => ({ code, reason: `because of ${code} ✓` }));
    test.each(ENDS)("a client's close reaches the app, and is answered: %j", async (end) => {
      expect(await story("close_by_client", end)).toEqual(end);
      await until(async () => {
        return JSON.stringify(await story("closes")).includes(JSON.stringify(end));
      });
    });
    test.each(ENDS)("an app's close reaches the client: %j", async (end) => {
      expect(await story("close_by_app", end)).toEqual(end);
    });

    test("an app that vanishes leaves its client with 1006", async () => {
      expect(await story("vanishing")).toBe(1006);
    });
  });
});
