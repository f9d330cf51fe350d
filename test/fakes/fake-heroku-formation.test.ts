/**
 * What a scale on the fake Heroku changes, what is refused, and what is held against the client.
 */

import { describe, expect, test } from "bun:test";
import { answers, resetsAfter } from "./fake-faults.ts";
import { conflict } from "./fake-heroku-json.ts";
import { startWorld } from "./fake-heroku-world.ts";

describe("scale", () => {
  test("answers with the types that were named, at once, and changes all or none", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { formation: { web: 2, worker: 3, clock: 0 } });
    const done = await world.scale("demo", { web: 0, worker: 0 });
    expect(done.status).toBe(200);
    const said = done.body.map((entry: Record<string, unknown>) => [entry.type, entry.quantity]);
    expect(said).toEqual([
      ["web", 0],
      ["worker", 0],
    ]);
    const all = (await world.call("/apps/demo/formation")).body;
    for (const entry of done.body) expect(all).toContainEqual(entry);
    const unknown = await world.scale("demo", { web: 1, cron: 1 });
    expect([unknown.status, unknown.body.id]).toEqual([404, "not_found"]);
    expect(app.quantities).toEqual({ web: 0, worker: 0, clock: 0 });
    expect((await world.scale("demo", { web: 0 })).status).toBe(200);
    expect(world.heroku.violations).toEqual([]);
  });

  test("the size survives zero, the quantity does not", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { size: "Performance-M", formation: { web: 3 } });
    await world.scale("demo", { web: 0 });
    const [entry] = (await world.call("/apps/demo/formation")).body;
    expect(entry).toMatchObject({
      quantity: 0,
      size: "Performance-M",
      dyno_size: { name: "Performance-M" },
    });
    await world.scale("demo", { web: 1 });
    expect([app.quantities, app.sizes]).toEqual([{ web: 1 }, { web: "Performance-M" }]);
  });

  test.each<[string, unknown, number]>([
    ["no JSON", "{", 400],
    ["an array", [], 400],
    ["no updates", {}, 422],
    ["empty updates", { updates: [] }, 422],
    ["no object", { updates: [1] }, 422],
    ["no type", { updates: [{ quantity: 1 }] }, 422],
    ["no quantity", { updates: [{ type: "web" }] }, 422],
    ["a relative quantity", { updates: [{ type: "web", quantity: "+1" }] }, 422],
    ["a text", { updates: [{ type: "web", quantity: "1" }] }, 422],
    ["a fraction", { updates: [{ type: "web", quantity: 0.5 }] }, 422],
    ["less than none", { updates: [{ type: "web", quantity: -1 }] }, 422],
    [
      "an unknown size",
      { updates: [{ type: "web", quantity: 1, dyno_size: { name: "Huge" } }] },
      422,
    ],
  ])("a body that makes no sense is refused: %s", async (_, body, status) => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { formation: { web: 2 } });
    const answer = await world.call("/apps/demo/formation", { body });
    expect(answer.status).toBe(status);
    expect(app.quantities).toEqual({ web: 2 });
    expect(world.heroku.violations.length).toBeGreaterThan(0);
  });

  test.each<[string, unknown, RegExp]>([
    [
      "a size as text",
      { updates: [{ type: "web", quantity: 1, size: "Basic" }] },
      /unknown field "size"/,
    ],
    ["another field", { updates: [{ type: "web", quantity: 1, process: "web" }] }, /"process"/],
    ["a field beside updates", { updates: [{ type: "web", quantity: 1 }], force: true }, /"force"/],
    [
      "a type twice",
      {
        updates: [
          { type: "web", quantity: 1 },
          { type: "web", quantity: 2 },
        ],
      },
      /twice/,
    ],
    ["a release process", { updates: [{ type: "release", quantity: 1 }] }, /release is no service/],
  ])("what only the schema forbids is done, and noted: %s", async (_, body, violation) => {
    await using world = await startWorld();
    world.heroku.addApp("demo", { formation: { web: 2, release: 0 } });
    expect((await world.call("/apps/demo/formation", { body })).status).toBe(200);
    expect(world.heroku.violations).toHaveLength(1);
    expect(world.heroku.violations[0]).toMatch(violation);
  });

  test("a size that the schema knows is set", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    const updates = [{ type: "web", quantity: 1, dyno_size: { name: "Standard-2X" } }];
    await world.call("/apps/demo/formation", { body: { updates } });
    expect(app.sizes).toEqual({ web: "Standard-2X" });
    expect(world.heroku.violations).toEqual([]);
  });

  test("not sent as JSON, or with a query, is noted", async () => {
    await using world = await startWorld();
    world.heroku.addApp("demo");
    const body = { updates: [{ type: "web", quantity: 1 }] };
    await world.call("/apps/demo/formation", { body, headers: { "content-type": "text/plain" } });
    await world.call("/apps?page=2");
    expect(world.heroku.violations).toHaveLength(2);
  });

  test.each(["Eco", "Basic"])(
    "a second %s dyno of a type is refused, of another type not",
    async (size) => {
      await using world = await startWorld();
      const app = world.heroku.addApp("demo", { size, formation: { web: 1, worker: 0 } });
      const refused = await world.scale("demo", { web: 2 });
      expect([refused.status, refused.body.id]).toEqual([422, "invalid_params"]);
      expect(refused.body.message).toContain(`more than 1 ${size}`);
      expect((await world.scale("demo", { worker: 1 })).status).toBe(200);
      expect(app.quantities).toEqual({ web: 1, worker: 1 });
      expect(world.heroku.violations).toEqual([]);
    },
  );

  test("the refusal of a second dyno may have another id", async () => {
    await using world = await startWorld({ limitErrorId: "cannot_update_above_limit" });
    world.heroku.addApp("demo", { isEco: true });
    expect((await world.scale("demo", { web: 2 })).body.id).toBe("cannot_update_above_limit");
  });

  test("scaling down an Eco app, or one that is deployed, is done and noted", async () => {
    await using world = await startWorld();
    world.heroku.addApp("eco", { isEco: true });
    const deployed = world.heroku.addApp("deployed");
    deployed.beginDeploy();
    const phase = world.heroku.addApp("phase");
    phase.beginReleasePhase();
    for (const name of ["eco", "deployed", "phase"]) {
      expect((await world.scale(name, { web: 0 })).status).toBe(200);
    }
    expect(world.heroku.violations).toHaveLength(3);
    for (const name of ["eco", "deployed", "phase"]) await world.scale(name, { web: 1 });
    expect(world.heroku.violations).toHaveLength(3);
  });

  test("scaling down an Eco app can be allowed", async () => {
    await using world = await startWorld({ mayScaleEco: true });
    world.heroku.addApp("eco", { isEco: true });
    await world.scale("eco", { web: 0 });
    expect(world.heroku.violations).toEqual([]);
  });

  test("a conflict, once, changes nothing; a reset after the fact changes all the same", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    world.heroku.api.fail("scale", answers(conflict()));
    const refused = await world.scale("demo", { web: 0 });
    expect([refused.status, refused.body.id, app.quantities.web]).toEqual([409, "conflict", 1]);
    world.heroku.api.fail("scale", resetsAfter());
    await expect(world.scale("demo", { web: 0 })).rejects.toThrow();
    expect(app.quantities).toEqual({ web: 0 });
  });
});
