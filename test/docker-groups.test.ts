/** Which containers are one app, what it is called, who serves it, and in which order its members come and go. */

import { describe, expect, test } from "bun:test";
import { type DockerApp, groupContainers } from "../src/providers/docker-groups.ts";
import type { Container } from "../src/providers/docker-json.ts";
import {
  inOrder,
  neededNow,
  needsIn,
  servingByLabel,
  servingByPorts,
  toSleep,
  toWake,
} from "../src/providers/docker-order.ts";
import { composed, containerOf } from "./support/docker-containers.ts";

const PORT = { "paastis.port": "8080" };

function keysOf(containers: readonly Container[]): Record<string, string[]> {
  const apps = groupContainers(containers);
  return Object.fromEntries(apps.map(({ key, members }) => [key, members.map(({ name }) => name)]));
}

function appOf(containers: readonly Container[]): DockerApp {
  const [app, ...others] = groupContainers(containers);
  if (app === undefined || others.length > 0) throw new Error("not one app");
  return app;
}

/** The needs of an app, and who serves it. */
function orderOf(app: DockerApp) {
  const serving = servingByLabel(app);
  if (serving?.kind !== "member") throw new Error("nobody serves it");
  return { serving: serving.member, needs: needsIn(app, serving.member) };
}

describe("docker groups", () => {
  test("a container is an app, by its name", () => {
    expect(keysOf([containerOf("My_App.1"), containerOf("other")])).toEqual({
      "my-app-1": ["My_App.1"],
      other: ["other"],
    });
  });

  test("containers of one name are one app, also of several projects", () => {
    const labels = { "paastis.name": "shop" };
    const containers = [
      containerOf("one", { labels }),
      composed("p", "web", { labels }),
      composed("q", "web"),
    ];
    expect(keysOf(containers)).toEqual({ shop: ["one", "p/web/1"], q: ["q/web/1"] });
  });

  test("a Compose project is one app, by its name, and by that of the service that serves it", () => {
    const app = appOf([composed("shop", "web", { labels: PORT }), composed("shop", "db")]);
    expect([app.id, app.key, app.aliases]).toEqual(["project/shop", "shop", ["web-shop"]]);
    expect(app.members.map(({ name }) => name)).toEqual(["shop/db/1", "shop/web/1"]);
  });

  test("several services of a project with a port are apps of their own", () => {
    const apps = groupContainers([
      composed("home", "music", { labels: PORT }),
      composed("home", "films", { labels: PORT }),
    ]);
    expect(apps.map(({ id, key }) => [id, key])).toEqual([
      ["project/home/films", "films-home"],
      ["project/home/music", "music-home"],
    ]);
  });

  test("several containers of one service are one app", () => {
    const two = [1, 2, 10].map((number) => composed("shop", "web", { labels: PORT, number }));
    expect(keysOf(two)).toEqual({ shop: ["shop/web/1", "shop/web/2", "shop/web/10"] });
  });

  test("what docker compose run makes is no app", () => {
    const labels = { "com.docker.compose.oneoff": "True" };
    expect(keysOf([composed("shop", "web"), composed("shop", "job", { labels })])).toEqual({
      shop: ["shop/web/1"],
    });
  });

  test("an app is the same after its containers were re-created", () => {
    const before = appOf([composed("shop", "web")]);
    const after = appOf([composed("shop", "web", { id: "another", createdMs: 1 })]);
    expect(after.id).toBe(before.id);
    expect(after.members[0]?.name).toBe(before.members[0]?.name ?? "");
  });

  test("while a container stands beside its successor, the one that is up counts", () => {
    const old = composed("shop", "web", { id: "old", createdMs: 1 });
    const fresh = composed("shop", "web", { id: "new", createdMs: 2, status: "created" });
    for (const both of [
      [old, fresh],
      [fresh, old],
    ]) {
      const app = appOf(both);
      expect([app.isReplaced, app.members[0]?.container.id]).toEqual([true, "old"]);
    }
    const ended = { ...old, status: "exited" };
    expect(appOf([ended, fresh]).members[0]?.container.id).toBe("new");
    expect(appOf([old]).isReplaced).toBe(false);
  });

  test("a successor under its first name is known by it, without Compose too", () => {
    const old = containerOf("demo");
    const fresh = containerOf("0123456789ab_demo", { status: "created" });
    const app = appOf([old, fresh]);
    expect([app.id, app.isReplaced]).toEqual(["container/demo", true]);
  });

  test("keys are unique: names go first, then projects, and who gives way is told", () => {
    const apps = groupContainers([
      containerOf("shop"),
      containerOf("SHOP"),
      composed("shop", "web"),
      containerOf("x", { labels: { "paastis.name": "shop" } }),
    ]);
    expect(apps.map(({ id, key }) => [id, key])).toEqual([
      ["name/shop", "shop"],
      ["project/shop", "shop-2"],
      ["container/SHOP", "shop-3"],
      ["container/shop", "shop-4"],
    ]);
    expect(apps.map(({ problems }) => problems.length)).toEqual([0, 1, 1, 1]);
    expect(apps[1]?.problems[0]).toContain("name it with paastis.name");
  });

  test("the settings of the serving container come before those of the others", () => {
    const { mode, settings } = appOf([
      composed("shop", "api", {
        labels: { "paastis.max_idle_time": "5", "paastis.health": "/a", "paastis.mode": "stop" },
      }),
      composed("shop", "web", {
        labels: { ...PORT, "paastis.max_idle_time": "7", "paastis.mode": "pause" },
      }),
    ]);
    expect({ mode, settings }).toEqual({
      mode: "pause",
      settings: { maxIdleMinutes: 7, health: "/a" },
    });
  });
});

