import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync, cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { whyWeak } from "../src/cli/instance-token.ts";
import { type InstanceMachine, instanceMachine, runOutside } from "./support/instance-machine.ts";
import { EXECUTABLE } from "./support/start-paastis.ts";

interface Finding {
  readonly instance: string | null;
  readonly check: string;
  readonly verdict: string;
  readonly saw: string;
  readonly advice: string | null;
}

/** A machine where nothing is wrong but that the instance is not started: its app answers. */
async function healthyMachine() {
  const app = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => new Response(null, { status: request.url.endsWith("/up") ? 204 : 404 }),
  });
  const machine = instanceMachine();
  await machine.run(["init"]);
  await machine.run(["add", "blue", "--target", `${app.port}`, "--health", "/up"]);
  return {
    machine,
    app,
    async [Symbol.asyncDispose]() {
      await app.stop(true);
      await machine[Symbol.asyncDispose]();
    },
  };
}

async function troubles(machine: InstanceMachine) {
  const { out, status } = await machine.run(["doctor", "--json"]);
  const found = JSON.parse(out) as Finding[];
  // Whoever tests below /home has a program there.
  const isOurOwn = ({ check, saw }: Finding) => check === "binary" && saw.startsWith(EXECUTABLE);
  return { status, found: found.filter((one) => one.verdict !== "fine" && !isOurOwn(one)) };
}

function change(machine: InstanceMachine, from: RegExp, to: string): void {
  const path = "etc/paastis/blue.env";
  writeFileSync(machine.file(path), machine.text(path).replace(from, to));
}

/** One healthy machine for many tests: each finds it as the first did. */
async function sharedMachine() {
  const world = await healthyMachine();
  const { prefix } = world.machine;
  cpSync(prefix, `${prefix}-healthy`, { recursive: true, preserveTimestamps: true });
  return {
    ...world,
    machine: world.machine,
    restore() {
      rmSync(prefix, { recursive: true });
      cpSync(`${prefix}-healthy`, prefix, { recursive: true, preserveTimestamps: true });
    },
  };
}

