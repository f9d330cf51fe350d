/** The token of a start: said once, with where the dashboard is, whatever the log leaves out. */

import { expect, test } from "bun:test";
import { sayStartToken } from "../src/admin/start-token.ts";
import { recordingLog } from "./support/recording-log.ts";

const TOKEN = "made-up-at-the-start";

function said(
  logLevel: "debug" | "error" | "info" | "warn",
  more: { readonly defaultApp?: string; readonly hosts?: readonly string[] } = {},
) {
  const { defaultApp = null, hosts = [] } = more;
  const { log, lines } = recordingLog();
  const config = { defaultApp, host: "0.0.0.0", logLevel };
  sayStartToken({ admin: { hosts, isTls: false, startToken: TOKEN }, config, port: 3000, log });
  return lines;
}

test.each([
  ["debug", "info"],
  ["info", "info"],
  ["warn", "warn"],
  ["error", "error"],
] as const)("with LOG_LEVEL=%s it is a line of level %s", (logLevel, level) => {
  const [line, ...others] = said(logLevel);
  expect(others).toEqual([]);
  expect(line?.level).toBe(level);
  expect(line?.message).toContain(`http://127.0.0.1:3000/__/ opens with the token ${TOKEN}`);
});

test("where every host leads to an app, it says how to come to the dashboard", () => {
  const [line] = said("info", { defaultApp: "shop" });
  expect(line?.message).toContain(TOKEN);
  expect(line?.fields.next).toContain("ADMIN_HOST");
  const [named] = said("info", { defaultApp: "shop", hosts: ["admin.example"] });
  expect(named?.message).toContain("http://admin.example:3000/__/ opens with the token");
});
