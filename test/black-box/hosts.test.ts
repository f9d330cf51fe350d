/** Hosts that try to reach something that is no app go nowhere. */

import { describe, expect, test } from "bun:test";
import { HOST, testPaastis, useProxy } from "../support/proxy-under-test.ts";
import { attack } from "../support/proxy-under-test-attack.ts";

const proxy = useProxy();
const get = (host: string) => `GET / HTTP/1.1\r\nHost: ${host}\r\n\r\n`;

describe("hosts", () => {
  const nowhere = [
    "localhost",
    "localhost:3000",
    "LOCALHOST",
    "localhost.",
    "localhost.localdomain",
    "127.0.0.1",
    "127.1",
    "0.0.0.0",
    "0x7f000001",
    "2130706433",
    "017700000001",
    "0x7f.1",
    "10.0.0.7",
    "169.254.169.254",
    "169.254.169.254:80",
    "169.254.169.254.nip.io",
    "[::1]",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "metadata",
    "kubernetes.default.svc",
    "app.evil",
    "evil.shop.test",
    "evil.shop",
    "www.shop.test",
    "shop-evil.test",
    "shopp.test",
    "sho.test",
    "xn--shop.test",
    "shop_.test",
    "__proto__",
    "constructor.test",
    "hasOwnProperty",
    "_.test",
    "-",
  ];
  testPaastis.each(nowhere)("%p is no app, and goes nowhere", async (host) => {
    const { status, requests, received } = await attack(proxy, get(host));
    expect([status, requests.length]).toEqual([404, 0]);
    expect(received).toMatch(/\r\npaastis-error: unknown_app\r\n/i);
    expect(proxy.trap.connections).toHaveLength(0);
  });

  const invalid = [
    ".",
    "..",
    ".shop.test",
    "shop%2etest",
    "shop%2Etest",
    "shop%00.test",
    "shop\u3002test".replace("\u3002", "\xe3\x80\x82"),
    "shop.test@evil.test",
    "evil.test@shop.test",
    "user:pass@shop.test",
    "shop.test:80:80",
    "shop.test:-1",
    "shop.test:+80",
    "shop.test:65536",
    "shop.test:0x50",
    "shop.test:http",
    "shop.test/../../etc",
    "shop.test\\evil",
    "shop.test evil.test",
    "shop.test\tevil",
    "shop.test,evil.test",
    "shop.test;evil",
    "*.test",
    "shop*",
    "$(id).test",
    "[::1",
    "::1",
    "[::1%25eth0]",
    "[shop.test]",
    `${"a".repeat(64)}.test`,
  ];
  testPaastis.each(invalid)("%p is no host, and is refused", async (host) => {
    const { status, requests, received } = await attack(proxy, get(host));
    expect([status, requests.length]).toEqual([400, 0]);
    expect(received).toMatch(/\r\npaastis-error: invalid_(host|request)\r\n/i);
  });

  const own = [
    "shop.test",
    "SHOP.Test",
    "shop",
    "shop.",
    "shop.test.",
    "shop.test:80",
    "shop.test:",
    "shop:1",
  ];
  testPaastis.each(own)("%p reaches its app, and says the app's own Host there", async (host) => {
    const { status, requests } = await attack(proxy, get(host));
    expect([status, requests.length]).toEqual([200, 1]);
    expect(requests[0]?.all("host")).toEqual([proxy.upstream.host]);
  });

  const foreign = [
    "shop.evil.test",
    "shop.169.254.169.254.nip.io",
    "shop.localhost",
    "shop.internal",
  ];
  testPaastis.each(foreign)(
    "the labels behind the first one of %p name nobody else",
    async (host) => {
      const { requests } = await attack(proxy, get(host));
      for (const request of requests) expect(request.all("host")).toEqual([proxy.upstream.host]);
      expect(proxy.trap.connections).toHaveLength(0);
    },
  );

  test("an X-Forwarded-Host of a client's leads nowhere else", async () => {
    const bytes = `GET / HTTP/1.1\r\nHost: ${HOST}\r\nX-Forwarded-Host: evil.test\r\nForwarded: host=evil.test\r\n\r\n`;
    const { requests } = await attack(proxy, bytes);
    expect(requests.map((request) => request.all("host"))).toEqual([[proxy.upstream.host]]);
  });

  testPaastis("a target with a host that is no app goes nowhere", async () => {
    const bytes = "GET http://169.254.169.254/latest HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n";
    const { status, requests } = await attack(proxy, bytes);
    expect([status, requests.length]).toEqual([404, 0]);
  });
});
