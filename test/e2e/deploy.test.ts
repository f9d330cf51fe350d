/** Deployments of an app that Paastis runs itself: no request is lost, and what fails leaves everything as it was. */

import { expect, test } from "bun:test";
import { within } from "../support/pace.ts";
import { EXECUTABLE, eventually, isAlive, type RunningPaastis } from "../support/start-paastis.ts";
import { createTimeline, startLoad } from "../support/switch-load.ts";
import { admin, TOKEN, versionedApp } from "../support/versioned-app.ts";

const DEPLOYS = 20;
/** For gates that stay closed. */
const IMPATIENT = { HEALTH_TIMEOUT_MS: "700" };

async function textOf(response: Promise<Response>): Promise<string> {
  const answer = await response;
  return `${answer.status} ${await answer.text()}`;
}

/** `paastis deploy shop`. */
async function runDeploy({ port, folder }: RunningPaastis) {
  const command = Bun.spawn([EXECUTABLE, "deploy", "shop"], {
    cwd: folder,
    env: { PAASTIS_URL: `http://127.0.0.1:${port}`, PAASTIS_TOKEN: TOKEN },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [said, complained] = await Promise.all([command.stdout.text(), command.stderr.text()]);
  return { status: await command.exited, said, complained };
}

test(`deploy: ${DEPLOYS} of them under 16 clients, uploads and WebSockets lose nothing`, async () => {
  const app = versionedApp();
  await using paastis = await app.start({ ROLLBACK_WINDOW_MS: "1500" });
  expect(await textOf(paastis.get("shop"))).toBe("200 v1");
  const timeline = createTimeline("v1");
  const load = startLoad({
    ...{ port: paastis.port, timeline },
    ...{ clients: 16, uploaders: 2, websockets: 4 },
  });
  for (let number = 2; number < DEPLOYS + 2; number += 1) {
    app.nextVersion(`v${number}`);
    timeline.asked(`v${number}`);
    const { status, body } = await admin(paastis, "/__deploy");
    expect({ number, status, body }).toMatchObject({ number, status: 200 });
    timeline.done(`v${number}`);
  }
  await load.stop();
  const { faults, right, uploads, messages, closes } = load.tally;
  console.log(
    `${DEPLOYS} deploys: ${right} requests, ${uploads} uploads, ${messages} messages right; ` +
      `WebSockets closed with ${[...closes].map(([code, count]) => `${code} (${count})`).join(", ")}`,
  );
  expect(faults.slice(0, 10)).toEqual([]);
  expect(right).toBeGreaterThan(DEPLOYS);
  await eventually("only the newest version is left", () => app.living().length === 1);
  expect(app.living()).toEqual(app.pids().slice(-1));
  expect(paastis.events("shop").filter((name) => name === "APP_SWITCHED")).toHaveLength(DEPLOYS);
}, 120_000);

test.concurrent("deploy: the command starts the new version, and keeps the old one as the way back", async () => {
  const app = versionedApp();
  await using paastis = await app.start({ ROLLBACK_WINDOW_MS: "1200" });
  await paastis.get("shop");
  app.nextVersion("v2");
  const { status, said, complained } = await runDeploy(paastis);
  expect({ status, complained }).toEqual({ status: 0, complained: "" });
  expect(said).toContain("Deployed: the new version is active on port");
  expect(await textOf(paastis.get("shop"))).toBe("200 v2");
  expect(app.living()).toHaveLength(2);
  const { body } = await admin(paastis, "/__status");
  expect(body).toMatchObject({ state: "awake", lastSwitch: { reason: "deploy" } });
  expect(body.rollback.to).toBe(body.lastSwitch.from);
  expect(body.activePort).toBe(body.lastSwitch.to);
  await eventually("the old version has ended", () => app.living().length === 1);
  expect(await textOf(paastis.get("shop"))).toBe("200 v2");
  expect((await admin(paastis, "/__status")).body).toMatchObject({ rollback: null });
});

test.concurrent("deploy: a version that exits leaves everything as it was, and its last words are told", async () => {
  const app = versionedApp();
  await using paastis = await app.start({ HEALTH_TIMEOUT_MS: "30000" });
  await paastis.get("shop");
  const before = (await admin(paastis, "/__status")).body;
  app.nextVersion("v2 exits");
  const begunMs = performance.now();
  const { status, body } = await admin(paastis, "/__deploy");
  expect(performance.now() - begunMs).toBeLessThan(within(20_000));
  expect(status).toBe(409);
  expect(body).toMatchObject({ error: "Deploy failed" });
  expect(body.message).toMatch(
    /^The new version exited with status 3 after [\d.]+ s, before it was healthy at \/health$/,
  );
  // One goes to its standard output, the other to its standard error: which is read first, nobody can say.
  const lastWords = ["cannot read the settings", "this is v2"];
  expect(String(body.output).split("\n").toSorted()).toEqual(lastWords);
  const command = await runDeploy(paastis);
  expect(command).toMatchObject({ status: 1, said: "" });
  expect(command.complained).toMatch(
    /^Cannot deploy it: The new version exited with status 3 after/,
  );
  const [, told = ""] = command.complained.split("\nIts last output:\n");
  expect(told.trimEnd().split("\n").toSorted()).toEqual(lastWords.map((line) => `  ${line}`));
  expect((await admin(paastis, "/__status")).body).toEqual(before);
  expect(await textOf(paastis.get("shop"))).toBe("200 v1");
  expect(app.living()).toEqual(app.pids().slice(0, 1));
  expect(paastis.events("shop")).toContain("APP_SWITCH_REFUSED");
  expect(paastis.events("shop")).not.toContain("APP_CRASHED");
});

test.concurrent("deploy: a version that never becomes healthy is ended, and the old one noticed nothing", async () => {
  const app = versionedApp();
  await using paastis = await app.start(IMPATIENT);
  await paastis.get("shop");
  app.nextVersion("v2 unhealthy");
  const asked = admin(paastis, "/__deploy", { "idempotency-key": "one" });
  await eventually("the new version has started", () => app.pids().length === 2);
  expect(await textOf(paastis.get("shop"))).toBe("200 v1");
  const busy = await admin(paastis, "/__deploy");
  expect(busy).toMatchObject({ status: 409, body: { error: "Switch in progress" } });
  const { status, body } = await asked;
  expect({ status, error: body.error }).toEqual({ status: 409, error: "Deploy failed" });
  expect(body.message).toBe("The new version did not respond with 2xx at /health within 700 ms");
  expect(body.health).toMatchObject({ status: 500, body: "v2" });
  expect(body.output).toBe("this is v2");
  expect(app.living()).toEqual(app.pids().slice(0, 1));
  expect((await admin(paastis, "/__deploy", { "idempotency-key": "one" })).body).toEqual(body);
  expect(app.pids()).toHaveLength(2);
});

test.concurrent("deploy: a crash while there is a way back leads back, and who asks meanwhile is not turned away", async () => {
  const app = versionedApp();
  await using paastis = await app.start({ ROLLBACK_WINDOW_MS: "60000" });
  await paastis.get("shop");
  app.nextVersion("v2");
  expect(await admin(paastis, "/__deploy")).toMatchObject({ status: 200 });
  const crash = paastis.get("shop", { path: "/crash", method: "POST" });
  await crash.then((response) => response.text());
  const answers = await Promise.all(Array.from({ length: 20 }, () => textOf(paastis.get("shop"))));
  // The second version may have been woken again in between, or have been asked as it crashed: nobody gets a 503.
  const fine = /^200 v[12]$|^502 [\s\S]*upstream_broken/;
  expect(answers.filter((answer) => !fine.test(answer))).toEqual([]);
  const event = await paastis.untilEvent("shop", "APP_ROLLED_BACK");
  expect(JSON.stringify(event)).toContain("exited with status 7");
  expect(await textOf(paastis.get("shop"))).toBe("200 v1");
  await eventually("only the old version is left", () => app.living().length === 1);
  expect(app.living()).toEqual(app.pids().slice(0, 1));
  expect((await admin(paastis, "/__status")).body).toMatchObject({
    state: "awake",
    rollback: null,
    lastSwitch: { reason: "rollback" },
  });
});

test.concurrent("deploy: versions that crash under load cost only the requests that they had", async () => {
  const app = versionedApp();
  await using paastis = await app.start({ ROLLBACK_WINDOW_MS: "60000" });
  await paastis.get("shop");
  const anyVersion = { asked: () => undefined, done: () => undefined, begin: () => () => true };
  const load = startLoad({
    ...{ port: paastis.port, timeline: anyVersion },
    ...{ clients: 8, uploaders: 1, websockets: 0 },
  });
  const countOf = (name: string) => paastis.events("shop").filter((one) => one === name).length;
  for (let number = 2; number < 7; number += 1) {
    app.nextVersion(`v${number}`);
    expect(await admin(paastis, "/__deploy")).toMatchObject({ status: 200 });
    const right = load.tally.right;
    await eventually("requests go there", () => load.tally.right > right + number);
    process.kill(app.pids().at(-1) ?? 0, "SIGKILL");
    await eventually("it is taken back", () => countOf("APP_ROLLED_BACK") === number - 1);
    await eventually("only the first is left", () => app.living().length === 1);
    expect(app.living()).toEqual(app.pids().slice(0, 1));
  }
  await load.stop();
  const { faults } = load.tally;
  expect(faults.filter((fault) => !fault.includes("502") || !fault.includes("broken"))).toEqual([]);
  // What was under way as they were killed: at most one request of each client.
  expect(faults.length).toBeLessThanOrEqual(5 * 9);
});

test.concurrent("deploy: a version that fails under real traffic is taken back, and ended", async () => {
  const app = versionedApp();
  await using paastis = await app.start({ ROLLBACK_WINDOW_MS: "60000" });
  await paastis.get("shop");
  app.nextVersion("v2 failing");
  await admin(paastis, "/__deploy");
  await eventually("it is taken back", async () => {
    const answer = await textOf(paastis.get("shop"));
    return answer === "200 v1";
  });
  expect(paastis.events("shop")).toContain("APP_ROLLED_BACK");
  await eventually("the failing version has ended", () => app.living().length === 1);
  expect(app.living()).toEqual(app.pids().slice(0, 1));
});

test.concurrent("deploy: an app that sleeps is awake then, and has no way back", async () => {
  const app = versionedApp();
  await using paastis = await app.start();
  const { status, body } = await admin(paastis, "/__deploy");
  expect({ status, from: body.switch.from }).toEqual({ status: 200, from: null });
  expect(body.message).toContain("there is no way back");
  expect((await admin(paastis, "/__status")).body).toMatchObject({
    state: "awake",
    rollback: null,
  });
  expect(await textOf(paastis.get("shop"))).toBe("200 v1");
  expect(app.pids()).toHaveLength(1);
});

test.concurrent("deploy: an app is not put to sleep before its way back is closed, and sleeps and wakes after it", async () => {
  const app = versionedApp();
  await using paastis = await app.start({
    ROLLBACK_WINDOW_MS: "4000",
    START_AND_STOP_MAX_IDLE_TIME: "0.01",
  });
  await paastis.get("shop");
  app.nextVersion("v2");
  await admin(paastis, "/__deploy");
  const deployed = paastis.lines.findIndex(({ event }) => event === "APP_SWITCHED");
  await paastis.untilLine(({ msg }) => msg === "the switch is kept");
  const stopped = await paastis.untilEvent("shop", "APP_STOPPED", deployed);
  // The window begins a moment before it is told.
  const keptMs = Date.parse(stopped.time) - Date.parse(paastis.lines[deployed]?.time ?? "");
  expect(keptMs).toBeGreaterThan(3_800);
  await eventually("nothing is left", () => app.living().length === 0);
  expect((await admin(paastis, "/__status")).body).toMatchObject({
    state: "asleep",
    activePort: null,
  });
  app.nextVersion("v3");
  expect(await textOf(paastis.get("shop"))).toBe("200 v3");
  expect(paastis.events("shop")).not.toContain("APP_UNHEALTHY");
});

test.concurrent("deploy: a fixed port is refused with what to do", async () => {
  const app = versionedApp(["port: 21999"]);
  await using paastis = await app.start();
  const { status, body } = await admin(paastis, "/__deploy");
  expect({ status, error: body.error }).toEqual({ status: 409, error: "Cannot be deployed" });
  expect(body.message).toContain("fixed port 21999");
  expect(body.message).toContain("leave `port` out");
  expect(app.pids()).toEqual([]);
});

test.concurrent("deploy: requests of a paused app wait, and go to the new version", async () => {
  const app = versionedApp();
  await using paastis = await app.start();
  await paastis.get("shop");
  await admin(paastis, "/__pause");
  const waiting = textOf(paastis.get("shop"));
  app.nextVersion("v2");
  expect(await admin(paastis, "/__deploy")).toMatchObject({ status: 200 });
  await admin(paastis, "/__resume");
  expect(await waiting).toBe("200 v2");
});

test.concurrent("deploy: SIGTERM while there is a way back ends all versions", async () => {
  const app = versionedApp();
  await using paastis = await app.start();
  await paastis.get("shop");
  app.nextVersion("v2");
  await admin(paastis, "/__deploy");
  expect(app.living()).toHaveLength(2);
  paastis.signal("SIGTERM");
  expect(await paastis.ended).toBe(0);
  expect(app.living()).toEqual([]);
});

test.concurrent("deploy: SIGTERM at the gate ends the new version, too", async () => {
  const app = versionedApp();
  await using paastis = await app.start({ HEALTH_TIMEOUT_MS: "60000", SHUTDOWN_TIMEOUT_MS: "300" });
  await paastis.get("shop");
  app.nextVersion("v2 unhealthy");
  void admin(paastis, "/__deploy").catch(() => undefined);
  await eventually("the new version has started", () => app.pids().length === 2);
  paastis.signal("SIGTERM");
  expect(await paastis.ended).toBe(0);
  expect(app.living()).toEqual([]);
});

test.concurrent("deploy: killed at the gate, no version is left, and the next run starts from asleep", async () => {
  const app = versionedApp();
  const first = await app.start({ HEALTH_TIMEOUT_MS: "60000" });
  await first.get("shop");
  app.nextVersion("v2 unhealthy");
  void admin(first, "/__deploy").catch(() => undefined);
  await eventually("the new version has started", () => app.pids().length === 2);
  first.signal("SIGKILL");
  await first.ended;
  const left = app.pids();
  app.nextVersion("v3");
  await using paastis = await app.start();
  expect(left.filter(isAlive)).toEqual([]);
  expect((await admin(paastis, "/__status")).body).toMatchObject({
    state: "asleep",
    lastSwitch: null,
  });
  expect(await textOf(paastis.get("shop"))).toBe("200 v3");
});

test.concurrent("deploy: killed while there is a way back, the next run says that there is none, and starts from asleep", async () => {
  const app = versionedApp();
  const first = await app.start();
  await first.get("shop");
  app.nextVersion("v2");
  expect(await admin(first, "/__deploy")).toMatchObject({ status: 200 });
  first.signal("SIGKILL");
  await first.ended;
  const left = app.living();
  expect(left).toHaveLength(2);
  await using paastis = await app.start();
  expect(left.filter(isAlive)).toEqual([]);
  const { body } = await admin(paastis, "/__status");
  expect(body).toMatchObject({
    ...{ state: "asleep", activePort: null, rollback: null, drainUntil: null },
    lastSwitch: { reason: "deploy" },
  });
  const said = paastis.lines.filter(({ msg }) => msg.includes("no way back is open"));
  expect(said).toHaveLength(1);
  expect(await textOf(paastis.get("shop"))).toBe("200 v2");
});
