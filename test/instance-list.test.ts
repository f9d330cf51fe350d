import { describe, expect, test } from "bun:test";
import { appendFileSync, writeFileSync } from "node:fs";
import { portsIn } from "../src/cli/instance-ports.ts";
import { type InstanceMachine, instanceMachine } from "./support/instance-machine.ts";
import { EXECUTABLE, isAlive } from "./support/start-paastis.ts";
import { until } from "./support/until.ts";

const ESCAPE = "\x1b[";

async function machineWithBlue(): Promise<InstanceMachine> {
  const machine = instanceMachine();
  await machine.run(["init"]);
  await machine.run(["add", "blue", "--port", "3911", "--target", "8911"]);
  return machine;
}

describe("instance list", () => {
  test("into a pipe it is a table without colours", async () => {
    await using machine = await machineWithBlue();
    await machine.run(["enable", "blue"]);
    expect(await machine.run(["list"])).toEqual({
      out:
        "     NAME  STATE     AT BOOT  PORT  TARGET  HEALTH\n" +
        "  ○  blue  inactive  yes      3911  8911    /health\n",
      err: "",
      status: 0,
    });
  });

  test("on a terminal the marks have colours, unless NO_COLOR is set", async () => {
    await using machine = await machineWithBlue();
    const { out } = await machine.onTerminal(["list"]);
    expect(out).toContain(`${ESCAPE}2m○${ESCAPE}0m  blue  inactive`);
    for (const env of [{ NO_COLOR: "1" }, { TERM: "dumb" }]) {
      const plain = await machine.onTerminal(["list"], { env });
      expect(plain.out).toContain("○  blue  inactive");
      expect(plain.out).not.toContain(ESCAPE);
    }
  });

  test("--json has what programs need, and no token", async () => {
    await using machine = await machineWithBlue();
    const { out } = await machine.run(["list", "--json"]);
    expect(JSON.parse(out)).toEqual([
      {
        name: "blue",
        state: "inactive",
        enabled: false,
        listenPort: 3911,
        targetPort: 8911,
        healthPath: "/health",
        file: machine.file("etc/paastis/blue.env"),
        dataDir: machine.file("var/lib/paastis/blue"),
        socket: machine.file("run/paastis/blue/admin.sock"),
        problem: null,
      },
    ]);
    expect(out).not.toContain(/ADMIN_TOKEN=(.*)/.exec(machine.text("etc/paastis/blue.env"))![1]!);
  });

  test("without systemd the states are unknown", async () => {
    await using machine = instanceMachine({ systemd: false });
    await machine.run(["add", "blue"]);
    const { out, status } = await machine.run(["list", "--json"]);
    expect(JSON.parse(out)).toMatchObject([{ name: "blue", state: "unknown", enabled: null }]);
    expect(status).toBe(0);
  });

  test("without instances it says how to make one", async () => {
    await using machine = instanceMachine();
    const { out } = await machine.run(["list"]);
    expect(out).toBe("There is no instance. `paastis add <name>` makes one.\n");
    expect((await machine.run(["list", "--json"])).out).toBe("[]\n");
  });
});

describe("instance control", () => {
  test("without the unit it says how to install it", async () => {
    await using machine = instanceMachine();
    await machine.run(["add", "blue"]);
    const { err, status } = await machine.run(["start", "blue"]);
    expect(err).toEndWith("is not installed\nRun `paastis init`\n");
    expect(status).toBe(1);
  });

  test("without systemd it ends with 69", async () => {
    await using machine = instanceMachine({ systemd: false });
    await machine.run(["init"]);
    await machine.run(["add", "blue"]);
    const { err, status } = await machine.run(["start", "blue"]);
    expect(err).toStartWith("Cannot start blue: there is no systemctl on the PATH\n");
    expect(status).toBe(69);
  });

  test("one that cannot be started is said with systemd's words, and the others are tried", async () => {
    await using machine = await machineWithBlue();
    await machine.run(["add", "green"]);
    machine.refuse("enable");
    const { err, status } = await machine.run(["enable", "blue", "green"]);
    expect(
      err.match(/^Cannot enable (blue|green): Failed to do that: Access denied$/gm),
    ).toHaveLength(2);
    expect(status).toBe(1);
  });

  test("a name that is not there stops everything before it begins", async () => {
    await using machine = await machineWithBlue();
    expect((await machine.run(["enable", "blue", "red"])).status).toBe(1);
    expect(machine.changes()).toEqual(["daemon-reload"]);
    expect((await machine.run(["start"])).status).toBe(64);
  });
});

describe("instance logs", () => {
  const LINE = JSON.stringify({
    level: "info",
    time: "2026-01-02T03:04:05.678Z",
    address: "http://0.0.0.0:3911",
    msg: "listening on http://0.0.0.0:3911",
  });

  test("into a pipe the last lines go as they are", async () => {
    await using machine = await machineWithBlue();
    writeFileSync(machine.file("stand-in/blue.log"), `one\ntwo\n${LINE}\n`);
    expect(await machine.run(["logs", "blue", "--lines", "2"])).toEqual({
      out: `two\n${LINE}\n`,
      err: "",
      status: 0,
    });
  });

  test("on a terminal they are laid out for people, without anybody's escape sequences", async () => {
    await using machine = await machineWithBlue();
    writeFileSync(machine.file("stand-in/blue.log"), `${LINE}\nStarted \x1b[2Jblue.\n`);
    const { out } = await machine.onTerminal(["logs", "blue"], { env: { NO_COLOR: "1" } });
    expect(out).toMatch(/^\d\d:\d\d:\d\d {2}paastis .*listening on http:\/\/0\.0\.0\.0:3911/m);
    expect(out).toContain("Started blue.");
    expect(out).not.toContain("\x1b[2J");
  });

  test("--follow shows what is said later, and told to stop it leaves nobody behind", async () => {
    await using machine = await machineWithBlue();
    const log = machine.file("stand-in/blue.log");
    writeFileSync(log, "one\n");
    const child = Bun.spawn([EXECUTABLE, "logs", "blue", "--follow"], {
      env: machine.env,
      stdout: "pipe",
      stderr: "inherit",
    });
    let out = "";
    const reading = (async () => {
      for await (const piece of child.stdout) out += new TextDecoder().decode(piece);
    })();
    await until(() => out === "one\n" && machine.has("stand-in/following"));
    appendFileSync(log, "two\n");
    await until(() => out === "one\ntwo\n");
    child.kill("SIGTERM");
    expect(await child.exited).toBe(0);
    await reading;
    expect(isAlive(Number(machine.text("stand-in/following")))).toBe(false);
  });

  test("a number of lines that is none is a wrong command line", async () => {
    await using machine = await machineWithBlue();
    const { err, status } = await machine.run(["logs", "blue", "-n", "many"]);
    expect(err).toStartWith("--lines must be a whole number from 0 to 1000000");
    expect(status).toBe(64);
  });
});

test("instance ports: the kernel's table gives the ports that are listened on", () => {
  const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100007F:0BB8 0100007F:8D9E 01 00000000:00000000 00:00000000 00000000     0        0 2
`;
  expect(portsIn(table)).toEqual([8080]);
});
