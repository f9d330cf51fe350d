/** The fake Clever Cloud's router: who is led where, what "not up" looks like, TLS. */

import { describe, expect, test } from "bun:test";
import { get } from "node:http";
import { connectRaw } from "../support/raw-client.ts";
import { ROUTER_CA } from "./fake-clever-cloud-certificate.ts";
import { pathOf, startWorld } from "./fake-clever-cloud-world.ts";

const TRUST = { tls: { ca: ROUTER_CA } };

/** A request by `node:http` as it ends: a status, or the code of an error. */
function getByNode(port: string, host: string): Promise<number | string> {
  return new Promise((resolve) => {
    get({ port, host: "127.0.0.1", headers: { host } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode ?? 0);
    }).on("error", (error) => resolve("code" in error ? String(error.code) : error.message));
  });
}

describe("addresses", () => {
  test("vhosts: several, a favourite, with a path, a star; any of them leads to the app", async () => {
    await using world = await startWorld();
    const { clever } = world;
    const app = clever.addApp("demo");
    const [own = ""] = app.vhosts;
    for (const one of ["www.example.localhost/", "example.localhost/api", "*.wild.localhost/"]) {
      app.addVhost(one);
    }
    const { port } = new URL(clever.addressOf(app));
    const vhosts = (await world.call(pathOf(app, "/vhosts"))).body;
    expect(vhosts.map((vhost: Record<string, string>) => vhost.fqdn)).toEqual([
      own.replace("/", `:${port}/`),
      `www.example.localhost:${port}/`,
      `example.localhost:${port}/api`,
      `*.wild.localhost:${port}/`,
    ]);
    expect((await world.call(pathOf(app))).body.vhosts).toEqual(vhosts);
    app.setFavourite("www.example.localhost/");
    const favourite = await world.call(pathOf(app, "/vhosts/favourite"));
    expect(favourite.body).toEqual({ fqdn: `www.example.localhost:${port}/` });
    for (const name of ["www.example", "example", "any.wild"]) {
      const answer = await fetch(`http://${name}.localhost:${port}/api/x`);
      expect(await answer.json()).toMatchObject({ app: "demo", path: "/api/x" });
    }
    expect((await fetch(`http://wild.localhost:${port}/`)).status).toBe(404);
    expect(clever.appRequests(app)).toBe(2);
    expect(() => app.setFavourite("nobody.localhost/")).toThrow();
  });

  test("the owner may take the app's own address away, and every other", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { vhosts: ["www.example.localhost/"] });
    expect((await world.visit(app)).status).toBe(200);
    app.setFavourite("www.example.localhost/");
    app.removeVhost("www.example.localhost/");
    expect((await world.call(pathOf(app))).body.vhosts).toEqual([]);
    expect((await world.call(pathOf(app, "/vhosts/favourite"))).body.id).toBe(4021);
    expect(() => world.clever.addressOf(app)).toThrow();
  });
});

describe("not up", () => {
  test("is 404 with X-CleverCloudUpgrade; a host that leads nowhere is 404 without", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo", { is: "down" });
    const { status, headers, text } = await world.visit(app);
    expect([status, headers.get("x-clevercloudupgrade")]).toEqual([404, "true"]);
    expect([headers.get("content-type"), text.length > 0]).toEqual([
      "text/html; charset=utf-8",
      true,
    ]);
    expect(world.clever.downPages(app)).toBe(1);
    const { port } = new URL(world.clever.addressOf(app));
    const nobody = await fetch(`http://nobody.localhost:${port}/`);
    expect([nobody.status, nobody.headers.get("x-clevercloudupgrade")]).toEqual([404, null]);
  });

  test("may have bare line feeds, byte for byte", async () => {
    await using world = await startWorld({ hasBareLineFeeds: true });
    const app = world.clever.addApp("demo", { is: "down" });
    const { port, hostname } = new URL(world.clever.addressOf(app));
    using client = await connectRaw(Number(port));
    client.send(`GET / HTTP/1.1\r\nHost: ${hostname}:${port}\r\n\r\n`);
    await client.until(() => client.isClosed);
    expect(client.received).toStartWith("HTTP/1.1 404 Not Found\n");
    expect(client.received).toContain("\nX-CleverCloudUpgrade: true\n");
    expect(client.received).not.toContain("\r");
    expect(await getByNode(port, hostname)).toBe("HPE_CR_EXPECTED");
    const { status, headers } = await world.visit(app);
    expect([status, headers.get("x-clevercloudupgrade")]).toEqual([404, "true"]);
    expect(world.clever.downPages(app)).toBe(3);
  });

  test("with bare line feeds the app is well-formed when it is up, WebSockets too, and a kept connection ends with it", async () => {
    await using world = await startWorld({ hasBareLineFeeds: true });
    const app = world.clever.addApp("demo");
    const { port, hostname, host } = new URL(world.clever.addressOf(app));
    expect(await getByNode(port, hostname)).toBe(200);
    const socket = new WebSocket(`ws://${host}/`);
    const greeting = await new Promise((resolve) => {
      socket.addEventListener("message", ({ data }) => resolve(data), { once: true });
    });
    expect(greeting).toBe("hello from demo");
    socket.close();
    using client = await connectRaw(Number(port));
    client.send(`GET /a HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    expect((await client.answer()).status).toBe(200);
    expect(client.isClosed).toBe(false);
    await world.stop(app);
    await client.until(() => client.isClosed);
    expect((await world.visit(app)).headers.get("x-clevercloudupgrade")).toBe("true");
  });
});

describe("TLS", () => {
  test("apps are at https addresses that the fake's CA vouches for, up and down", async () => {
    await using world = await startWorld({ scheme: "https" });
    const app = world.clever.addApp("demo");
    app.addVhost("www.example.localhost/");
    const address = world.clever.addressOf(app);
    expect(address).toStartWith("https://app-");
    const [{ fqdn }, { fqdn: custom }] = (await world.call(pathOf(app, "/vhosts"))).body;
    for (const name of [fqdn, custom]) {
      const answer = await fetch(`https://${name}`, { ...TRUST, keepalive: false });
      expect(await answer.json()).toMatchObject({ app: "demo", host: name.replace("/", "") });
    }
    await expect(fetch(address, { keepalive: false })).rejects.toThrow();
    await world.stop(app);
    const page = await fetch(address, { ...TRUST, keepalive: false });
    expect([page.status, page.headers.get("x-clevercloudupgrade")]).toEqual([404, "true"]);
  });

  test("with bare line feeds too", async () => {
    await using world = await startWorld({ scheme: "https", hasBareLineFeeds: true });
    const app = world.clever.addApp("demo", { is: "down" });
    const page = await fetch(world.clever.addressOf(app), { ...TRUST, keepalive: false });
    expect([page.status, page.headers.get("x-clevercloudupgrade")]).toEqual([404, "true"]);
    app.beginDeploy();
    app.finishDeploy();
    const answer = await fetch(world.clever.addressOf(app), { ...TRUST, keepalive: false });
    expect(answer.status).toBe(200);
  });
});
