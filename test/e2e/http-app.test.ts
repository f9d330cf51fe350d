/** An app of provider `http` whose server is away for a while, through the compiled program. */

import { expect, test } from "bun:test";
import { join } from "node:path";
import { within } from "../support/pace.ts";
import { eventually, makeFolder, startPaastis } from "../support/start-paastis.ts";

const CONFIG = "apps:\n  shop: { targets: ['unix:app.sock'] }\n";
const ENV = { PROVIDER_NAME: "http" };

function serve(folder: string) {
  const server = Bun.serve({ unix: join(folder, "app.sock"), fetch: () => new Response("hello") });
  return { [Symbol.asyncDispose]: () => server.stop(true) };
}

test.concurrent("http app: who asks while its server restarts is held, served, and told in the log", async () => {
  const folder = makeFolder();
  await using paastis = await startPaastis({ config: CONFIG, folder, env: ENV });
  const held = paastis.get("shop");
  await paastis.untilEvent("shop", "APP_WAKING");
  await using _server = serve(folder);
  expect(await (await held).text()).toBe("hello");
  await paastis.untilEvent("shop", "APP_STARTED");
  const told = paastis.events("shop").filter((name) => !/DISCOVERED|REGISTERED/.test(name));
  expect(told).toEqual(["APP_WAKING", "APP_STARTED"]);
});

test.concurrent("http app: who asks for one that nothing listens for is told so after ten seconds, and served once something does", async () => {
  const folder = makeFolder();
  await using paastis = await startPaastis({ config: CONFIG, folder, env: ENV });
  const fromMs = performance.now();
  const answer = await paastis.get("shop");
  const tookMs = performance.now() - fromMs;
  expect([answer.status, answer.headers.get("paastis-error")]).toEqual([503, "app_failed"]);
  const reason = expect.stringContaining("no connection could be made for 10 s");
  expect(await answer.json()).toMatchObject({ reason });
  expect(tookMs).toBeGreaterThan(9_000);
  expect(tookMs).toBeLessThan(within(18_000));
  // Until the next try everybody is told at once.
  expect((await paastis.get("shop")).status).toBe(503);
  await using _server = serve(folder);
  await eventually("it is served", async () => (await paastis.get("shop")).status === 200);
});
