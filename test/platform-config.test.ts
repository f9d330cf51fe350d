/** Accounts on platforms, from variables to the configuration. */

import { describe, expect, test } from "bun:test";
import { configInvalid, type Environment, loadConfig } from "../src/load-config.ts";
import { tempDir } from "./support/temp-dir.ts";

function load(environment: Environment) {
  using folder = tempDir();
  return loadConfig({ environment, flags: {}, workingDirectory: folder.path });
}

function usable(environment: Environment) {
  const reading = load(environment);
  if (reading.kind === "invalid") throw configInvalid(reading.problems);
  return reading;
}

function problemsOf(environment: Environment): readonly string[] {
  const reading = load(environment);
  return reading.kind === "invalid" ? reading.problems : [];
}

const SCALINGO = { PROVIDER_NAME: "scalingo", PROVIDER_SCALINGO_API_TOKEN: "tk-us-1" };
const OAUTH = {
  PROVIDER_CLEVER_OAUTH_CONSUMER_KEY: "a",
  PROVIDER_CLEVER_OAUTH_CONSUMER_SECRET: "b",
  PROVIDER_CLEVER_TOKEN: "c",
  PROVIDER_CLEVER_SECRET: "d",
};

describe("accounts", () => {
  test("a token is enough for Scalingo, and all else has a default", () => {
    const { config, warnings } = usable(SCALINGO);
    expect(config.scalingo).toEqual({
      token: "tk-us-1",
      regions: ["osc-fr1"],
      operationTimeoutMs: 30_000,
      callsPerMinute: 40,
      apiUrl: null,
      authUrl: "https://auth.scalingo.com",
    });
    expect([config.heroku, config.cleverCloud]).toEqual([null, null]);
    expect(warnings).toEqual([]);
  });

  test("several platforms at once, in the order given", () => {
    const { config } = usable({
      ...SCALINGO,
      ...OAUTH,
      PROVIDER_NAME: "clever-cloud, scalingo, process",
      PROVIDER_REGION: "osc-fr1, OSC-secnum-fr1,osc-fr1",
      PROVIDER_CLEVER_OPERATION_TIMEOUT: "90",
    });
    expect(config.providers).toEqual(["clever-cloud", "scalingo", "process"]);
    expect(config.scalingo?.regions).toEqual(["osc-fr1", "osc-secnum-fr1"]);
    expect(config.cleverCloud).toEqual({
      credentials: {
        kind: "oauth1",
        consumerKey: "a",
        consumerSecret: "b",
        token: "c",
        secret: "d",
      },
      operationTimeoutMs: 90_000,
      callsPerMinute: 60,
      apiUrl: "https://api.clever-cloud.com",
    });
  });

  test("a token of Clever Cloud goes to the API that takes it, unless another is named", () => {
    const given = { PROVIDER_NAME: "clever-cloud", PROVIDER_CLEVER_API_TOKEN: "t" };
    expect(usable(given).config.cleverCloud).toMatchObject({
      credentials: { kind: "token", token: "t" },
      apiUrl: "https://api-bridge.clever-cloud.com",
    });
    const host = { PROVIDER_CLEVER_API_HOST: "http://127.0.0.1:8080/" };
    expect(usable({ ...given, ...host }).config.cleverCloud?.apiUrl).toBe("http://127.0.0.1:8080");
  });

  test("one of Heroku", () => {
    const given = { PROVIDER_NAME: "heroku", PROVIDER_HEROKU_API_TOKEN: "HRKU-1" };
    expect(usable(given).config.heroku).toEqual({
      token: "HRKU-1",
      operationTimeoutMs: 30_000,
      callsPerMinute: 60,
      apiUrl: "https://api.heroku.com",
    });
  });

  test("of a provider that is not named is left alone, complete or not", () => {
    const given = { PROVIDER_NAME: "process", PROVIDER_CLEVER_TOKEN: "c" };
    expect(usable(given).config.cleverCloud).toBeNull();
  });

  test("none of their variables reaches child processes", () => {
    const given = { ...SCALINGO, ...OAUTH, PROVIDER_HEROKU_API_TOKEN: "HRKU-1", OTHER: "x" };
    expect(usable(given).config.childEnvironment).toEqual({ OTHER: "x" });
  });
});

