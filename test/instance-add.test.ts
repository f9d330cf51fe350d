import { describe, expect, test } from "bun:test";
import { readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { parseDotenv } from "../src/dotenv-file.ts";
import { type InstanceMachine, instanceMachine } from "./support/instance-machine.ts";
import { EXECUTABLE } from "./support/start-paastis.ts";

function settings(machine: InstanceMachine, name: string): Readonly<Record<string, string>> {
  return parseDotenv(machine.text(`etc/paastis/${name}.env`)).values;
}

function modeOf(machine: InstanceMachine, path: string): string {
  return (statSync(machine.file(path)).mode & 0o777).toString(8);
}

describe("instance add", () => {
  test("the file has everything of the contract, for its owner alone, and never shows the token", async () => {
    await using machine = instanceMachine();
    const { out, err, status } = await machine.run(["add", "blue", "--health", "/up?full=1"]);
    expect({ err, status }).toEqual({ err: "", status: 0 });
    const { ADMIN_TOKEN: token = "", ...others } = settings(machine, "blue");
    expect(others).toEqual({
      INSTANCE_NAME: "blue",
      LISTEN_PORT: expect.stringMatching(/^3\d\d\d$/),
      INITIAL_TARGET_PORT: expect.stringMatching(/^8\d\d\d$/),
      HEALTH_PATH: "/up?full=1",
      ADMIN_UNIX_SOCKET: machine.file("run/paastis/blue/admin.sock"),
      DATA_DIR: machine.file("var/lib/paastis/blue"),
      STATE_FILE: machine.file("var/lib/paastis/blue/state.json"),
    });
    expect(Buffer.from(token, "base64url")).toHaveLength(32);
    expect(out).not.toContain(token);
    expect(out).toContain(`ADMIN_TOKEN in ${machine.file("etc/paastis/blue.env")}`);
    expect(modeOf(machine, "etc/paastis/blue.env")).toBe("600");
    expect(modeOf(machine, "var/lib/paastis/blue")).toBe("700");
    expect(readdirSync(machine.file("etc/paastis")).toSorted()).toEqual([".lock", "blue.env"]);
  });

  test("the token is shown when somebody asks for it", async () => {
    await using machine = instanceMachine();
    const { out } = await machine.run(["add", "blue", "--show-token"]);
    expect(out).toContain(settings(machine, "blue").ADMIN_TOKEN ?? "no token");
  });

  test("two that are made in the same moment have ports, folders and tokens of their own", async () => {
    await using machine = instanceMachine();
    const names = ["a", "b", "c", "d"];
    const ran = await Promise.all(names.map((name) => machine.run(["add", name])));
    expect(ran.map(({ status }) => status)).toEqual([0, 0, 0, 0]);
    for (const variable of [
      "LISTEN_PORT",
      "INITIAL_TARGET_PORT",
      "ADMIN_TOKEN",
      "DATA_DIR",
      "STATE_FILE",
      "ADMIN_UNIX_SOCKET",
    ]) {
      expect(new Set(names.map((name) => settings(machine, name)[variable])).size).toBe(4);
    }
  });

  test("a port that is listened on is skipped, and refused when it is asked for", async () => {
    await using machine = instanceMachine();
    await machine.run(["add", "first"]);
    const free = Number(settings(machine, "first").LISTEN_PORT);
    await machine.run(["remove", "first", "--force"]);
    using _ = Bun.listen({ hostname: "127.0.0.1", port: free, socket: { data: () => undefined } });
    await machine.run(["add", "second"]);
    expect(settings(machine, "second").LISTEN_PORT).not.toBe(`${free}`);
    const refused = await machine.run(["add", "third", "--port", `${free}`]);
    expect(refused.err).toStartWith(
      `Cannot listen on port ${free}: another program listens there\n`,
    );
    expect(refused.status).toBe(1);
    expect((await machine.run(["add", "third", "--port", `${free}`, "--force"])).status).toBe(0);
  });

  test("a name, a port or a target of another instance is refused, even with --force", async () => {
    await using machine = instanceMachine();
    await machine.run(["add", "blue", "--port", "3901", "--target", "8901"]);
    const before = machine.text("etc/paastis/blue.env");
    const cases: readonly (readonly [string, readonly string[]])[] = [
      ["Cannot add blue: there is an instance of this name already", ["add", "blue"]],
      ["Cannot use port 3901: it belongs to the instance blue", ["add", "b", "--port", "3901"]],
      [
        "Cannot use port 8901: it belongs to the instance blue",
        ["add", "b", "--target", "8901", "--force"],
      ],
      ["Cannot use port 8901: it belongs to the instance blue", ["add", "b", "--port", "8901"]],
    ];
    for (const [text, args] of cases) {
      const { err, status } = await machine.run(args);
      expect(err).toStartWith(text);
      expect(status).toBe(1);
    }
    expect(machine.text("etc/paastis/blue.env")).toBe(before);
    expect(machine.has("etc/paastis/b.env")).toBe(false);
  });

  test("with --force the ports stay and the token is new", async () => {
    await using machine = instanceMachine();
    await machine.run(["add", "blue", "--port", "3902", "--target", "8902"]);
    const before = settings(machine, "blue");
    expect((await machine.run(["add", "blue", "--force", "--health", "/up"])).status).toBe(0);
    const { ADMIN_TOKEN: token, ...others } = settings(machine, "blue");
    expect(others).toEqual({ ...others, LISTEN_PORT: "3902", INITIAL_TARGET_PORT: "8902" });
    expect(token).not.toBe(before.ADMIN_TOKEN);
  });

  test("what cannot be a name, a port or a path is a wrong command line", async () => {
    await using machine = instanceMachine();
    const long = "a".repeat(24);
    for (const args of [
      ["Blue"],
      ["-blue"],
      ["blue-"],
      ["blue.green"],
      ["../etc"],
      ["blue@1"],
      [long],
      ["blue", "--port", "0"],
      ["blue", "--port", "80a"],
      ["blue", "--target", "65536"],
      ["blue", "--health", "up"],
      ["blue", "--health", "/u p"],
      ["blue", "--port", "8000", "--target", "8000"],
      [],
    ]) {
      const { status, out, err } = await machine.run(["add", ...args]);
      expect({ args, status, out }).toEqual({ args, status: 64, out: "" });
      expect(err).not.toBe("");
    }
    expect(machine.has("etc")).toBe(false);
  });

  test("a socket whose path is too long for a socket is refused before anything is made", async () => {
    await using machine = instanceMachine();
    const prefix = machine.file("x".repeat(90));
    const { err, status } = await machine.run(["add", "blue", "--prefix", prefix]);
    expect(err).toContain("would have a path longer than 107 bytes");
    expect(status).toBe(1);
  });

  test("an interrupted one is repeated: half a file is nobody's instance", async () => {
    await using machine = instanceMachine();
    await machine.run(["add", "blue"]);
    rmSync(machine.file("etc/paastis/blue.env"));
    writeFileSync(machine.file("etc/paastis/.12345.new"), "INSTANCE_NAME=blue\nLISTEN_");
    expect(JSON.parse((await machine.run(["list", "--json"])).out)).toEqual([]);
    expect((await machine.run(["add", "blue"])).status).toBe(0);
  });

  test("somebody who is not root is told what to do, and exit 77", async () => {
    await using machine = instanceMachine();
    const isRoot = process.getuid?.() === 0;
    const argv = isRoot ? ["setpriv", "--reuid=65534", "--clear-groups", EXECUTABLE] : [EXECUTABLE];
    for (const args of [["add", "blue"], ["init"], ["list"], ["start", "blue"], ["doctor"]]) {
      const child = Bun.spawn([...argv, ...args], {
        cwd: "/",
        env: { PATH: process.env.PATH ?? "" },
        stdout: "pipe",
        stderr: "pipe",
      });
      const [out, err] = await Promise.all([child.stdout.text(), child.stderr.text()]);
      expect({ out, status: await child.exited }).toEqual({ out: "", status: 77 });
      expect(err).toMatch(
        /^Cannot manage instances of this machine: that needs root, and this is user \d+\nUse sudo, or give a folder of your own with --prefix <folder> or PAASTIS_PREFIX\n$/,
      );
    }
    expect(machine.has("etc")).toBe(false);
  });
});
