/** Sessions of browsers, limits by address, and what is compared with secrets. */

import { describe, expect, test } from "bun:test";
import { createRateLimit, networkOf } from "../src/admin/rate-limit.ts";
import { createSecretCheck, newSecret } from "../src/admin/secret.ts";
import { createSessions, SESSION_COOKIE_FORM } from "../src/admin/session.ts";

function sessionsAt(clock: { nowMs: number }, secret = "secret") {
  return createSessions({ secret, now: () => clock.nowMs });
}

describe("sessions", () => {
  test("one is open for twelve hours, here and wherever the secret is the same", () => {
    const clock = { nowMs: 1_700_000_000_000 };
    const sessions = sessionsAt(clock);
    const value = sessions.open();
    expect(sessions.isOpen(value)).toBe(true);
    expect(sessionsAt(clock).isOpen(value)).toBe(true);
    expect(sessionsAt(clock, "another").isOpen(value)).toBe(false);
    clock.nowMs += 12 * 3_600_000 - 1;
    expect(sessions.isOpen(value)).toBe(true);
    clock.nowMs += 1;
    expect(sessions.isOpen(value)).toBe(false);
  });

  test("nothing of one can be changed, and no two are alike", () => {
    const sessions = sessionsAt({ nowMs: 1_700_000_000_000 });
    const value = sessions.open();
    expect(sessions.open()).not.toBe(value);
    for (let at = 0; at < value.length; at += 1) {
      for (const other of ["0", "A", "."]) {
        const changed = value.slice(0, at) + other + value.slice(at + 1);
        // The last character of a signature has two bits that say nothing.
        const isSame = changed === value || at === value.length - 1;
        if (!isSame)
          expect({ changed, open: sessions.isOpen(changed) }).toEqual({ changed, open: false });
      }
    }
    const [, nonce, signature] = value.split(".");
    for (const made of [
      "",
      ".",
      "..",
      `zzzzzzzz.${nonce}.${signature}`,
      `${value}.`,
      ` ${value}`,
      "x".repeat(10_000),
    ]) {
      expect(sessions.isOpen(made)).toBe(false);
    }
  });

  test("one that was closed is not open any more; others are", () => {
    const sessions = sessionsAt({ nowMs: 0 });
    const [one, other] = [sessions.open(), sessions.open()];
    sessions.close(one);
    sessions.close(one);
    sessions.close("nonsense");
    expect([sessions.isOpen(one), sessions.isOpen(other)]).toEqual([false, true]);
  });

  test("of very many that were closed the newest are remembered", () => {
    const clock = { nowMs: 0 };
    const sessions = sessionsAt(clock);
    let value = "";
    for (let count = 0; count < 1500; count += 1) {
      clock.nowMs += 1;
      value = sessions.open();
      sessions.close(value);
    }
    expect(sessions.isOpen(value)).toBe(false);
  });

  test("cookies of different secrets have different names, and those by TLS are bound to their host", () => {
    const one = sessionsAt({ nowMs: 0 });
    const other = sessionsAt({ nowMs: 0 }, "other");
    expect(one.cookieName(false)).not.toBe(other.cookieName(false));
    expect(one.cookieName(true)).toBe(`__Host-${one.cookieName(false)}`);
    for (const isSecure of [false, true]) {
      expect(one.cookieName(isSecure)).toMatch(SESSION_COOKIE_FORM);
    }
  });
});

describe("limits", () => {
  test("within any time of its length there is room for so many, and one that is forgiven makes room", () => {
    const clock = { nowMs: 0 };
    const limit = createRateLimit({ max: 3, withinMs: 1000, now: () => clock.nowMs });
    for (const atMs of [0, 400, 900]) {
      clock.nowMs = atMs;
      expect(limit.waitMs("a")).toBe(0);
      limit.note("a");
    }
    expect(limit.waitMs("a")).toBe(100);
    expect(limit.waitMs("b")).toBe(0);
    clock.nowMs = 1000;
    expect(limit.waitMs("a")).toBe(0);
    limit.note("a");
    expect(limit.waitMs("a")).toBe(400);
    limit.forgive("a");
    expect(limit.waitMs("a")).toBe(0);
    limit.forgive("nobody");
  });

  test("so many are remembered and no more: who has done nothing for longest is forgotten", () => {
    const limit = createRateLimit({ max: 1, withinMs: 1000, now: () => 0, whosMax: 3 });
    for (const who of ["a", "b", "c", "a", "d"]) limit.note(who);
    expect(["a", "b", "c", "d"].map((who) => limit.waitMs(who) > 0)).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });

  test.each([
    ["192.0.2.1", "192.0.2.1"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"],
    ["2001:db8:1:2::", "2001:db8:1:2::/64"],
    ["2001:0DB8:0001:0002::9", "2001:db8:1:2::/64"],
    ["2001:db8::9", "2001:db8:0:0::/64"],
    ["1::2:3:4:5:6:7", "1:0:2:3::/64"],
    ["::1", "0:0:0:0::/64"],
    ["nonsense", "nonsense"],
    ["", ""],
  ])("%p stands for %p", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});

describe("secrets", () => {
  test("only the very text is right", () => {
    const check = createSecretCheck("secret");
    const given = ["secret", "Secret", "secre", "secrets", "", "secret\0", "secrеt"];
    expect(given.map(check)).toEqual([true, false, false, false, false, false, false]);
  });

  test("a text that shares its beginning takes no longer to refuse than one that does not", () => {
    // So long that to compare it takes far longer than to call anything.
    const LENGTH = 262_144;
    const secret = "a".repeat(LENGTH);
    const check = createSecretCheck(secret);
    const near = `${secret.slice(1)}b`;
    const far = "b".repeat(LENGTH);
    const took = (text: string) => {
      const startedNs = Bun.nanoseconds();
      for (let count = 0; count < 10; count += 1) check(text);
      return Bun.nanoseconds() - startedNs;
    };
    const times = { near: [] as number[], far: [] as number[] };
    for (let round = 0; round < 16; round += 1) {
      times.near.push(took(near));
      times.far.push(took(far));
    }
    const median = (list: number[]) => list.sort((one, other) => one - other)[list.length / 2] ?? 0;
    // A comparison that ends early would be told by a factor of several; another job on the machine by a few per cent.
    expect(median(times.near) / median(times.far)).toBeWithin(0.5, 2);
  });

  test("a new one is long, and passes through headers and forms as it is", () => {
    expect(newSecret()).toMatch(/^[0-9a-f]{40}$/);
    expect(newSecret()).not.toBe(newSecret());
  });
});
