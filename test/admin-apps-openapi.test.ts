/** The description of the admin endpoints: complete, true, and shown without help from anywhere. */

import { expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { Value } from "typebox/value";
import { ADMIN_PATHS } from "../src/admin/paths.ts";
import { ADMIN_CODES, ANSWER_CODES } from "../src/errors.ts";
import { type AppsWorld, type Body, createAppsWorld } from "./support/apps-world.ts";
import { CHROMIUM, startChromium } from "./support/chromium.ts";
import { awakeAt } from "./support/sample-app.ts";

/** What there must be at least. */
const NEW = [
  "GET /__apps",
  "GET /__apps/stream",
  "GET /__apps/{app}",
  "POST /__apps/{app}/wake",
  "POST /__apps/{app}/sleep",
  "POST /__apps/{app}/pause",
  "POST /__apps/{app}/resume",
  "POST /__apps/{app}/keep-awake",
  "GET /__events",
  "GET /__explain",
  "GET /__sweep",
  "POST /__sweep",
  "GET /__config",
  "GET /__savings",
  "GET /__openapi.json",
  "GET /__docs",
];

async function described(world: AppsWorld): Promise<Body> {
  const { status, body } = await world.json("/__openapi.json");
  expect(status).toBe(200);
  return body;
}

function operationsOf(openapi: Body): { name: string; path: string; method: string; it: Body }[] {
  return Object.entries(openapi.paths).flatMap(([path, methods]) =>
    Object.entries(methods as Body).map(([method, it]) => ({
      name: `${method.toUpperCase()} ${path}`,
      path,
      method,
      it,
    })),
  );
}

test("openapi: every endpoint is described, the older ones included", async () => {
  await using world = await createAppsWorld();
  const names = operationsOf(await described(world)).map(({ name }) => name);
  const old = Object.entries(ADMIN_PATHS).map(([path, method]) => `${method} ${path}`);
  expect(names).toEqual(expect.arrayContaining([...old, ...NEW]));
});

test("openapi: what is described exists, with its methods and no others", async () => {
  await using world = await createAppsWorld();
  world.small.add("shop");
  const operations = operationsOf(await described(world));
  const methodsOf = Map.groupBy(operations, ({ path }) => path);
  for (const [path, own] of methodsOf) {
    const answer = await world.ask(path.replace("{app}", "shop"), { method: "DELETE" });
    expect({ path, status: answer.status }).toEqual({ path, status: 405 });
    const allow = (answer.headers.get("allow") ?? "").split(", ").filter((word) => word !== "HEAD");
    expect({ path, allow }).toEqual({ path, allow: own.map(({ method }) => method.toUpperCase()) });
  }
});

test("openapi: each endpoint has a summary, a group, answers, and every parameter of its path", async () => {
  await using world = await createAppsWorld();
  for (const { it, name, path } of operationsOf(await described(world))) {
    expect({ name, summary: it.summary, tags: it.tags }).toEqual({
      name,
      summary: expect.stringMatching(/^[A-Z]/),
      tags: [expect.any(String)],
    });
    expect({ name, answers: Object.keys(it.responses).length > 0 }).toEqual({
      name,
      answers: true,
    });
    const inPath = (it.parameters ?? []).filter((one: Body) => one.in === "path");
    const needed = [...path.matchAll(/\{(\w+)\}/g)].map(([, word]) => word);
    expect({ name, inPath: inPath.map((one: Body) => one.name) }).toEqual({ name, inPath: needed });
  }
});

test("openapi: numbers and words are described as such, without what only the framework needs", async () => {
  await using world = await createAppsWorld();
  const openapi = await described(world);
  const list = openapi.paths["/__apps"].get.parameters;
  expect(list.find((one: Body) => one.name === "size")).toEqual({
    name: "size",
    in: "query",
    required: false,
    description: "Apps on a page, default 100.",
    schema: { type: "integer", minimum: 1, maximum: 1000 },
  });
  expect(list.find((one: Body) => one.name === "sort").schema).toEqual({
    type: "string",
    enum: ["key", "phase", "lastUsed", "sleepsAt"],
  });
  expect(openapi.paths["/__explain"].get.parameters[0]).toMatchObject({
    name: "url",
    required: true,
  });
  expect(JSON.stringify(openapi)).not.toMatch(/\$comment|"format":"(integer|numeric)"/);
});

test.each([
  ["/__apps", "/__apps"],
  ["/__apps/{app}", "/__apps/shop"],
  ["/__events", "/__events"],
  ["/__explain", "/__explain?url=shop.example"],
  ["/__sweep", "/__sweep"],
  ["/__config", "/__config"],
  ["/__savings", "/__savings"],
])("openapi: what %s answers is what is described", async (path, asked) => {
  await using world = await createAppsWorld({ env: { PRICE_PER_HOUR: "1" } });
  const app = world.small.add("shop", { state: awakeAt("shop") });
  await world.small.core.lifecycle.sleep(app, {
    cause: { kind: "command", detail: "a test" },
    drainMs: 0,
    unusedSinceMs: null,
  });
  await world.small.core.lifecycle.wake(app, { kind: "command", detail: "a test" });
  await world.post("/__apps/shop/keep-awake?for=1h");
  await world.post("/__apps/shop/pause?for=1h");
  const { paths } = await described(world);
  const { schema } = paths[path].get.responses["200"].content["application/json"];
  const { status, body } = await world.json(asked);
  expect(status).toBe(200);
  const strict = closed(schema);
  expect({ path, errors: [...Value.Errors(strict, body)].slice(0, 3) }).toEqual({
    path,
    errors: [],
  });
});

/** A schema that refuses what it does not name. */
function closed(schema: Body): Body {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== "object" || schema === null) return schema;
  const inner = Object.fromEntries(
    Object.entries(schema).map(([name, one]) => [name, closed(one)]),
  );
  return schema.type === "object" && schema.properties !== undefined
    ? { ...inner, additionalProperties: false }
    : inner;
}

