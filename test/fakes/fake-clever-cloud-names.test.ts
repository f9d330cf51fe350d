/** Every object that the fake Clever Cloud says has the documented names. */

import { describe, expect, test } from "bun:test";
import { pathOf, pathV4Of, startWorld } from "./fake-clever-cloud-world.ts";

const NAMES: Readonly<Record<string, readonly string[]>> = {
  summary: ["user", "organisations"],
  user: ["id", "name", "applications"],
  organisation: ["id", "name", "role", "applications"],
  summaryApp: [
    "id",
    "name",
    "instanceType",
    "variantSlug",
    "state",
    "commit",
    "archived",
    "homogeneous",
  ],
  app: [
    "id",
    "name",
    "ownerId",
    "zone",
    "state",
    "homogeneous",
    "archived",
    "vhosts",
    "instance",
    "deployment",
    "forceHttps",
    "last_deploy",
    "creationDate",
  ],
  vhost: ["fqdn"],
  size: ["minInstances", "maxInstances", "minFlavor", "maxFlavor", "lifetime"],
  flavor: ["name"],
  source: ["shutdownable", "type", "repoState", "url", "httpUrl"],
  deployment: ["id", "uuid", "date", "state", "action", "commit", "cause", "instances", "author"],
  author: ["id", "name"],
  instance: [
    "id",
    "appId",
    "ip",
    "appPort",
    "state",
    "flavor",
    "deployId",
    "instanceNumber",
    "displayName",
    "creationDate",
  ],
  deploymentV4: [
    "id",
    "ownerId",
    "applicationId",
    "startDate",
    "state",
    "steps",
    "version",
    "origin",
    "hasDedicatedBuild",
  ],
  origin: ["action", "cause", "source", "authorId", "constraints", "priority"],
  instanceV4: [
    "id",
    "ownerId",
    "applicationId",
    "deploymentId",
    "name",
    "flavor",
    "index",
    "state",
    "hypervisorId",
    "creationDate",
    "deletionDate",
    "network",
    "isBuildVm",
  ],
  message: ["id", "message", "type"],
  errorV4: ["code", "error", "context"],
};

function expectNames(object: object, kind: string): void {
  expect(Object.keys(object).toSorted()).toEqual([...(NAMES[kind] ?? [])].toSorted());
}

describe("names", () => {
  test("every object of API v2 has exactly the documented fields", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    const { body: summary } = await world.call("/v2/summary");
    expectNames(summary, "summary");
    expectNames(summary.user, "user");
    expectNames(summary.organisations[0], "organisation");
    expectNames(summary.organisations[0].applications[0], "summaryApp");
    const { body: one } = await world.call(pathOf(app));
    expectNames(one, "app");
    expectNames(one.vhosts[0], "vhost");
    expectNames(one.instance, "size");
    expectNames(one.instance.minFlavor, "flavor");
    expectNames(one.deployment, "source");
    const list = await world.call(`/v2/organisations/${app.ownerId}/applications`);
    expect(list.body).toEqual([one]);
    const [deployment] = (await world.call(pathOf(app, "/deployments?limit=1"))).body;
    expectNames(deployment, "deployment");
    expectNames(deployment.author, "author");
    const read = await world.call(pathOf(app, `/deployments/${deployment.uuid}`));
    expect(read.body).toEqual(deployment);
    const [instance] = (await world.call(pathOf(app, "/instances"))).body;
    expectNames(instance, "instance");
    expectNames(instance.flavor, "flavor");
    expect((await world.call(pathOf(app, "/vhosts"))).body).toEqual(one.vhosts);
    expectNames((await world.stop(app)).body, "message");
    expect(world.clever.violations).toEqual([]);
  });

  test("objects of API v4 have the fields that the official client reads", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    const known = app.deployments[0]?.uuid;
    await world.clock.advance(1_000);
    const { body: deployment } = await world.call(pathV4Of(app, `/deployments/${known}`));
    expectNames(deployment, "deploymentV4");
    expectNames(deployment.origin, "origin");
    expect(Object.keys(deployment.steps[0])).toEqual(["state", "date"]);
    const [instance] = (await world.call(pathV4Of(app, "/instances"))).body;
    expectNames(instance, "instanceV4");
    const missing = await world.call(pathV4Of(app, "/deployments/deployment_x"));
    expect(missing.status).toBe(404);
    expectNames(missing.body, "errorV4");
    expect(world.clever.violations).toEqual([]);
  });

  test("errors of API v2 are number, message and type; every answer has a Sozu-Id", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("demo");
    const seen = [
      await world.call(pathOf(app, "/vhosts/favourite")),
      await world.call("/v2/organisations/orga_x/applications"),
      await world.call("/v2/organisations/orga_x/applications/app_x/instances"),
    ];
    for (const { status, body, headers } of seen) {
      expect(status).toBe(404);
      expectNames(body, "message");
      expect(body.type).toBe("error");
      expect(headers.get("sozu-id")).toMatch(/^[0-9A-F-]{36}$/);
    }
    expect(seen[0]?.body.id).toBe(4021);
    expect(new Set(seen.map(({ headers }) => headers.get("sozu-id"))).size).toBe(3);
  });

  test("an app's address is its id with a dash, and leads to the router", async () => {
    await using world = await startWorld();
    const app = world.clever.addApp("My Shop 2");
    const [{ fqdn }] = (await world.call(pathOf(app, "/vhosts"))).body;
    const port = new URL(world.clever.addressOf(app)).port;
    expect(fqdn).toBe(`${app.id.replace("_", "-")}.cleverapps.localhost:${port}/`);
    expect((await fetch(`http://${fqdn}`)).headers.get("x-fake-app")).toBe("My Shop 2");
  });
});
