import { describe, expect, test } from "bun:test";
import { createServiceNotifier, serviceManagerOf } from "../src/service-notify.ts";
import { listenForNotify } from "./support/notify-socket.ts";
import { recordingLog } from "./support/recording-log.ts";
import { tempDir } from "./support/temp-dir.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

describe("service notify: who started us", () => {
  test.each([
    ["nothing", {}, null],
    ["an empty socket", { NOTIFY_SOCKET: "" }, null],
    ["a relative socket", { NOTIFY_SOCKET: "run/notify" }, null],
    ["a path", { NOTIFY_SOCKET: "/run/n" }, { notifySocket: "/run/n", watchdogMs: null }],
    [
      "an abstract socket, watched",
      { NOTIFY_SOCKET: "@n", WATCHDOG_USEC: "30000000" },
      { notifySocket: "@n", watchdogMs: 30_000 },
    ],
    [
      "this process is watched",
      { NOTIFY_SOCKET: "/n", WATCHDOG_USEC: "5000", WATCHDOG_PID: "42" },
      { notifySocket: "/n", watchdogMs: 5 },
    ],
    [
      "another process is watched",
      { NOTIFY_SOCKET: "/n", WATCHDOG_USEC: "5000", WATCHDOG_PID: "41" },
      { notifySocket: "/n", watchdogMs: null },
    ],
    [
      "no time that one could keep",
      { NOTIFY_SOCKET: "/n", WATCHDOG_USEC: "soon" },
      { notifySocket: "/n", watchdogMs: null },
    ],
  ])("%s", (_, environment, manager) => {
    expect(serviceManagerOf(environment, 42)).toEqual(manager);
  });
});

describe("service notify: what is said", () => {
  test.each(["path", "abstract"])("over a socket with a name that is %s", async (kind) => {
    using folder = tempDir();
    const path = folder.file("notify");
    const notifySocket = kind === "path" ? path : `@${path}`;
    using socket = listenForNotify(notifySocket);
    const manager = { notifySocket, watchdogMs: null };
    const clock = createVirtualClock();
    const service = await createServiceNotifier({ manager, clock, log: recordingLog().log });
    expect(socket.messages()).toEqual([]);
    service.ready();
    service.reloading();
    service.ready();
    service.stopping();
    const [ready, reloading = "", again, stopping, ...others] = socket.messages();
    expect([ready, again, stopping, others]).toEqual(["READY=1", "READY=1", "STOPPING=1", []]);
    expect(reloading).toMatch(/^RELOADING=1\nMONOTONIC_USEC=[1-9]\d*$/);
    expect(clock.pending()).toBe(0);
  });

  test("the watchdog is fed at half its interval, from ready on and until the end", async () => {
    using folder = tempDir();
    const notifySocket = folder.file("notify");
    using socket = listenForNotify(notifySocket);
    const clock = createVirtualClock();
    const manager = { notifySocket, watchdogMs: 30_000 };
    const service = await createServiceNotifier({ manager, clock, log: recordingLog().log });
    await clock.advance(60_000);
    expect(socket.messages()).toEqual([]);
    service.ready();
    await clock.advance(44_999);
    service.ready();
    const fed = () => socket.messages().filter((text) => text === "WATCHDOG=1").length;
    expect(fed()).toBe(3);
    await clock.advance(1);
    expect(fed()).toBe(4);
    service.end();
    await clock.advance(60_000);
    expect(fed()).toBe(4);
    expect(clock.pending()).toBe(0);
  });

  test("a socket that nobody reads is said once, and nothing ends", async () => {
    const { log, lines } = recordingLog();
    const manager = { notifySocket: "/nowhere/notify", watchdogMs: 1000 };
    const clock = createVirtualClock();
    const service = await createServiceNotifier({ manager, clock, log });
    service.ready();
    await clock.advance(10_000);
    service.stopping();
    service.end();
    expect(lines.map(({ level, message }) => `${level}: ${message}`)).toEqual([
      "warn: systemd cannot be told how the service is",
    ]);
  });

  test("without a service manager nothing is loaded, opened or set", async () => {
    const clock = createVirtualClock();
    const service = await createServiceNotifier({ manager: null, clock, log: recordingLog().log });
    service.ready();
    service.reloading();
    service.stopping();
    service.end();
    expect(clock.pending()).toBe(0);
  });
});