describe("problems", () => {
  test("what is wrong with a platform that is not named is nobody's business", () => {
    const regions = { PROVIDER_REGION: "osc-fr1,osc-secnum-fr1" };
    const urls = { PROVIDER_SCALINGO_API_URL: "http://x", PROVIDER_FLY_APP_URL: "http://x" };
    expect(problemsOf({ PROVIDER_NAME: "process", ...regions, ...urls })).toEqual([]);
    const fly = { PROVIDER_NAME: "fly", PROVIDER_FLY_API_TOKEN: "t" };
    expect(problemsOf({ ...fly, ...urls })).toEqual([
      "PROVIDER_FLY_APP_URL must have {app} in it: every app has a name of its own",
    ]);
  });

  test("a missing token is named, with the reason why it is needed", () => {
    expect(problemsOf({ PROVIDER_NAME: "scalingo,heroku" })).toEqual([
      "PROVIDER_SCALINGO_API_TOKEN is required, as PROVIDER_NAME has scalingo",
      "PROVIDER_HEROKU_API_TOKEN is required, as PROVIDER_NAME has heroku",
    ]);
  });

  test("Clever Cloud needs a token or four values, all of them", () => {
    expect(problemsOf({ PROVIDER_NAME: "clever-cloud" })).toEqual([
      "PROVIDER_CLEVER_API_TOKEN is required, as PROVIDER_NAME has clever-cloud; or all of PROVIDER_CLEVER_OAUTH_CONSUMER_KEY, PROVIDER_CLEVER_OAUTH_CONSUMER_SECRET, PROVIDER_CLEVER_TOKEN, PROVIDER_CLEVER_SECRET",
    ]);
    const { PROVIDER_CLEVER_SECRET: _, ...three } = OAUTH;
    expect(problemsOf({ PROVIDER_NAME: "clever-cloud", ...three })).toEqual([
      "PROVIDER_CLEVER_SECRET is required, as PROVIDER_NAME has clever-cloud",
    ]);
    const both = { PROVIDER_NAME: "clever-cloud", ...OAUTH, PROVIDER_CLEVER_API_TOKEN: "t" };
    expect(problemsOf(both)).toHaveLength(1);
    expect(problemsOf(both)[0]).toContain("give one or the other");
  });

  test("one address for several regions", () => {
    const given = { ...SCALINGO, PROVIDER_REGION: "osc-fr1,osc-secnum-fr1" };
    const url = "PROVIDER_SCALINGO_API_URL";
    expect(problemsOf({ ...given, [url]: "https://api.example" })[0]).toContain("{region}");
    expect(problemsOf({ ...given, [url]: "https://api.{region}.example" })).toEqual([]);
  });

  const wrong: readonly (readonly [string, string, string])[] = [
    ["PROVIDER_REGION", "osc fr1", "names of regions"],
    ["PROVIDER_REGION", ",", "names of regions"],
    ["PROVIDER_SCALINGO_API_URL", "api.scalingo.com", "http or https URL"],
    ["PROVIDER_SCALINGO_AUTH_URL", "ftp://x", "http or https URL"],
    ["PROVIDER_SCALINGO_AUTH_URL", "https://user:pass@x", "without credentials"],
    ["PROVIDER_HEROKU_API_URL", "https://x/?a=1", "without credentials and query"],
    ["PROVIDER_SCALINGO_OPERATION_TIMEOUT", "0", "in seconds"],
    ["PROVIDER_SCALINGO_OPERATION_TIMEOUT", "30s", "in seconds"],
    ["PROVIDER_SCALINGO_CALLS_PER_MINUTE", "0", "from 1"],
  ];
  for (const [name, value, allowed] of wrong) {
    test(`${name}=${value} is refused: ${allowed}`, () => {
      const [problem = "", ...others] = problemsOf({ ...SCALINGO, [name]: value });
      expect(problem).toStartWith(`${name} must be `);
      expect(problem).toContain(allowed);
      expect(others).toEqual([]);
    });
  }

  test("a token that no header could hold is refused, without being shown", () => {
    const [problem = ""] = problemsOf({ ...SCALINGO, PROVIDER_SCALINGO_API_TOKEN: "tk us-1" });
    expect(problem).toContain("one word");
    expect(problem).not.toContain("us-1");
  });

  test("a name that is hardly one of a region is doubted, not refused", () => {
    const { warnings } = usable({ ...SCALINGO, PROVIDER_REGION: "paris" });
    expect(warnings).toEqual(['PROVIDER_REGION has "paris": is it a region, such as osc-fr1?']);
  });
});