describe("instance doctor", () => {
  let shared: Awaited<ReturnType<typeof sharedMachine>>;
  beforeAll(async () => {
    shared = await sharedMachine();
  });
  afterEach(() => shared.restore());
  afterAll(() => shared[Symbol.asyncDispose]());

  test("where all is well but the start, that is a doubt and exit 0", async () => {
    const world = shared;
    expect(await troubles(world.machine)).toEqual({
      status: 0,
      found: [
        {
          instance: "blue",
          check: "service",
          verdict: "doubtful",
          saw: "inactive",
          advice: "`paastis start blue` starts it",
        },
      ],
    });
  });

  const CASES: readonly (readonly [
    what: string,
    spoil: (machine: InstanceMachine) => void,
    check: string,
    saw: RegExp,
    advice: RegExp,
  ])[] = [
    [
      "a file that others can read",
      (machine) => chmodSync(machine.file("etc/paastis/blue.env"), 0o644),
      "settings",
      /has mode 0644: others can read its token$/,
      /^Run `chmod 600 /,
    ],
    [
      "a short token",
      (machine) => change(machine, /ADMIN_TOKEN=.*/, "ADMIN_TOKEN=hunter2"),
      "token",
      /^it has 7 characters, at least 32 are needed$/,
      /openssl rand/,
    ],
    [
      "a state folder that others can read",
      (machine) => chmodSync(machine.file("var/lib/paastis/blue"), 0o755),
      "state",
      /has mode 0755/,
      /chmod 700/,
    ],
    [
      "no state folder",
      (machine) => rmSync(machine.file("var/lib/paastis/blue"), { recursive: true }),
      "state",
      /is not there$/,
      /mkdir -m 700/,
    ],
    [
      "no unit",
      (machine) => rmSync(machine.file("etc/systemd/system/paastis@.service")),
      "unit",
      /is not there$/,
      /^Run `paastis init`$/,
    ],
    [
      "a program that is gone",
      (machine) => {
        const path = machine.file("etc/systemd/system/paastis@.service");
        const unit = machine.text("etc/systemd/system/paastis@.service");
        writeFileSync(path, unit.replace(/^ExecStart=.*$/m, "ExecStart=/gone/paastis serve"));
      },
      "binary",
      /^\/gone\/paastis is not there$/,
      /paastis init/,
    ],
    [
      "a folder that others can write",
      (machine) => chmodSync(machine.file("etc/paastis"), 0o777),
      "folder",
      /can be written by others$/,
      /chmod 755/,
    ],
    [
      "no port",
      (machine) => change(machine, /LISTEN_PORT=.*/, "LISTEN_PORT=none"),
      "settings",
      /has no port in LISTEN_PORT$/,
      /port from 1 to 65535/,
    ],
    [
      "an app that is not healthy",
      (machine) => change(machine, /HEALTH_PATH=.*/, "HEALTH_PATH=/down"),
      "target",
      /: status 404 from \/down$/,
      /let \/down answer 2xx/,
    ],
    [
      "a target where nobody listens",
      (machine) => change(machine, /INITIAL_TARGET_PORT=.*/, "INITIAL_TARGET_PORT=1"),
      "target",
      /^port 1: connection refused/,
      /^Start the app on port 1 /,
    ],
  ];
  test.each(CASES)("%s is wrong, with what to do", async (_, spoil, check, saw, advice) => {
    const world = shared;
    spoil(world.machine);
    const { status, found } = await troubles(world.machine);
    expect(status).toBe(1);
    const finding = found.find((one) => one.check === check && one.verdict === "wrong");
    expect(finding?.saw).toMatch(saw);
    expect(finding?.advice).toMatch(advice);
  });

  test("a port that another program has is wrong", async () => {
    const world = shared;
    const other = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => undefined } });
    try {
      change(world.machine, /LISTEN_PORT=.*/, `LISTEN_PORT=${other.port}`);
      const { found } = await troubles(world.machine);
      expect(found.find(({ check }) => check === "port")).toMatchObject({
        verdict: "wrong",
        saw: `another program listens on ${other.port}`,
      });
    } finally {
      other.stop(true);
    }
  });

  test("a program that the unit's protection hides from it is a doubt below a prefix", async () => {
    const world = shared;
    const hidden = world.machine.file("program");
    copyFileSync("/usr/bin/true", hidden);
    const path = "etc/systemd/system/paastis@.service";
    for (const [binary, says] of [
      [hidden, `${hidden} lies where the unit's ProtectHome and PrivateTmp hide it`],
      ["/usr/bin/true", null],
    ] as const) {
      const unit = world.machine.text(path).replace(/^ExecStart=.*$/m, `ExecStart=${binary} serve`);
      writeFileSync(world.machine.file(path), unit);
      const { found } = await troubles(world.machine);
      expect(found.find(({ check }) => check === "binary")?.saw ?? null).toBe(says);
    }
  });

  test("where systemd does not run, that is said once, and of nothing else", async () => {
    const world = shared;
    const says = "System has not been booted with systemd as init system (PID 1). Can't operate.";
    const bin = mkdtempSync(join(tmpdir(), "paastis-test-"));
    try {
      writeFileSync(join(bin, "systemctl"), `#!/bin/sh\necho "${says}" >&2\nexit 1\n`);
      chmodSync(join(bin, "systemctl"), 0o755);
      const { out, status } = await world.machine.run(["doctor", "--json"], { PATH: bin });
      const found = JSON.parse(out).filter(
        ({ check, verdict }: Finding) => verdict !== "fine" && check !== "binary",
      );
      expect(found).toEqual([
        {
          instance: null,
          check: "systemctl",
          verdict: "wrong",
          saw: `${bin}/systemctl is there, but systemd does not run: ${says}`,
          advice: expect.stringContaining("paastis serve"),
        },
      ]);
      expect(status).toBe(1);
    } finally {
      rmSync(bin, { recursive: true });
    }
  });

  test("an instance that runs outside systemd is known, where it listens and where a switch has led it", async () => {
    const world = shared;
    await using program = await runOutside(world.machine, "blue");
    const { found } = await troubles(world.machine);
    expect(found).toEqual([
      {
        instance: "blue",
        check: "service",
        verdict: "doubtful",
        saw: `runs outside systemd, as process ${program.pid} on ${hostname()}`,
        advice: "Stop that process, then `paastis start blue`",
      },
    ]);
  });

  test("a unit that was changed is a doubt", async () => {
    const world = shared;
    const path = "etc/systemd/system/paastis@.service";
    const unit = world.machine.text(path).replace("NoNewPrivileges=yes", "NoNewPrivileges=no");
    writeFileSync(world.machine.file(path), unit);
    const { status, found } = await troubles(world.machine);
    expect(found).toContainEqual(expect.objectContaining({ check: "unit", verdict: "doubtful" }));
    expect(status).toBe(0);
  });

  test("for people: a line each, what to do below it, and never the token", async () => {
    const world = shared;
    change(world.machine, /INITIAL_TARGET_PORT=.*/, "INITIAL_TARGET_PORT=1");
    const { out, status } = await world.machine.run(["doctor", "blue"]);
    expect(status).toBe(1);
    expect(out).toMatch(/^ {2}✓ {2}blue +token +strong$/m);
    expect(out).toMatch(/^ {2}✗ {2}blue +target +port 1: .*\n +-> Start the app on port 1 /m);
    expect(out).toEndWith("\n1 problem.\n");
    const env = world.machine.text("etc/paastis/blue.env");
    expect(out).not.toContain(/ADMIN_TOKEN=(.*)/.exec(env)?.[1] ?? "no token");
  });
});

test.each([
  ["", /none/],
  ["x".repeat(31), /31 characters/],
  ["ab".repeat(20), /repeats/],
  ["3f9a0c77e51b4d2688aa13f09bc4d5e6", null],
])("instance token: how hard %j is to guess", (token, why) => {
  if (why === null) expect(whyWeak(token)).toBeNull();
  else expect(whyWeak(token)).toMatch(why);
});
