import { describe, expect, test } from "bun:test";
import { targetOf } from "../src/app.ts";
import { createTrust, plainAddress } from "../src/client-address.ts";
import {
  CLIENT_CLAIMS,
  dropHopByHop,
  editAnswerHeaders,
  type Forwarding,
  isClientClaim,
  type Leg,
  namedByConnection,
  publicAddressOf,
  setDestination,
  setForwarded,
  toPublicCookie,
  toPublicRefresh,
  toPublicUrl,
} from "../src/headers.ts";

const target = targetOf("http://127.0.0.1:8081");
const leg: Leg = {
  public: { scheme: "https", host: "shop.example:8443", port: "8443" },
  target,
  host: target.host,
};

describe("hop-by-hop", () => {
  test("headers: what belongs to one connection stays behind, the rest travels", () => {
    const headers = new Headers({
      connection: "close, X-Mine",
      "keep-alive": "timeout=5",
      te: "trailers",
      trailer: "x",
      "transfer-encoding": "chunked",
      upgrade: "h2c",
      expect: "100-continue",
      "proxy-authorization": "Basic x",
      "proxy-connection": "keep-alive",
      "x-mine": "1",
      accept: "text/html",
      cookie: "a=1",
    });
    dropHopByHop(headers);
    expect(headers.toJSON()).toEqual({ accept: "text/html", cookie: "a=1" });
  });

  test("headers: Connection cannot remove who asks, for what, or where the message ends", () => {
    const named =
      "Host, Content-Length, Authorization, Cookie, X-Forwarded-For, X-Real-IP, Forwarded, Via, Cache-Control, Origin, Set-Cookie";
    expect(namedByConnection(named)).toEqual([]);
    expect(namedByConnection("close, , X-A,x-b, not a token")).toEqual(["close", "x-a", "x-b"]);
  });
});