test("docs: the page shows every endpoint and every code, and loads nothing", async () => {
  await using world = await createAppsWorld();
  const answer = await world.ask("/__docs");
  expect(answer.status).toBe(200);
  expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
  const html = await answer.text();
  for (const { path, it } of operationsOf(await described(world))) {
    expect(html).toContain(`<code class="path">${path}</code>`);
    expect(html).toContain(it.summary);
  }
  for (const code of Object.keys({ ...ANSWER_CODES, ...ADMIN_CODES })) {
    expect(html).toContain(`id="code-${code}"`);
  }
  expect(html).not.toMatch(/(?:src|href)="(?!\/__|#)/);
  expect(html).not.toMatch(/style="|\son[a-z]+=|@import|url\(/);
});

test("docs: its policy lets nothing run but what the page was made with", async () => {
  await using world = await createAppsWorld();
  const answer = await world.ask("/__docs");
  const html = await answer.text();
  const policy = answer.headers.get("content-security-policy") ?? "";
  expect(policy).toStartWith("default-src 'none'; ");
  expect(policy).not.toContain("unsafe");
  for (const tag of ["style", "script"]) {
    const [, text = ""] = new RegExp(`<${tag}>([\\s\\S]*?)</${tag}>`).exec(html) ?? [];
    const hash = createHash("sha256").update(text).digest("base64");
    expect(policy).toContain(`${tag}-src 'sha256-${hash}'`);
  }
});

test.skipIf(CHROMIUM === null)(
  "docs: in a browser it can be searched, leads to codes, and has nothing that keeps anybody out",
  async () => {
    await using world = await createAppsWorld();
    await using server = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: ({ url }) => world.ask(new URL(url).pathname),
    });
    const address = `http://127.0.0.1:${server.port}/__docs`;
    await using chromium = await startChromium();
    await using visitor = await chromium.visitor();
    const { page } = visitor;
    await page.goto(address);
    await page.fill("#search", "keep-awake");
    expect(await page.locator(".endpoint:visible").count()).toBe(1);
    await page.fill("#search", "no such thing");
    expect(await page.locator(".endpoint:visible").count()).toBe(0);
    expect(visitor.complaints).toEqual([]);
    expect(visitor.requested.filter((one) => !one.endsWith("/favicon.ico"))).toEqual([address]);

    for (const colorScheme of ["light", "dark"] as const) {
      // The policy keeps even the examiner out.
      await using open = await chromium.visitor({ bypassCSP: true, colorScheme });
      await open.page.goto(address);
      await open.page.addScriptTag({ path: require.resolve("axe-core/axe.min.js") });
      const violations = await open.page.evaluate(`(async () => {
        for (const one of document.querySelectorAll("details")) one.open = true;
        const { violations } = await axe.run();
        return violations.map(({ id, nodes }) => [id, nodes[0].html.slice(0, 200)]);
      })()`);
      expect(violations).toEqual([]);
    }
  },
  60_000,
);
