/** Webhooks: what is sent, when it is tried again, and what the variables allow. */

import { describe, expect, test } from "bun:test";
import { EVENT_NAMES, type PaastisEvent } from "../src/events.ts";
import { loadConfig } from "../src/load-config.ts";
import { addressesOf, webhookBodyOf, webhookHeadersOf } from "../src/webhook-message.ts";
import { eventNames, webhookUrls } from "../src/webhook-parsers.ts";
import { verdictOn, webhookPauseMs } from "../src/webhook-retry.ts";
import { signatureOf } from "../src/webhook-signature.ts";
import { tempDir } from "./support/temp-dir.ts";

const EVENT: PaastisEvent = {
  id: "lp0abc",
  name: "APP_STARTED",
  app: "shop",
  ref: { provider: "process", id: "shop" },
  atMs: 1_700_000_000_123,
  cause: { kind: "request", detail: "GET /?token=hunter2 from 10.0.0.7" },
  reason: "",
  details: { durationMs: 1200 },
};

describe("signature", () => {
  test("it is what openssl says: dgst -sha256 -hmac <secret> of <seconds>.<body>", () => {
    expect(signatureOf("a secret of 24 characters", 1_700_000_000_999, '{"id":"1"}')).toBe(
      "t=1700000000,v1=5e6a0104f8f5c2606d3b281d79c2ebddc203f8b42b6fe60611cddb83b16f9575",
    );
  });
});

describe("retries", () => {
  for (const [status, verdict] of [
    [200, "delivered"],
    [204, "delivered"],
    [299, "delivered"],
    [301, "refused"],
    [307, "refused"],
    [304, "refused"],
    [400, "refused"],
    [401, "refused"],
    [404, "refused"],
    [410, "refused"],
    [408, "again"],
    [425, "again"],
    [429, "again"],
    [500, "again"],
    [503, "again"],
    [599, "again"],
  ] as const) {
    test(`${status}: ${verdict}`, () => expect(verdictOn(status)).toBe(verdict));
  }

  test("pauses double from a second to five minutes, spread between half and all", () => {
    const longest = [1, 2, 3, 9, 10, 500].map((failures) => webhookPauseMs(failures, null, 1));
    expect(longest).toEqual([1000, 2000, 4000, 256_000, 300_000, 300_000]);
    expect(webhookPauseMs(3, null, 0)).toBe(2000);
  });

  test("what the receiver asks for is heeded, up to a quarter of an hour, and never shortens a pause", () => {
    expect(webhookPauseMs(1, 60_000, 0)).toBe(60_000);
    expect(webhookPauseMs(1, 3_600_000, 0)).toBe(900_000);
    expect(webhookPauseMs(9, 1000, 1)).toBe(256_000);
  });
});

describe("message", () => {
  test("the body has the event's fields, an ISO date, and no credentials", () => {
    expect(JSON.parse(webhookBodyOf(EVENT))).toEqual({
      id: "lp0abc",
      name: "APP_STARTED",
      date: "2023-11-14T22:13:20.123Z",
      app: "shop",
      provider: "process",
      cause: "GET /?token=*** from 10.0.0.7",
      reason: null,
      details: { durationMs: 1200 },
    });
  });

  test("the headers name event and delivery; without a secret there is no signature", () => {
    const delivery = { event: EVENT, body: "{}", atMs: 0, version: "1.2.3" };
    const address = { authorization: null };
    expect(webhookHeadersOf({ ...delivery, address, secret: null })).toEqual({
      "content-type": "application/json",
      "user-agent": "paastis/1.2.3",
      "paastis-event": "APP_STARTED",
      "paastis-delivery": "lp0abc",
    });
    const signed = webhookHeadersOf({ ...delivery, address, secret: "s" });
    expect(signed["paastis-signature"]).toBe(signatureOf("s", 0, "{}"));
  });

  test("user and password of a URL become a header, and its path is not shown", () => {
    const [one] = addressesOf(["https://me:p%40ss@hooks.example.com/T1/secret?key=x#top"]);
    expect(one).toEqual({
      url: "https://hooks.example.com/T1/secret?key=x",
      authorization: `Basic ${btoa("me:p@ss")}`,
      shown: "https://hooks.example.com",
    });
    const [, second] = addressesOf(["https://a.example/1", "https://a.example/2"]);
    expect(second?.shown).toBe("https://a.example (number 2 of WEBHOOK_URLS)");
    expect(addressesOf(["http://me:100%@a"])[0]?.authorization).toBe(`Basic ${btoa("me:100%")}`);
  });
});

