/** A restart without a gap: another process takes the place of the one that runs, and nobody notices. */

import { expect } from "bun:test";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { Agent, request } from "node:http";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { EVERYTHING, everythingApp } from "../support/everything-app.ts";
import { testsInTurn } from "../support/in-turn.ts";
import { listenForNotify } from "../support/notify-socket.ts";
import { startLedgerPlatform } from "../support/platform-ledger.ts";
import { LOCALHOST_CERTIFICATE, LOCALHOST_KEY, PRIVATE_CA } from "../support/private-ca.ts";
import { connectRaw } from "../support/raw-client.ts";
import { descriptorsOf, type Restartable, startRestartable } from "../support/restartable.ts";
import { readSentEvents } from "../support/sse-reader.ts";
import { eventually, isAlive, makeFolder } from "../support/start-paastis.ts";

const story = testsInTurn(4);

const TOKEN = "a-token-of-these-tests";
/** Two seconds. */
const SOON = { START_AND_STOP_MAX_IDLE_TIME: "0.033" };
function placeFor(bootMs = 0) {
  const folder = makeFolder();
  const runsFile = join(folder, "runs");
  const pids = () =>
    existsSync(runsFile)
      ? (readFileSync(runsFile, "utf8").match(/\d+(?=\n)/g) ?? []).map(Number)
      : [];
  const variables = { RUNS_FILE: runsFile, BOOT_MS: String(bootMs) };
  return {
    folder,
    config: `apps:\n${everythingApp("shop", variables, ["stop_timeout: 3"])}`,
    pids,
    living: () => pids().filter(isAlive),
  };
}

/** All processes but the one that listens are gone. */
function untilAlone({ pids, newest }: Restartable): Promise<void> {
  return eventually("the earlier processes are gone", () =>
    pids.every((pid) => pid === newest || !isAlive(pid)),
  );
}

