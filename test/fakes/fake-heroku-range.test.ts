/** Lists of the fake Heroku come in pages and in the order that was asked for. */

import { describe, expect, test } from "bun:test";
import { type HerokuWorld, startWorld } from "./fake-heroku-world.ts";

function namesOf(list: readonly { readonly name: string }[]): string[] {
  return list.map(({ name }) => name);
}

describe("ranges", () => {
  async function withApps(count: number): Promise<HerokuWorld> {
    const world = await startWorld();
    for (let index = 0; index < count; index += 1) {
      world.heroku.addApp(`review-${String(index).padStart(4, "0")}`);
    }
    return world;
  }

  /** Follows `Next-Range` from the given range, or from none. */
  async function pagesOf(world: HerokuWorld, path: string, range: string | null) {
    const pages: { status: number; items: { id: string; name: string }[] }[] = [];
    for (let next = range, isFirst = true; isFirst || next !== null; isFirst = false) {
      const { status, headers, body } = await world.call(path, { headers: { range: next } });
      pages.push({ status, items: body });
      next = headers.get("next-range");
    }
    return pages;
  }

  test("450 apps come in three pages of 200, each app once, all but the last 206", async () => {
    await using world = await withApps(450);
    const pages = await pagesOf(world, "/apps", null);
    expect(pages.map(({ status, items }) => [status, items.length])).toEqual([
      [206, 200],
      [206, 200],
      [200, 50],
    ]);
    const ids = pages.flatMap(({ items }) => items.map(({ id }) => id));
    expect(new Set(ids).size).toBe(450);
    expect(ids).toEqual(ids.toSorted());
    expect(world.heroku.violations).toEqual([]);
  });

  test("450 apps come in one page of 1000 at most", async () => {
    await using world = await withApps(450);
    const pages = await pagesOf(world, "/apps", "id ..; max=1000");
    expect(pages.map(({ status, items }) => [status, items.length])).toEqual([[200, 450]]);
  });

  test("a full last page is not cut", async () => {
    await using world = await withApps(20);
    const pages = await pagesOf(world, "/apps", "name ..; max=10");
    expect(pages.map(({ status }) => status)).toEqual([206, 200]);
    const { headers } = await world.call("/apps", { headers: { range: "name ..; max=10" } });
    expect(headers.get("accept-ranges")).toBe("id, name, updated_at");
    expect(headers.get("content-range")).toBe("name review-0000..review-0009; max=10");
    expect(headers.get("next-range")).toStartWith("name ]review-0009~");
  });

  test("no app is lost or doubled when apps come and go between pages, or are as old as each other", async () => {
    await using world = await withApps(30);
    const first = await world.call("/apps", { headers: { range: "updated_at ..; max=20" } });
    const gone = first.body[3];
    world.heroku.deleteApp({ ...world.heroku.addApp("later"), id: gone.id });
    const range = first.headers.get("next-range");
    const rest = await world.call("/apps", { headers: { range } });
    const ids = [...first.body, ...rest.body].map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const there = (await world.call("/apps")).body.filter(
      ({ name }: { name: string }) => name !== "later",
    );
    expect(there.filter(({ id }: { id: string }) => !ids.includes(id))).toEqual([]);
  });

  test("order and bounds: newest first, from one on, up to one", async () => {
    await using world = await withApps(9);
    const list = async (range: string) =>
      namesOf((await world.call("/apps", { headers: { range } })).body).map((name) =>
        Number(name.slice(-1)),
      );
    expect(await list("name ..; max=2, order=desc")).toEqual([8, 7]);
    expect(await list("name ..; order=desc; max=2;")).toEqual([8, 7]);
    expect(await list("name review-0006..")).toEqual([6, 7, 8]);
    expect(await list("name ]review-0006..")).toEqual([7, 8]);
    expect(await list("name ..review-0001")).toEqual([0, 1]);
    expect(await list("name ]review-0002..; order=desc")).toEqual([1, 0]);
    const pages = await pagesOf(world, "/apps", "name ..; max=4, order=desc");
    expect(
      pages.flatMap(({ items }) => namesOf(items)).map((name) => Number(name.slice(-1))),
    ).toEqual([8, 7, 6, 5, 4, 3, 2, 1, 0]);
    expect(world.heroku.violations).toEqual([]);
  });

  test("the newest release by number, the newest build by date; ids are in no order", async () => {
    await using world = await startWorld();
    const app = world.heroku.addApp("demo");
    for (let count = 0; count < 10; count += 1) {
      await world.clock.advance(1_000);
      app.beginDeploy();
      app.finishDeploy();
    }
    const newest = async (path: string, range: string) =>
      (await world.call(path, { headers: { range } })).body;
    const [release] = await newest("/apps/demo/releases", "version ..; max=1, order=desc");
    expect(release.version).toBe(12);
    const [build] = await newest("/apps/demo/builds", "created_at ..; max=1, order=desc");
    expect(build.release.id).toBe(release.id);
    const all = (await world.call("/apps/demo/releases")).body;
    const versions = all.map((one: { version: number }) => one.version);
    expect(versions).not.toEqual(versions.toSorted((a: number, b: number) => a - b));
  });

  test.each([
    "id",
    "bytes=0-100",
    "id 1-2",
    "size ..",
    "version ..",
    "id ..; max=0",
    "id ..; max=1001",
    "id ..; max=many",
    "id ..; order=newest",
    "id ..; limit=3",
  ])("a range that makes no sense is refused: %s", async (range) => {
    await using world = await withApps(1);
    const { status, body } = await world.call("/apps", { headers: { range } });
    expect([status, body.id]).toEqual([416, "requested_range_not_satisfiable"]);
    expect(world.heroku.violations).toHaveLength(1);
  });
});