describe("forwarded", () => {
  const forwarding = (trusted: boolean, enabled = true): Forwarding => ({
    peer: { address: "203.0.113.9", trusted },
    public: { scheme: "http", host: "shop.example", port: "80" },
    enabled,
    requestId: null,
    newRequestId: () => "new-id",
  });
  const claims = {
    "x-forwarded-for": "10.9.9.9",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "evil.example",
    "x-forwarded-port": "1",
    "x-real-ip": "10.9.9.9",
    forwarded: "for=10.9.9.9",
    "x-forwarded-prefix": "/admin",
  };

  test("headers: an untrusted client's claims are replaced", () => {
    const headers = new Headers(claims);
    setForwarded(headers, forwarding(false));
    expect(headers.toJSON()).toEqual({
      "x-forwarded-for": "203.0.113.9",
      "x-forwarded-proto": "http",
      "x-forwarded-host": "shop.example",
      "x-forwarded-port": "80",
      "x-request-id": "new-id",
      via: "1.1 paastis",
    });
  });

  test("headers: a request id is kept, or made once and used for every attempt", () => {
    let made = 0;
    const own = { ...forwarding(false), newRequestId: () => `made-${++made}` };
    const kept = new Headers({ "x-request-id": "the client's" });
    setForwarded(kept, own);
    expect([kept.get("x-request-id"), made]).toEqual(["the client's", 0]);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const headers = new Headers();
      setForwarded(headers, own);
      expect(headers.get("x-request-id")).toBe("made-1");
    }
  });

  const names = [
    ...CLIENT_CLAIMS,
    ...CLIENT_CLAIMS.map((name) => name.replaceAll("-", "_")),
    "X_Forwarded-For",
    "X-FORWARDED_HOST",
  ];
  test.each(names)("headers: an untrusted client cannot claim anything by %s", (name) => {
    const headers = new Headers({ [name]: "evil", "x-own": "1", x_own_too: "2" });
    setForwarded(headers, forwarding(false));
    expect(Object.values(headers.toJSON())).not.toContain("evil");
    expect([headers.get("x-own"), headers.get("x_own_too")]).toEqual(["1", "2"]);
  });

  test("headers: every name that apps are known to take a client's address, scheme or URL from is a claim", () => {
    const known =
      "x-client-ip true-client-ip cf-connecting-ip x-cluster-client-ip x-original-url x-rewrite-url " +
      "x-original-host x-host x-forwarded-server x-forwarded-scheme x-forwarded-ssl x-scheme front-end-https";
    for (const name of known.split(" ")) expect([name, isClientClaim(name)]).toEqual([name, true]);
  });

  test("headers: a trusted proxy's claims are kept and ours appended", () => {
    const headers = new Headers({ ...claims, via: "1.1 front" });
    const header = (name: string) => headers.get(name);
    const trusted = { ...forwarding(true), public: publicAddressOf(header, OWN, true) };
    setForwarded(headers, trusted);
    expect(headers.toJSON()).toEqual({
      "x-forwarded-for": "10.9.9.9, 203.0.113.9",
      "x-forwarded-proto": "https",
      "x-forwarded-host": "evil.example",
      "x-forwarded-port": "1",
      "x-forwarded-prefix": "/admin",
      "x-real-ip": "10.9.9.9",
      "x-request-id": "new-id",
      forwarded: "for=10.9.9.9, for=203.0.113.9",
      via: "1.1 front, 1.1 paastis",
    });
  });

  test("headers: switched off, nothing is added and an untrusted client's claims are still removed", () => {
    const headers = new Headers(claims);
    setForwarded(headers, forwarding(false, false));
    expect(headers.toJSON()).toEqual({});
  });

  const OWN = { scheme: "http", host: "shop.example:3000" } as const;

  test("headers: the public address is the Host, or what a trusted proxy says", () => {
    const claimed = (name: string) =>
      ({ "x-forwarded-proto": "https, http", "x-forwarded-host": "a.example, b" })[name] ?? null;
    const untrusted = { scheme: "http", host: "shop.example:3000", port: "3000" } as const;
    expect(publicAddressOf(claimed, OWN, false)).toEqual(untrusted);
    expect(publicAddressOf(() => null, OWN, true)).toEqual(untrusted);
    const trusted = { scheme: "https", host: "a.example", port: "443" } as const;
    expect(publicAddressOf(claimed, OWN, true)).toEqual(trusted);
  });

  test("headers: an IPv6 client is quoted in Forwarded", () => {
    const headers = new Headers({ forwarded: "for=a" });
    setForwarded(headers, { ...forwarding(true), peer: { address: "2001:db8::1", trusted: true } });
    expect(headers.get("forwarded")).toBe('for=a, for="[2001:db8::1]"');
  });
});

describe("destination", () => {
  const cases: readonly [origin: string | null, leg: Leg, expected: string | null][] = [
    ["https://shop.example:8443", leg, "http://127.0.0.1:8081"],
    ["http://SHOP.example:8443", leg, "http://127.0.0.1:8081"],
    [
      "https://shop.example:8443",
      { ...leg, host: "shop.example:8443" },
      "https://shop.example:8443",
    ],
    ["https://other.example", leg, "https://other.example"],
    ["null", leg, "null"],
    [null, leg, null],
  ];
  test.each(cases)(
    "headers: Origin %p becomes the target's only where it is our own",
    (origin, to, expected) => {
      const headers = new Headers(origin === null ? {} : { origin });
      setDestination(headers, to, origin);
      expect(headers.get("origin")).toBe(expected);
      expect(headers.get("host")).toBe(to.host);
    },
  );

  test("headers: a second attempt at another target starts from the client's own Origin", () => {
    const origin = "https://shop.example:8443";
    const headers = new Headers({ origin });
    setDestination(headers, leg, origin);
    const second = targetOf("https://other.internal");
    setDestination(headers, { ...leg, target: second, host: second.host }, origin);
    expect(headers.toJSON()).toEqual({ host: "other.internal", origin: "https://other.internal" });
  });
});

