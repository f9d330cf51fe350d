/** Webhooks of the compiled program. */

import { expect, test } from "bun:test";
import { eventually, startPaastis } from "../support/start-paastis.ts";
import { isSignedWith, startWebhookReceiver } from "../support/webhook-receiver.ts";

const APP = `Bun.serve({ port: process.env.PORT, fetch: () => new Response(process.env.WEBHOOK_SECRET ?? "none") })`;
const CONFIG = `apps:
  shop: { command: ${JSON.stringify(`exec ${process.execPath} -e '${APP}'`)} }
  broken: { command: exit 3 }
`;
const SECRET = "a secret that nobody guesses";

test("webhooks: a wake and a failure arrive in order and signed, the first after a second try", async () => {
  using receiver = startWebhookReceiver((_received, count) => {
    return new Response(null, { status: count === 1 ? 503 : 204 });
  });
  await using paastis = await startPaastis({
    config: CONFIG,
    env: { WEBHOOK_URLS: `${receiver.url}?key=hunter2`, WEBHOOK_SECRET: SECRET },
  });
  expect(await (await paastis.get("shop")).text()).toBe("none");
  expect((await paastis.get("broken")).status).toBe(503);
  await eventually("both have come", () => receiver.received.length >= 3);
  const told = receiver.received.slice(0, 3).map(({ body }) => JSON.parse(body));
  expect(told.map(({ app, name }) => `${app} ${name}`)).toEqual([
    "shop APP_STARTED",
    "shop APP_STARTED",
    "broken APP_START_FAILED",
  ]);
  expect(told[1]).toMatchObject({ id: told[0].id, provider: "process" });
  for (const one of receiver.received) expect(await isSignedWith(SECRET, one)).toBe(true);
  paastis.signal("SIGTERM");
  expect(await paastis.ended).toBe(0);
  const said = paastis.lines.filter(({ webhook }) => webhook !== undefined);
  expect(said.map(({ msg }) => msg)).toEqual([
    "a webhook fails: what waits for it is tried again for an hour",
    "a webhook works again",
  ]);
  expect(JSON.stringify(paastis.lines)).not.toContain("hunter2");
});
