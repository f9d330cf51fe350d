/** The sample apps do what the demo says of them, and the demo leaves nothing behind. */

import { describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "../src/demo/free-port.ts";
import { welcomeText } from "../src/demo/welcome.ts";
import { within } from "./support/pace.ts";

const DEMO = resolve(import.meta.dir, "../src/demo");

interface RunningApp extends AsyncDisposable {
  readonly origin: string;
  readonly process: Bun.Subprocess;
  /** Sends SIGTERM. @returns the exit status and how long it took, in ms */
  stop(): Promise<{ readonly status: number; readonly tookMs: number }>;
}

/** Runs a sample app the way Paastis does, and waits until it listens. */
async function runApp(name: string, env: Record<string, string> = {}): Promise<RunningApp> {
  const child = Bun.spawn([process.execPath, "--no-install", join(DEMO, "apps", `${name}.ts`)], {
    env: { PORT: "0", ...env },
    stdout: "pipe",
  });
  async function stop() {
    const beganMs = performance.now();
    child.kill("SIGTERM");
    return { status: await child.exited, tookMs: performance.now() - beganMs };
  }
  let printed = "";
  for await (const bytes of child.stdout) {
    printed += new TextDecoder().decode(bytes);
    const origin = /listening on (\S+)\n/.exec(printed)?.[1];
    if (origin === undefined) continue;
    return { origin, process: child, stop, [Symbol.asyncDispose]: async () => void (await stop()) };
  }
  throw new Error(`${name} ended before it listened: ${printed}`);
}

describe("api", () => {
  test("api: notes are added, read, changed and deleted", async () => {
    await using api = await runApp("api");
    const call = (method: string, path: string, body?: unknown) =>
      fetch(api.origin + path, {
        method,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
    const added = await call("POST", "/notes", { text: "hello" });
    expect([added.status, added.headers.get("location")]).toEqual([201, "/notes/1"]);
    expect(await added.json()).toEqual({ id: 1, text: "hello", done: false });
    const patched = await call("PATCH", "/notes/1", { done: true });
    expect(await patched.json()).toEqual({ id: 1, text: "hello", done: true });
    const replaced = await call("PUT", "/notes/1", { text: "bye" });
    expect(await replaced.json()).toEqual({ id: 1, text: "bye", done: false });
    expect(await (await call("GET", "/notes")).json()).toEqual([
      { id: 1, text: "bye", done: false },
    ]);
    expect((await call("DELETE", "/notes/1")).status).toBe(204);
    expect((await call("GET", "/notes/1")).status).toBe(404);
    expect((await call("HEAD", "/notes")).status).toBe(200);
  });

  test("api: what it cannot do is said with the right status", async () => {
    await using api = await runApp("api");
    const bodies: [string, number][] = [
      ["no JSON", 400],
      ["[", 400],
      ["{}", 400],
      ['{"text":""}', 400],
      ['{"text":7}', 400],
      ['{"text":"a","done":1}', 400],
      [JSON.stringify({ text: "x".repeat(501) }), 400],
      [JSON.stringify({ text: "x".repeat(500) }), 201],
    ];
    for (const [body, status] of bodies) {
      const answer = await fetch(`${api.origin}/notes`, { method: "POST", body });
      expect([body.slice(0, 30), answer.status]).toEqual([body.slice(0, 30), status]);
    }
    const refused = await fetch(`${api.origin}/notes`, { method: "DELETE" });
    expect([refused.status, refused.headers.get("allow")]).toEqual([
      405,
      "GET, HEAD, POST, OPTIONS",
    ]);
    expect((await fetch(`${api.origin}/elsewhere`)).status).toBe(404);
    expect((await fetch(`${api.origin}/notes/1`, { method: "OPTIONS" })).status).toBe(204);
  });

  test("api: a note is still there after the app has slept", async () => {
    const folder = mkdtempSync(join(tmpdir(), "paastis-test-"));
    try {
      const first = await runApp("api", { DEMO_DIR: folder });
      await fetch(`${first.origin}/notes`, { method: "POST", body: '{"text":"kept"}' });
      expect((await first.stop()).status).toBe(0);
      await using second = await runApp("api", { DEMO_DIR: folder });
      expect(await (await fetch(`${second.origin}/notes`)).json()).toMatchObject([
        { text: "kept" },
      ]);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe("live", () => {
  test("live: the clock ticks over server-sent events, and everybody hears the chat", async () => {
    await using live = await runApp("live");
    const page = await (await fetch(live.origin)).text();
    expect(page).toContain('new EventSource("/clock")');

    const clock = await fetch(`${live.origin}/clock`);
    expect(clock.headers.get("content-type")).toBe("text/event-stream");
    let events = "";
    const decoder = new TextDecoder();
    for await (const bytes of clock.body ?? []) {
      events += decoder.decode(bytes);
      if (events.split("data: ").length > 2) break;
    }
    expect(events).toMatch(/data: \d{4}-\d\d-\d\dT[\d:.]+Z\n\n/);

    const heard = Promise.withResolvers<string>();
    const [one, two] = [chat(live.origin), chat(live.origin)];
    await Promise.all([one, two].map((socket) => new Promise((open) => (socket.onopen = open))));
    two.onmessage = ({ data }) => {
      const { said } = JSON.parse(data);
      if (said !== undefined) heard.resolve(said);
    };
    one.send("hello <b>you</b>");
    expect(await heard.promise).toBe("hello <b>you</b>");
    one.close();
    two.close();
    expect((await fetch(`${live.origin}/chat`)).status).toBe(426);
  });

  test("live: it stops at once, although somebody is connected", async () => {
    const live = await runApp("live");
    const clock = await fetch(`${live.origin}/clock`);
    const socket = chat(live.origin);
    await new Promise((open) => (socket.onopen = open));
    const { status, tookMs } = await live.stop();
    expect(status).toBe(0);
    expect(tookMs).toBeLessThan(within(1000));
    await clock.body?.cancel().catch(() => undefined);
  });
});

function chat(origin: string): WebSocket {
  return new WebSocket(`${origin.replace("http", "ws")}/chat`);
}

describe("pages", () => {
  test("home: links to the others under the address that the visitor used", async () => {
    await using home = await runApp("home");
    const seen = { "x-forwarded-host": "localhost:3000", "x-forwarded-proto": "http" };
    const page = await (await fetch(home.origin, { headers: seen })).text();
    for (const app of ["api", "slow", "live"]) {
      expect(page).toContain(`href="http://${app}.localhost:3000/"`);
    }
    const hostile = { "x-forwarded-host": '"><script>alert(1)</script>' };
    expect(await (await fetch(home.origin, { headers: hostile })).text()).not.toContain("alert");
  });

  test("pages: none asks another server for anything", async () => {
    for (const name of ["home", "live", "slow"]) {
      await using app = await runApp(name, { BOOT_SECONDS: "0" });
      const page = await (await fetch(app.origin)).text();
      expect(page).toStartWith("<!doctype html>");
      expect(page).not.toMatch(/(src|action)=|url\(|@import|<link(?! rel="icon" href="data:)/);
    }
  });

  test("slow: takes its time to listen, and can be stopped meanwhile", async () => {
    const beganMs = performance.now();
    await using slow = await runApp("slow", { BOOT_SECONDS: "0.8" });
    expect(performance.now() - beganMs).toBeGreaterThan(800);
    expect((await slow.stop()).status).toBe(0);

    const script = join(DEMO, "apps/slow.ts");
    const booting = Bun.spawn([process.execPath, "--no-install", script], { stdout: "pipe" });
    await booting.stdout.getReader().read();
    booting.kill("SIGTERM");
    await booting.exited;
    expect(booting.signalCode).toBe("SIGTERM");
  });
});

describe("demo", () => {
  test("demo: a port that is taken is passed over", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((done) => server.once("listening", done));
    const address = server.address();
    const taken = typeof address === "object" && address !== null ? address.port : 0;
    try {
      expect(await freePort("127.0.0.1", taken)).not.toBe(taken);
      expect(await freePort("127.0.0.1", 0)).toBeGreaterThan(0);
    } finally {
      server.close();
    }
  });

  test("demo: the welcome names the port that is used, and says so when it is another", () => {
    const options = { port: 3000, wantedPort: 3000, idleSeconds: 30, colors: false };
    expect(welcomeText(options)).toContain("http://slow.localhost:3000");
    expect(welcomeText(options)).not.toContain("in use");
    expect(welcomeText({ ...options, port: 3001 })).toContain("Port 3000 is in use");
    expect(welcomeText(options)).not.toContain("\x1b");
  });

  test("demo: it serves, logs JSON only where nobody watches, and leaves nothing behind", async () => {
    const folder = mkdtempSync(join(tmpdir(), "paastis-test-"));
    const port = await freePort("127.0.0.1", 20_000 + Math.floor(Math.random() * 10_000));
    const demo = Bun.spawn([process.execPath, "--no-install", join(DEMO, "demo.ts")], {
      env: { PATH: process.env.PATH, TMPDIR: folder, PORT: String(port) },
      stdout: "pipe",
      stderr: "pipe",
    });
    try {
      const welcome = await textUntil(demo.stderr, "Ctrl-C");
      const host = /http:\/\/(localhost:\d+)\n/.exec(welcome)?.[1] ?? "";
      expect(host).not.toBe("");
      const log = linesOf(demo.stdout);
      while (!String((await log.next()).value ?? "listening").includes("listening"));
      const answer = await fetch(`http://${host}/`, { headers: { host: `api.${host}` } });
      const { name, process: pid } = (await answer.json()) as { name: string; process: number };
      expect(name).toBe("notes");

      demo.kill("SIGINT");
      expect(await demo.exited).toBe(0);
      expect(() => process.kill(pid, 0)).toThrow();
      const events: unknown[] = [];
      for await (const line of log) {
        const { app, event } = JSON.parse(line);
        if (app === "api") events.push(event);
      }
      expect(events).toContain("APP_STARTED");
      expect(readdirSync(folder).filter((name) => name.startsWith("paastis-demo-"))).toEqual([]);
    } finally {
      demo.kill("SIGTERM");
      await demo.exited;
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

async function textUntil(stream: ReadableStream<Uint8Array>, end: string): Promise<string> {
  let text = "";
  for await (const bytes of stream) {
    text += new TextDecoder().decode(bytes);
    if (text.includes(end)) return text;
  }
  throw new Error(`ended without "${end}": ${text}`);
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let held = "";
  for await (const bytes of stream) {
    const lines = (held + decoder.decode(bytes, { stream: true })).split("\n");
    held = lines.pop() ?? "";
    yield* lines;
  }
}
