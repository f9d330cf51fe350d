/** Metrics and access log of the compiled program. */

import { expect, test } from "bun:test";
import { checkMetrics, HAS_PROMTOOL, WITHOUT_PROMTOOL } from "../support/promtool.ts";
import { type LogLine, type RunningPaastis, startPaastis } from "../support/start-paastis.ts";

const APP = `Bun.serve({
  port: process.env.PORT,
  fetch: ({ url }) => new Response("hello", { status: url.endsWith("/") ? 200 : 404 }),
})`;
const COMMAND = `exec ${process.execPath} -e '${APP}'`;
const CONFIG = `apps:
  shop: { command: ${JSON.stringify(COMMAND)} }
  broken: { command: exit 3 }
`;
const ENV = { ADMIN_TOKEN: "secret-of-this-test", ACCESS_LOG: "1" };
const TOKEN = { authorization: "Bearer secret-of-this-test" };

async function scrape(
  { port }: RunningPaastis,
  headers: Readonly<Record<string, string>>,
  query = "",
): Promise<Response> {
  return await fetch(`http://127.0.0.1:${port}/__metrics${query}`, {
    headers: { ...TOKEN, ...headers },
  });
}

const isRequest = ({ msg }: LogLine) => msg === "request";

test("metrics: visits of real apps show, by Accept or by the query, and JSON stays JSON", async () => {
  await using paastis = await startPaastis({ config: CONFIG, env: ENV });
  expect((await paastis.get("shop")).status).toBe(200);
  expect((await paastis.get("shop", { path: "/missing?key=hunter2" })).status).toBe(404);
  expect((await paastis.get("broken")).status).toBe(503);
  expect((await paastis.get("nobody")).status).toBe(404);
  await paastis.untilLine((line) => isRequest(line) && line.status === 404 && line.app === "shop");

  const answer = await scrape(paastis, { accept: "text/plain;version=0.0.4" });
  expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  const text = await answer.text();
  for (const sample of [
    'paastis_requests_total{app="shop",class="2xx"} 1',
    'paastis_requests_total{app="shop",class="4xx"} 1',
    'paastis_requests_total{app="broken",class="5xx"} 1',
    'paastis_response_bytes_total{app="shop",class="2xx"} 5',
    'paastis_wakes_total{app="shop",cause="request",outcome="started"} 1',
    'paastis_wakes_total{app="broken",cause="request",outcome="failed"} 1',
    'paastis_app_phase{app="shop",provider="process",phase="awake"} 1',
    'paastis_wake_duration_seconds_count{provider="process"} 1',
    "paastis_registry_reachable 1",
  ]) {
    expect(text).toContain(`${sample}\n`);
  }
  expect(text).not.toContain("nobody");
  expect(text).not.toContain("secret");

  const open = await scrape(paastis, { accept: "application/openmetrics-text" });
  expect(await open.text()).toEndWith("# EOF\n");
  const alone = await (await scrape(paastis, {}, "?format=prometheus&app=shop")).text();
  expect(alone).toContain('app="shop"');
  expect(alone).not.toContain('app="broken"');
  const unknown = await scrape(paastis, {}, "?format=prometheus&app=nobody");
  expect(unknown.status).toBe(404);
  const json = await scrape(paastis, { accept: "*/*" }, "?app=shop");
  expect(await json.json()).toMatchObject({ totalRequests: 2, statusCounters: { "2xx": 1 } });
});

test.skipIf(!HAS_PROMTOOL)(
  `metrics: Prometheus' own tool reads what the executable says${WITHOUT_PROMTOOL}`,
  async () => {
    await using paastis = await startPaastis({ config: CONFIG, env: ENV });
    await paastis.get("shop");
    const text = await (await scrape(paastis, {}, "?format=prometheus")).text();
    expect(await checkMetrics(text)).toBe("");
  },
);

test("access log: one line for each request, with what it waited, and without its query", async () => {
  await using paastis = await startPaastis({ config: CONFIG, env: ENV });
  await paastis.get("shop", { path: "/?token=hunter2/", headers: { "x-request-id": "mine" } });
  await paastis.get("shop", { path: "/missing", method: "POST", body: "12345" });
  await paastis.get("nobody");
  // The fetch engine learns a moment later that an answer is through.
  await paastis.untilLine(() => paastis.lines.filter(isRequest).length === 3);
  const lines = ["GET", "POST"].flatMap((method) =>
    paastis.lines.filter(
      (line) => isRequest(line) && line.method === method && line.app === "shop",
    ),
  );
  expect(paastis.lines.find(({ code }) => code === "unknown_app")).toMatchObject({
    status: 404,
    client: "127.0.0.1",
    host: expect.stringContaining("nobody"),
  });
  expect(lines).toMatchObject([
    { app: "shop", status: 200, bytes: 5, method: "GET", path: "/", requestId: "mine" },
    { app: "shop", status: 404, receivedBytes: 5, method: "POST", path: "/missing" },
  ]);
  const [first, second] = lines;
  expect(Number(first?.waitMs)).toBeGreaterThan(10);
  expect(Number(second?.waitMs)).toBeLessThan(Number(first?.waitMs));
  expect(String(second?.requestId)).toMatch(/^[0-9a-f-]{36}$/);
  expect(JSON.stringify(lines)).not.toContain("hunter2");
});

test("access log: without ACCESS_LOG there is none", async () => {
  await using paastis = await startPaastis({ config: CONFIG });
  await paastis.get("shop");
  await paastis.untilEvent("shop", "APP_STARTED");
  expect(paastis.lines.some(isRequest)).toBe(false);
});