describe("variables", () => {
  test("URLs are separated by commas, each counts once", () => {
    const parsed = webhookUrls().parse("https://a.example/x, http://b:1/,https://a.example/x,");
    expect(parsed).toEqual({ ok: true, value: ["https://a.example/x", "http://b:1/"] });
  });

  for (const [text, why] of [
    ["https://a/s3cret,ftp://b/s3cret", "number 2 is none"],
    ["http:a.example/s3cret", "a comma within a URL is written %2C"],
    ["s3cret", "a comma"],
    ["http://", "a comma"],
    [",", "there are 0"],
    [Array.from({ length: 21 }, (_, index) => `http://a/${index}`).join(), "there are 21"],
  ] as const) {
    test(`URLs: refused without repeating them: ${text.slice(0, 40)}`, () => {
      const parsed = webhookUrls().parse(text);
      expect(parsed.ok ? "" : parsed.why).toContain(why);
      expect(JSON.stringify(parsed)).not.toContain("s3cret");
    });
  }

  test("events are names and patterns, in any case", () => {
    expect(eventNames().parse("app_crashed,APP_SWITCH*,*FAILED,APP_CRASHED")).toEqual({
      ok: true,
      value: [
        "APP_CRASHED",
        "APP_SWITCHED",
        "APP_SWITCH_REFUSED",
        "APP_START_FAILED",
        "APP_STOP_FAILED",
        "APP_ROLLBACK_FAILED",
        "HOOK_FAILED",
      ],
    });
    expect(eventNames().parse("*")).toEqual({ ok: true, value: [...EVENT_NAMES] });
    expect(eventNames().parse("APP_STRTED")).toEqual({
      ok: false,
      why: 'no event is called "APP_STRTED": did you mean APP_STARTED?',
    });
    expect(eventNames().parse("APP_.*").ok).toBe(false);
  });

  function read(values: Readonly<Record<string, string>>) {
    using there = tempDir();
    const environment = { PROVIDER_NAME: "process", ...values };
    const reading = loadConfig({ environment, flags: {}, workingDirectory: there.path });
    if (reading.kind !== "usable") throw new Error(reading.problems.join());
    return reading;
  }

  test("without URLs nobody is told, a secret is the apps' own, and that it signs nothing is said", () => {
    const { config, warnings } = read({ WEBHOOK_SECRET: "s3cret-of-an-app-of-mine" });
    expect(config.webhooks).toBeNull();
    expect(config.childEnvironment.WEBHOOK_SECRET).toBe("s3cret-of-an-app-of-mine");
    expect(warnings).toEqual(["WEBHOOK_SECRET has no effect: there are no WEBHOOK_URLS"]);
  });

  test("with URLs the secret is kept from apps and messages, and a short one is doubted", () => {
    const urls = "https://a.example/s3cret";
    const { config, given, warnings } = read({ WEBHOOK_URLS: urls, WEBHOOK_SECRET: "s3cret" });
    expect(config.webhooks).toMatchObject({ urls: [urls], secret: "s3cret" });
    expect(config.childEnvironment).toEqual({});
    expect(JSON.stringify([[...given], warnings])).not.toContain("s3cret");
    expect(warnings).toEqual([expect.stringContaining("WEBHOOK_SECRET has 6 characters")]);
  });
});
