/**
 * The fake Heroku's router serves what is up, queues for what starts, and has pages for all else.
 */

import { describe, expect, test } from "bun:test";
import { until } from "../support/until.ts";
import { json } from "./fake-answer.ts";
import type { HerokuControl } from "./fake-heroku-control.ts";
import { startWorld, wakeDemo } from "./fake-heroku-world.ts";
import type { AppAnswer } from "./fake-router.ts";

describe("router", () => {
  test("says 503 at once without web dynos, with a page that is HTML", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo", { formation: { web: 0, worker: 2 } });
    const answer = await fetch(app.webUrl ?? "");
    expect(answer.status).toBe(503);
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8");
    const text = await answer.text();
    expect(text).toStartWith("<!DOCTYPE html>");
    expect(text).toContain("herokucdn.com/error-pages/application-error.html");
    expect(world.heroku.router.pages(new URL(answer.url).hostname)).toBe(1);
  });

  test("dynos that end get no requests, though they are up", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    await world.scale("demo", { web: 0 });
    expect([await world.dynosOf("demo"), await world.visit(app)]).toEqual([["web.1 up"], 503]);
  });

  test("queues while dynos start, and forwards when one is up", async () => {
    await using world = await startWorld();
    const app = await wakeDemo(world);
    const visits = [world.visit(app), world.visit(app)];
    await until(() => world.heroku.router.queued === 2);
    await world.clock.advance(5_000);
    expect(await Promise.all(visits)).toEqual([200, 200]);
    expect(app.requests).toBe(2);
  });

  test("gives up after 75 s of queueing, or as told", async () => {
    for (const queueMs of [75_000, 500]) {
      await using world = await startWorld({ queueMs, bootLimitMs: 1_000_000 });
      const app = await wakeDemo(world, { ms: 500_000 });
      const visit = world.visit(app);
      await until(() => world.heroku.router.queued === 1);
      await world.clock.advance(queueMs - 1);
      expect(world.heroku.router.queued).toBe(1);
      await world.clock.advance(1);
      expect(await visit).toBe(503);
      expect(app.requests).toBe(0);
    }
  });

  test("says 503 at once when all have crashed, to those in the queue as well", async () => {
    await using world = await startWorld();
    const app = await wakeDemo(world, { outcome: "crashes" });
    const visit = world.visit(app);
    await until(() => world.heroku.router.queued === 1);
    await world.clock.advance(5_000);
    expect(await visit).toBe(503);
    expect(await world.visit(app)).toBe(503);
  });

  test("those in the queue learn at once of maintenance, another name, and the end of the app", async () => {
    await using world = await startWorld();
    const changes: ((app: HerokuControl) => void)[] = [
      (app) => app.setMaintenance(true),
      (app) => app.rename("other"),
      (app) => world.heroku.deleteApp(app),
    ];
    const statuses: number[] = [];
    for (const change of changes) {
      const app = await wakeDemo(world);
      const visit = world.visit(app);
      await until(() => world.heroku.router.queued === 1);
      change(app);
      statuses.push(await visit);
      world.heroku.deleteApp(app);
    }
    expect(statuses).toEqual([503, 404, 404]);
  });

  test("may go on queueing for a while after a dyno is up", async () => {
    await using world = await startWorld();
    const app = await wakeDemo(world, { routerLagMs: 1_000 });
    await world.clock.advance(5_000);
    expect(await world.dynosOf("demo")).toEqual(["web.1 up"]);
    const visit = world.visit(app);
    await until(() => world.heroku.router.queued === 1);
    await world.clock.advance(1_000);
    expect(await visit).toBe(200);
  });

  test("has its maintenance page for apps in maintenance, up or not", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    app.setMaintenance(true);
    expect((await world.call("/apps/demo")).body.maintenance).toBe(true);
    const answer = await fetch(app.webUrl ?? "");
    expect([answer.status, app.requests]).toEqual([503, 0]);
    expect(await answer.text()).toContain("maintenance-mode.html");
    app.setMaintenance(false);
    expect(await world.visit(app)).toBe(200);
  });

  test("knows addresses as reported and custom domains, nothing made of a name, and nothing hidden", async () => {
    await using world = await startWorld();
    const { router } = world.heroku;
    const app = world.heroku.addApp("demo");
    const hidden = world.heroku.addApp("hidden", { isInternal: true });
    app.addDomain("www.demo");
    const custom = await fetch(router.addressOf("www.demo"));
    const body = (await custom.json()) as AppAnswer; // What the built-in app answers.
    expect([body.app, body.host]).toEqual(["demo", `www.demo.localhost:${router.port}`]);
    expect(hidden.webUrl).toBeNull();
    expect([hidden.requests, router.unknownHosts]).toEqual([0, []]);
    for (const label of ["demo", "hidden"]) {
      const answer = await fetch(router.addressOf(label));
      expect(answer.status).toBe(404);
      expect(await answer.text()).toContain("no-such-app.html");
    }
    expect(router.unknownHosts).toEqual(["demo.localhost", "hidden.localhost"]);
  });

  test("apps may have a port each, and what they answer may be their own 503", async () => {
    await using world = await startWorld({ addressing: "port" });
    const app = world.heroku.addApp("demo");
    expect(app.webUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect(await world.visit(app)).toBe(200);
    app.answerWith(json({ busy: true }, 503));
    const answer = await fetch(app.webUrl ?? "");
    expect([answer.status, await answer.json()]).toEqual([503, { busy: true }]);
    expect(answer.headers.get("x-fake-app")).toBe("demo");
    app.answerWith(null);
    expect(await world.visit(app)).toBe(200);
    expect(app.requests).toBe(3);
  });

  test("goes on while the API is away", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    await world.heroku.api.goDown("refuse");
    await expect(world.call("/apps")).rejects.toThrow();
    expect(await world.visit(app)).toBe(200);
    await world.heroku.api.comeUp();
    expect((await world.call("/apps")).status).toBe(200);
  });

  test("ends with nothing left behind", async () => {
    const world = await startWorld();
    world.heroku.addApp("eco", { isEco: true });
    await wakeDemo(world, { outcome: "crashes" });
    await world[Symbol.asyncDispose]();
    await until(() => world.clock.pending() === 0);
    await expect(world.call("/apps")).rejects.toThrow();
  });
});
