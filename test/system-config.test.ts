/** The variables of the system API. */

import { expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { childEnvironmentOf, type Environment, loadConfig } from "../src/load-config.ts";

const TOKEN = "abcd-1234-EFGH-5678";
const NOWHERE = `${tmpdir()}/paastis-nowhere`;

function read(environment: Environment) {
  return loadConfig({
    environment: { PROVIDER_NAME: "process", ...environment },
    flags: {},
    workingDirectory: NOWHERE,
  });
}

function tokenOf(environment: Environment): string | null {
  const reading = read(environment);
  if (reading.kind === "invalid") throw new Error(reading.problems.join());
  return reading.config.admin.systemToken;
}

test("config: the system API is off until it is switched on, whatever its token", () => {
  expect(tokenOf({})).toBeNull();
  expect(tokenOf({ ROUTING_SYSTEM_API_TOKEN: TOKEN })).toBeNull();
  expect(tokenOf({ ROUTING_SYSTEM_API_TOKEN: TOKEN, ROUTING_SYSTEM_API_ENABLED: "0" })).toBeNull();
  expect(tokenOf({ ROUTING_SYSTEM_API_TOKEN: TOKEN, ROUTING_SYSTEM_API_ENABLED: "true" })).toBe(
    TOKEN,
  );
});

test("config: the system API without a token is a mistake", () => {
  for (const given of [{}, { ROUTING_SYSTEM_API_TOKEN: " " }]) {
    const reading = read({ ROUTING_SYSTEM_API_ENABLED: "true", ...given });
    expect(reading).toMatchObject({ kind: "invalid" });
    expect(JSON.stringify(reading)).toContain(
      "ROUTING_SYSTEM_API_TOKEN is required with ROUTING_SYSTEM_API_ENABLED",
    );
  }
});

test("config: a token that can be guessed, and one of an API that is off, are doubted without being said", () => {
  const short = read({ ROUTING_SYSTEM_API_ENABLED: "true", ROUTING_SYSTEM_API_TOKEN: "hunter2" });
  expect(short.warnings.join()).toContain("ROUTING_SYSTEM_API_TOKEN has 7 characters");
  expect(short.warnings.join()).not.toContain("hunter2");
  const off = read({ ROUTING_SYSTEM_API_TOKEN: TOKEN });
  expect(off.warnings.join()).toContain("ROUTING_SYSTEM_API_TOKEN has no effect");
  expect(off.warnings.join()).not.toContain(TOKEN);
  expect(read({}).warnings).toEqual([]);
});

test("config: commands that Paastis runs do not inherit the token", () => {
  const environment = { ROUTING_SYSTEM_API_TOKEN: TOKEN, PATH: "/bin" };
  expect(childEnvironmentOf(environment)).toEqual({ PATH: "/bin" });
});