describe("docker order", () => {
  const shop = [
    composed("shop", "web", {
      labels: PORT,
      dependsOn: "api:service_started:false,migrate:service_completed_successfully:false",
    }),
    composed("shop", "api", { dependsOn: "db:service_healthy:false" }),
    composed("shop", "migrate", { dependsOn: "db:service_healthy:false" }),
    composed("shop", "db"),
    composed("shop", "worker", { dependsOn: "db:service_started:false" }),
  ];
  const nameOf = (service: string) => `shop/${service}/1`;

  test("the one with a port serves, and of several that do the same one that is up", () => {
    expect(orderOf(appOf(shop)).serving.name).toBe(nameOf("web"));
    const down = composed("shop", "web", { labels: PORT, status: "exited" });
    const up = composed("shop", "web", { labels: PORT, number: 2 });
    expect(orderOf(appOf([down, up])).serving.name).toBe("shop/web/2");
    const both = [down, { ...up, status: "exited" }];
    expect(orderOf(appOf(both)).serving.name).toBe(nameOf("web"));
  });

  test("without a label the only one with a usable port serves", () => {
    const port = { publicPort: null, hostIp: "" };
    const app = appOf([
      composed("shop", "web", { ports: [{ ...port, privatePort: 80, isPublished: true }] }),
      composed("shop", "db", { ports: [{ ...port, privatePort: 5432, isPublished: false }] }),
    ]);
    expect(servingByLabel(app)).toBeNull();
    const portsOf = (member: DockerApp["members"][number]) => member.container.ports;
    const published = servingByPorts(app, portsOf, () => false);
    expect(published).toMatchObject({ kind: "member", member: { name: nameOf("web") } });
    expect(servingByPorts(app, portsOf, () => true)).toMatchObject({
      kind: "unclear",
      why: expect.stringContaining("several of its containers have ports: shop-db-1, shop-web-1"),
    });
    expect(
      servingByPorts(
        app,
        () => [],
        () => true,
      ),
    ).toMatchObject({
      why: expect.stringContaining("none of its containers has a usable port"),
    });
  });

  test("several of one name with a port each are unclear", () => {
    const labels = { ...PORT, "paastis.name": "pair" };
    const app = appOf([containerOf("a", { labels }), containerOf("b", { labels })]);
    expect(servingByLabel(app)).toMatchObject({
      kind: "unclear",
      why: expect.stringContaining("a, b"),
    });
  });

  test("a wake goes from what is needed to what needs it", () => {
    const app = appOf(shop);
    const order = orderOf(app);
    expect(toWake(app, { ...order, snapshot: null })).toEqual(
      ["db", "api", "migrate", "web", "worker"].map(nameOf),
    );
    const snapshot = { kind: "members", ids: [nameOf("web")], mode: "stop" } as const;
    expect(toWake(app, { ...order, snapshot })).toEqual(
      ["db", "api", "migrate", "web"].map(nameOf),
    );
    const gone = { kind: "members", ids: ["shop/cache/1"], mode: "stop" } as const;
    expect(toWake(app, { ...order, snapshot: gone })).toContain(nameOf("web"));
  });

  test("a sleep goes the other way, over what the snapshot names", () => {
    const app = appOf(shop);
    const order = orderOf(app);
    expect(toSleep(app, { ...order, snapshot: { kind: "none" } })).toEqual(
      ["web", "worker", "migrate", "api", "db"].map(nameOf),
    );
    const ids = [nameOf("db"), nameOf("web"), "shop/cache/1"];
    const snapshot = { kind: "members", ids, mode: "stop" } as const;
    expect(toSleep(app, { ...order, snapshot })).toEqual([nameOf("web"), nameOf("db")]);
  });

  test("an app is up with its serving container and all that must go on for it", () => {
    const { serving, needs } = orderOf(appOf(shop));
    expect(neededNow(serving, needs)).toEqual(["db", "api", "web"].map(nameOf));
  });

  test("where Compose says nothing of needs there are none; of others all come first", () => {
    const silent = orderOf(appOf([composed("p", "web", { labels: PORT }), composed("p", "job")]));
    expect(neededNow(silent.serving, silent.needs)).toEqual(["p/web/1"]);
    const labels = { "paastis.name": "pair" };
    const pair = [
      containerOf("a", { labels: { ...labels, ...PORT } }),
      containerOf("b", { labels }),
    ];
    const plain = orderOf(appOf(pair));
    expect(neededNow(plain.serving, plain.needs)).toEqual(["b", "a"]);
  });

  test("a circle is cut, and what is not there is passed over", () => {
    const needs = new Map(
      Object.entries({ a: ["b"], b: ["c", "nowhere"], c: ["a"] }).map(([name, all]) => [
        name,
        all.map((member) => ({ member, condition: "started" }) as const),
      ]),
    );
    expect(inOrder(["a"], needs)).toEqual(["c", "b", "a"]);
    expect(inOrder(["nowhere"], needs)).toEqual([]);
  });
});