interface Sent {
  readonly path: string;
  readonly agent: Agent | false;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Never rejects. @returns status and body, or why there was none */
function send(port: number, { path, agent, body = "", headers = {} }: Sent): Promise<string> {
  return new Promise((resolve) => {
    const call = request({
      ...{ host: "127.0.0.1", port, path, agent },
      method: body === "" ? "GET" : "POST",
      headers: { host: "shop.example", ...headers },
    });
    call.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    call.on("response", (response) => {
      let text = "";
      response.on("data", (data) => {
        text += data;
      });
      response.on("error", (error) => resolve(`broken off: ${error.message}`));
      response.on("end", () => resolve(`${response.statusCode} ${text}`));
    });
    call.end(body);
  });
}

/** One request after the other, of several kinds at a time, each with an answer of its own. */
function startLoad(port: number) {
  const faults: string[] = [];
  const state = { right: 0, isOver: false, sent: 0 };
  const kept = new Agent({ keepAlive: true });
  const asks: ((number: number) => readonly [Sent, answer: string])[] = [
    (number) => [{ path: `/k${number}`, agent: kept }, `"path":"/k${number}"`],
    (number) => [{ path: `/o${number}`, agent: false }, `"path":"/o${number}"`],
    (number) => [upload(number, kept), `{"bytes":${number}}`],
    (number) => [upload(number, false), `{"bytes":${number}}`],
    () => [
      {
        path: "/__status?app=shop",
        agent: false,
        headers: { host: "127.0.0.1", authorization: `Bearer ${TOKEN}` },
      },
      '"state":"awake"',
    ],
  ];
  const goOn = async (ask: (typeof asks)[number]) => {
    while (!state.isOver) {
      state.sent += 1;
      const [sent, wanted] = ask(state.sent);
      const got = await send(port, sent);
      if (got.startsWith("200 ") && got.replaceAll(" ", "").includes(wanted)) state.right += 1;
      else faults.push(`${sent.path}: ${got.slice(0, 200)}`);
    }
  };
  const all = Promise.all([...asks, ...asks].map(goOn));
  return {
    faults,
    state,
    async stop() {
      state.isOver = true;
      await all;
      kept.destroy();
    },
  };
}

function upload(bytes: number, agent: Agent | false): Sent {
  const headers: Record<string, string> = agent === false ? { "transfer-encoding": "chunked" } : {};
  return { path: "/upload", agent, body: "x".repeat(bytes), headers };
}

story(
  "a download and an upload go on; the app is not put to sleep under them, but afterwards",
  async () => {
    const place = placeFor();
    await using paastis = await startRestartable({ ...place, env: SOON });
    const download = await paastis.get("shop", { path: "/download?seconds=3" });
    using client = await connectRaw(paastis.port);
    client.send(
      "POST /upload HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    client.send("3\r\nabc\r\n");
    const [first] = paastis.pids;
    await paastis.restart();
    expect(await download.text()).toBe("x".repeat(30));
    expect(paastis.events("shop")).not.toContain("APP_STOPPING");
    client.send("2\r\nde\r\n0\r\n\r\n");
    expect((await client.answer()).body).toBe('{"bytes":5}');
    await paastis.untilEvent("shop", "APP_STOPPED");
    await eventually("nothing is left of the old one", () => !isAlive(first ?? 0));
    expect(place.living()).toEqual([]);
  },
);

story(
  "three restarts in a row under load: no request fails, and each has its own answer",
  async () => {
    const place = placeFor();
    const env = { ...SOON, ADMIN_TOKEN: TOKEN, ADMIN_RATE_LIMIT: "10000" };
    await using paastis = await startRestartable({ ...place, env });
    await (await paastis.get("shop")).text();
    const files = descriptorsOf(paastis.newest);
    const load = startLoad(paastis.port);
    for (let number = 1; number <= 3; number += 1) {
      const { right } = load.state;
      await eventually("requests are answered", () => load.state.right > right + 50);
      await paastis.restart();
    }
    const { right } = load.state;
    await eventually("requests are answered", () => load.state.right > right + 50);
    await load.stop();
    expect(load.faults).toEqual([]);
    expect(paastis.events("shop").filter((name) => name === "APP_WAKING")).toHaveLength(1);
    expect(place.pids()).toHaveLength(1);
    // It is put to sleep as ever, and then nothing is left of the earlier processes.
    await paastis.untilEvent("shop", "APP_STOPPED");
    await untilAlone(paastis);
    expect(place.living()).toEqual([]);
    await eventually("no more files are open than before", () => {
      return descriptorsOf(paastis.newest) <= files + 1;
    });
    expect(paastis.lines.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
  },
);

story(
  "requests held for a waking app are answered by the process that takes over; it is started once",
  async () => {
    const place = placeFor(1_500);
    await using paastis = await startRestartable(place);
    const held = Array.from({ length: 5 }, (_none, at) => paastis.get("shop", { path: `/${at}` }));
    const [, ...sent] = ["", "one", "two"].map((body) =>
      send(paastis.port, { path: "/upload", agent: false, body }),
    );
    await eventually("the app boots", () => place.pids().length === 1);
    await paastis.restart();
    const paths = await Promise.all(held.map(async (answer) => (await answer).json()));
    expect(paths.map((one) => (one as { path: string }).path)).toEqual(
      held.map((_n, at) => `/${at}`),
    );
    expect(await Promise.all(sent)).toEqual(['200 {"bytes":3}', '200 {"bytes":3}']);
    expect(place.living()).toEqual(place.pids());
    expect(place.pids()).toHaveLength(1);
  },
);

story("requests held for a platform's waking app are answered; it is started once", async () => {
  await using platform = await startLedgerPlatform({ startMs: 300, bootMs: 1_200 });
  const app = platform.addApp("shop");
  await using paastis = await startRestartable({ config: "", env: platform.env });
  const held = paastis.get("shop");
  await eventually("it is started", () => app.starts === 1);
  await paastis.restart();
  expect((await held).status).toBe(200);
  expect([app.starts, platform.fake.violations]).toEqual([1, []]);
});

story("WebSockets live on, and are closed with 1001 when their time is over", async () => {
  const place = placeFor();
  const env = { RESTART_TIMEOUT_MS: "2500" };
  await using paastis = await startRestartable({ ...place, env });
  const socket = new WebSocket(`ws://127.0.0.1:${paastis.port}/socket`, {
    headers: { host: "shop.example" },
  });
  const heard: unknown[] = [];
  socket.onmessage = ({ data }) => heard.push(data);
  const closed = new Promise<number>((resolve) => {
    socket.onclose = ({ code }) => resolve(code);
  });
  await eventually("it is open", () => socket.readyState === WebSocket.OPEN);
  await paastis.restart();
  socket.send("still there?");
  await eventually("it answers", () => heard.length === 1);
  expect(heard).toEqual(["still there?"]);
  expect(await closed).toBe(1001);
});

story("TLS: handshakes under way, kept connections and new ones are all served", async () => {
  const folder = makeFolder();
  writeFileSync(join(folder, "tls.crt"), LOCALHOST_CERTIFICATE);
  writeFileSync(join(folder, "tls.key"), LOCALHOST_KEY);
  await using target = startTarget();
  const env = { PROVIDER_NAME: "http", TLS_CERT: "tls.crt", TLS_KEY: "tls.key" };
  await using paastis = await startRestartable({ folder, config: target.config, env });
  const reach = (socket: Socket) => connectTls({ socket, servername: "localhost", ca: PRIVATE_CA });
  const kept = talk(reach(connect(paastis.port, "127.0.0.1")));
  kept.send(GET);
  await kept.until("x-forwarded-proto: https");
  // Connected, and not a byte of a handshake yet.
  const silent = Array.from({ length: 10 }, () => connect(paastis.port, "127.0.0.1"));
  await Promise.all(silent.map((socket) => once(socket, "connect")));
  await paastis.restart();
  for (const socket of silent) {
    const talking = talk(reach(socket));
    talking.send(GET);
    await talking.until("x-forwarded-proto: https");
    talking.end();
  }
  const before = kept.heard().length;
  kept.send(GET.replace("GET /", "GET /again"));
  await kept.until("/again");
  expect(kept.heard().slice(before)).toContain("x-forwarded-proto: https");
  kept.end();
  const fresh = talk(reach(connect(paastis.port, "127.0.0.1")));
  fresh.send(GET);
  await fresh.until("x-forwarded-proto: https");
  fresh.end();
});

story("clients keep their addresses, in what apps are told and in the access log", async () => {
  await using target = startTarget();
  const env = { PROVIDER_NAME: "http", ACCESS_LOG: "1" };
  await using paastis = await startRestartable({ config: target.config, env });
  const address = "127.0.0.9";
  const client = talk(connect({ port: paastis.port, host: "127.0.0.1", localAddress: address }));
  client.send(GET);
  await client.until(`x-forwarded-for: ${address}`);
  client.send(GET.replace("GET /", "GET /half").slice(0, 12));
  await paastis.restart();
  client.send(GET.replace("GET /", "GET /half").slice(12));
  await client.until("/half");
  const told = client.heard().match(/x-forwarded-for: \S+/g) ?? [];
  expect([...told]).toEqual(["", ""].map(() => `x-forwarded-for: ${address}`));
  const line = await paastis.untilLine(({ path }) => path === "/half");
  expect(line).toMatchObject({ client: address, status: 200 });
  client.end();
});

story(
  "operators stay: the token of the start, the log-in, what is paused, and the stream of events",
  async () => {
    const place = placeFor();
    await using paastis = await startRestartable(place);
    const token = /with the token ([0-9a-f]{40})$/.exec(
      paastis.lines.find(({ dashboard }) => dashboard !== undefined)?.msg ?? "",
    )?.[1];
    const origin = `http://127.0.0.1:${paastis.port}`;
    const headers = { authorization: `Bearer ${token}` };
    const opened = await fetch(`${origin}/__/login`, {
      method: "POST",
      body: new URLSearchParams({ token: token ?? "" }),
      headers: { accept: "text/html", origin },
      redirect: "manual",
    });
    const cookie = opened.headers.get("set-cookie")?.split(";")[0] ?? "";
    await (await paastis.get("shop")).text();
    const pausing = await fetch(`${origin}/__apps/shop/pause`, { method: "POST", headers });
    expect(pausing.status).toBe(200);
    const follow = (after: Readonly<Record<string, string>> = {}) =>
      fetch(`${origin}/__events`, {
        headers: { ...headers, accept: "text/event-stream", ...after },
      });
    const stream = readSentEvents(await follow({ "last-event-id": "0" }));
    const first = await stream.next();
    const held = paastis.get("shop");
    await paastis.restart();
    let last = first;
    for (let next = first; next !== null; next = await stream.next()) last = next;
    expect((await fetch(`${origin}/__apps`, { headers })).status).toBe(200);
    expect((await fetch(`${origin}/__apps`, { headers: { cookie } })).status).toBe(200);
    const again = readSentEvents(await follow({ "last-event-id": last?.id ?? "" }));
    expect(await (await fetch(`${origin}/__status?app=shop`, { headers })).json()).toMatchObject({
      pause: { kind: "paused" },
    });
    expect((await fetch(`${origin}/__apps/shop/resume`, { method: "POST", headers })).status).toBe(
      200,
    );
    expect((await held).status).toBe(200);
    expect(await again.next()).not.toBeNull();
    await again.leave();
  },
);

story(
  "a service manager is told who the service is, and the new process feeds the watchdog",
  async () => {
    const place = placeFor();
    const path = join(place.folder, "notify");
    using manager = listenForNotify(path);
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: "400000" };
    const through = ["/bin/sh", "-c", 'WATCHDOG_PID=$$ exec "$0"'];
    await using paastis = await startRestartable({ ...place, env, through });
    await eventually("it is ready", () => manager.messages().includes("READY=1"));
    const pid = await paastis.restart();
    await eventually("both are told", () => {
      const said = manager.messages();
      return (
        said.includes(`MAINPID=${pid}`) && said.lastIndexOf("READY=1") > said.indexOf("READY=1")
      );
    });
    const said = manager.messages().length;
    await eventually("it is alive", () => manager.messages().slice(said).includes("WATCHDOG=1"));
    expect(manager.messages()).not.toContain("STOPPING=1");
  },
);

story(
  "apps that the new process starts have nothing of its own: no descriptor, no variable",
  async () => {
    const folder = makeFolder();
    const command = `ls -l /proc/self/fd > fds; env > env; ${EVERYTHING}`;
    const config = `apps: { shop: { command: "${command}" } }\n`;
    await using paastis = await startRestartable({ folder, config });
    await paastis.restart();
    await (await paastis.get("shop")).text();
    // `ls` has its three, and the folder that it reads.
    const open = readFileSync(join(folder, "fds"), "utf8").match(/\d+ -> /g) ?? [];
    expect(open).toHaveLength(4);
    const names = readFileSync(join(folder, "env"), "utf8").match(/^\w+(?==)/gm) ?? [];
    expect(names.filter((name) => /CHANNEL|PREDECESSOR|SERIALIZATION/.test(name))).toEqual([]);
  },
);

story("of many restarts no more is left than the process whose child an app is", async () => {
  const config = `apps:\n${everythingApp("shop")}`;
  await using paastis = await startRestartable({ config });
  const pid: number = JSON.parse(await (await paastis.get("shop")).text()).pid;
  for (let count = 0; count < 3; count += 1) await paastis.restart();
  const [first = 0, ...others] = paastis.pids;
  const newest = others.pop() ?? 0;
  await eventually("those in between end", () => others.every((one) => !isAlive(one)));
  expect([first, newest].map(isAlive)).toEqual([true, true]);
  expect(await (await paastis.get("shop")).json()).toMatchObject({ pid });
  const from = paastis.lines.length;
  process.kill(pid, "SIGKILL");
  await paastis.untilEvent("shop", "APP_CRASHED", from);
  await eventually("nobody keeps it any more", () => !isAlive(first));
});

const GET = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/** An app in this process: says what it was asked for, and by which headers. */
function startTarget() {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch({ url, headers }) {
      const told = [...headers].map(([name, value]) => `${name}: ${value}\n`);
      return new Response(`${new URL(url).pathname}\n${told.join("")}`);
    },
  });
  return {
    config: `apps: { shop: { targets: ['http://127.0.0.1:${server.port}'] } }\n`,
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

function talk(socket: Socket) {
  let heard = "";
  socket.on("data", (data) => {
    heard += data;
  });
  socket.on("error", (error) => {
    heard += `\n${error.message}`;
  });
  return {
    send: (text: string) => void socket.write(text),
    heard: () => heard,
    until: (text: string) => eventually(`it hears ${text}`, () => heard.includes(text)),
    end: () => void socket.destroy(),
  };
}