describe("answers", () => {
  const platform: Leg = {
    public: { scheme: "https", host: "shop.example", port: "443" },
    target: targetOf("https://x.platform.example"),
    host: "x.platform.example",
  };
  const urls: readonly [url: string, leg: Leg, expected: string][] = [
    ["http://127.0.0.1:8081/login?next=/a", leg, "https://shop.example:8443/login?next=/a"],
    ["http://127.0.0.1:8081", leg, "https://shop.example:8443"],
    ["HTTP://127.0.0.1:8081/x", leg, "https://shop.example:8443/x"],
    ["https://127.0.0.1:8081/secure", leg, "https://shop.example:8443/secure"],
    ["//127.0.0.1:8081/x", leg, "//shop.example:8443/x"],
    ["/login", leg, "/login"],
    ["login?next=http://127.0.0.1:8081/", leg, "login?next=http://127.0.0.1:8081/"],
    ["https://elsewhere.example/", leg, "https://elsewhere.example/"],
    ["http://127.0.0.1:80810/", leg, "http://127.0.0.1:80810/"],
    ["http://127.0.0.1:8081.evil.example/", leg, "http://127.0.0.1:8081.evil.example/"],
    ["https://x.platform.example:443/a", platform, "https://shop.example/a"],
    ["http://x.platform.example/a", platform, "http://shop.example/a"],
    ["", leg, ""],
  ];
  test.each(urls)("headers: Location %p", (url, from, expected) => {
    expect(toPublicUrl(url, from)).toBe(expected);
  });

  test("headers: Refresh with a URL of the target points at the public address", () => {
    expect(toPublicRefresh("5; url=http://127.0.0.1:8081/x", leg)).toBe(
      "5; url=https://shop.example:8443/x",
    );
    expect(toPublicRefresh('0;URL="http://127.0.0.1:8081/x"', leg)).toBe(
      '0;URL="https://shop.example:8443/x"',
    );
    expect(toPublicRefresh("5", leg)).toBe("5");
  });

  const cookies: readonly [cookie: string, expected: string][] = [
    ["a=1; Domain=127.0.0.1; Path=/", "a=1; Domain=shop.example; Path=/"],
    ["a=1; Path=/; domain=.127.0.0.1", "a=1; Path=/; domain=shop.example"],
    ["a=1; Domain=example.com", "a=1; Domain=example.com"],
    ["a=domain=127.0.0.1; Path=/", "a=domain=127.0.0.1; Path=/"],
    ["a=1", "a=1"],
  ];
  test.each(cookies)("headers: Set-Cookie %p", (cookie, expected) => {
    expect(toPublicCookie(cookie, leg)).toBe(expected);
  });

  test("headers: an answer keeps its cookies apart and loses only what is the connection's", () => {
    const headers = new Headers({
      location: "http://127.0.0.1:8081/",
      connection: "x-a",
      "x-a": "1",
    });
    headers.append("set-cookie", "a=1; Domain=127.0.0.1");
    headers.append("set-cookie", "b=2");
    editAnswerHeaders(headers, leg);
    expect(headers.get("location")).toBe("https://shop.example:8443/");
    expect(headers.getSetCookie()).toEqual(["a=1; Domain=shop.example", "b=2"]);
    expect(headers.has("x-a")).toBe(false);
  });
});

describe("client address", () => {
  test("client address: IPv4 of a dual-stack listener is read as IPv4", () => {
    expect(plainAddress("::ffff:10.0.0.1")).toBe("10.0.0.1");
    expect(plainAddress("2001:db8::1")).toBe("2001:db8::1");
  });

  test("client address: addresses and CIDRs of both families are trusted, others are not", () => {
    const isTrusted = createTrust(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]);
    for (const address of ["10.1.2.3", "192.0.2.7", "2001:db8:1::2"]) {
      expect([address, isTrusted(address)]).toEqual([address, true]);
      expect([address, isTrusted(address)]).toEqual([address, true]);
    }
    for (const address of ["11.0.0.1", "192.0.2.8", "2001:db9::1", "", "nonsense"]) {
      expect([address, isTrusted(address)]).toEqual([address, false]);
    }
    expect(createTrust([])("127.0.0.1")).toBe(false);
  });
});
