import { describe, expect, test } from "bun:test";

import { createRouter, readHost } from "../src/router.ts";

const LABEL_63 = "a".repeat(63);

describe("host", () => {
  const labels: Record<string, string> = {
    shop: "shop",
    "shop.example.com": "shop",
    "SHOP.Example.COM": "shop",
    "shop.example.com:8080": "shop",
    "shop:1": "shop",
    "shop:65535": "shop",
    "shop.": "shop",
    "shop.example.com.": "shop",
    "shop.example.com.:443": "shop",
    "app-review-pr12-back.example.com": "app-review-pr12-back",
    under_score: "under_score",
    "1shop.example": "1shop",
    "127.example": "127",
    "1.2.3": "1",
    "1.2.3.4.5": "1",
    "1.2.3.4x": "1",
    __proto__: "__proto__",
    [`${LABEL_63}.example`]: LABEL_63,
  };
  for (const [host, label] of Object.entries(labels)) {
    test(`host: ${host.slice(0, 40)} leads to ${label.slice(0, 40)}`, () => {
      expect(readHost(host)).toEqual({ kind: "label", label });
    });
  }

  const addresses = [
    "127.0.0.1",
    "127.0.0.1:3000",
    "10.0.0.7",
    "0.0.0.0",
    "999.999.999.999",
    "127.0.0.1.",
    "127.0.0.1.:80",
    "[::1]",
    "[::1]:3000",
    "[2001:DB8::1]",
    "[::ffff:127.0.0.1]:80",
  ];
  for (const host of addresses) {
    test(`host: ${host} is an address`, () => {
      expect(readHost(host)).toEqual({ kind: "address" });
    });
  }

  const invalid: readonly (string | null)[] = [
    null,
    "",
    " ",
    ".",
    ".example.com",
    ":80",
    "shop:port",
    "shop:-1",
    "shop:123456",
    "shop:80:80",
    "shop, blog",
    "shop,blog",
    "shop blog",
    " shop",
    "shop\t",
    "shop\n",
    "shop\r\nX: y",
    "shop\u0000",
    "shop/path",
    "shop?x",
    "shop#x",
    "user@shop",
    "user:secret@shop.example",
    "http://shop",
    "shop%2eexample.com",
    "shop%00",
    "sh\u00f6p.example",
    "::1",
    "[::1",
    "::1]",
    "[]",
    "[shop]",
    "[::1]x",
    "[::1]:x",
    "[fe80::1%25eth0]",
    "*",
    "*.example.com",
    "a\\b",
    "$1",
    `${"a".repeat(64)}.example`,
    `shop.${"a".repeat(300)}`,
    "a.".repeat(100_000),
  ];
  for (const host of invalid) {
    test(`host: ${JSON.stringify(host)?.slice(0, 40)} is not usable, and says why`, () => {
      const read = readHost(host);
      if (read.kind !== "invalid") throw new Error(`it is a ${read.kind}`);
      expect(read.why).not.toBe("");
      // It goes into an answer and into the log.
      expect(read.why.length).toBeLessThan(200);
    });
  }
});

/** A router over apps that are their own keys, and how often a key was looked for. */
function routerOver(
  apps: Set<string>,
  options: { defaultKey?: string; keyOf?: (label: string) => string } = {},
) {
  let looked = 0;
  const router = createRouter<string>({
    find(key) {
      looked += 1;
      return apps.has(key) ? key : null;
    },
    keyOf: options.keyOf ?? ((label) => label),
    defaultKey: options.defaultKey ?? null,
  });
  return { router, looked: () => looked };
}

describe("router", () => {
  test("router: a host that leads to an app is looked up once", () => {
    const { router, looked } = routerOver(new Set(["shop"]));
    for (let n = 0; n < 3; n += 1) {
      expect(router.match("shop.example")).toEqual({ kind: "app", app: "shop" });
    }
    expect(looked()).toBe(1);
  });

  test("router: an unknown label is not remembered: the app may come", () => {
    const apps = new Set<string>();
    const { router } = routerOver(apps);
    expect(router.match("shop.example")).toEqual({ kind: "unknown", label: "shop" });
    apps.add("shop");
    expect(router.match("shop.example")).toEqual({ kind: "app", app: "shop" });
  });

  test("router: after a reset a removed app is found no more", () => {
    const apps = new Set(["shop"]);
    const { router } = routerOver(apps);
    router.match("shop");
    apps.clear();
    router.reset();
    expect(router.match("shop")).toEqual({ kind: "unknown", label: "shop" });
  });

  test("router: the default app answers for addresses and unknown labels, not for bad hosts", () => {
    const { router } = routerOver(new Set(["home", "shop"]), { defaultKey: "home" });
    for (const host of ["127.0.0.1", "[::1]:80", "nobody.example"]) {
      expect(router.match(host)).toEqual({ kind: "app", app: "home" });
    }
    expect(router.match("shop")).toEqual({ kind: "app", app: "shop" });
    for (const host of ["a,b", "", null, "x@y"]) expect(router.match(host).kind).toBe("invalid");
  });

  test("router: without a default app, or with one that is not there, an address leads nowhere", () => {
    for (const options of [{}, { defaultKey: "gone" }]) {
      const { router } = routerOver(new Set(["shop"]), options);
      expect(router.match("10.0.0.1")).toEqual({ kind: "unknown", label: null });
    }
  });

  test("router: a label stands for the key that rules give it", () => {
    const keyOf = (label: string) => (label === "store" ? "shop" : label);
    const { router } = routerOver(new Set(["shop"]), { keyOf });
    expect(router.match("STORE.example:80")).toEqual({ kind: "app", app: "shop" });
  });

  test("router: a label whose mapped key is no app is told as the client wrote it", () => {
    const { router } = routerOver(new Set(), { keyOf: () => "secret-name" });
    expect(router.match("store")).toEqual({ kind: "unknown", label: "store" });
  });

  test("router: a label is looked up once, whatever stands behind it", () => {
    const { router, looked } = routerOver(new Set(["shop"]));
    for (let n = 0; n < 100; n += 1) {
      expect(router.match(`shop.${n}.example:${n}`).kind).toBe("app");
    }
    expect(looked()).toBe(1);
  });

  test("router: unknown and invalid hosts take no place in memory", () => {
    const { router, looked } = routerOver(new Set(["shop"]));
    for (let n = 0; n < 10_100; n += 1) {
      router.match(`no-${n}.example`);
      router.match(`no ${n}`);
    }
    router.match("shop.example");
    const before = looked();
    router.match("shop.example");
    expect(looked()).toBe(before);
  });
});
