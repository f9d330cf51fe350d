import { describe, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { whyHidden, whyNotRunnable } from "../src/cli/instance-init.ts";
import { instancePaths } from "../src/cli/instance-paths.ts";
import { templateUnit } from "../src/cli/instance-unit.ts";
import { instanceMachine } from "./support/instance-machine.ts";
import { runCommand } from "./support/run-command.ts";
import { EXECUTABLE } from "./support/start-paastis.ts";
import { tempDir } from "./support/temp-dir.ts";

/** What `systemd-analyze security` may say of the unit, 0 (best) to 10; its own limit for "OK" is 5. */
const EXPOSURE_MAX = 2;

const MACHINE = { paths: instancePaths(null), binary: "/usr/bin/true", user: null };
const hasAnalyze = Bun.which("systemd-analyze") !== null;

function linesOf(unit: string): ReadonlySet<string> {
  return new Set(unit.split("\n"));
}

describe("instance unit", () => {
  test("is hardened, notifies, and is watched", () => {
    const lines = linesOf(templateUnit(MACHINE));
    for (const line of [
      "Type=notify",
      "NotifyAccess=main",
      "WatchdogSec=30",
      "EnvironmentFile=/etc/paastis/%i.env",
      "ExecStart=/usr/bin/true serve",
      "NoNewPrivileges=yes",
      "ProtectSystem=strict",
      "ProtectHome=yes",
      "PrivateTmp=yes",
      "ReadWritePaths=/var/lib/paastis/%i /run/paastis/%i",
    ]) {
      expect(lines).toContain(line);
    }
  });

  test("each instance runs as a user of its own, whose name systemd takes", () => {
    expect(linesOf(templateUnit(MACHINE))).toContain("User=paastis-%i");
    expect("paastis-".length + 23).toBe(31);
  });

  test("below a prefix every path lies there, and nobody else's user is used", () => {
    const paths = instancePaths("/home/me/p");
    const unit = templateUnit({ ...MACHINE, paths, user: "me" });
    expect(unit).toContain("EnvironmentFile=/home/me/p/etc/paastis/%i.env\n");
    expect(unit).toContain(
      "ReadWritePaths=/home/me/p/var/lib/paastis/%i /home/me/p/run/paastis/%i\n",
    );
    expect(unit).toContain("\nUser=me\n");
    expect(unit).not.toContain("DynamicUser");
  });

  for (const [what, prefix] of [
    ["of the machine", null],
    ["below a prefix", "/srv/paastis"],
  ] as const) {
    // Debian package systemd; a machine without it cannot check a unit.
    test.skipIf(!hasAnalyze)(`systemd finds nothing wrong with the unit ${what}`, async () => {
      using folder = tempDir();
      const unit = templateUnit({ ...MACHINE, paths: instancePaths(prefix) });
      writeFileSync(folder.file("paastis@.service"), unit);
      const options = { env: { SYSTEMD_COLORS: "0" } };
      const file = folder.file("paastis@.service");
      const verified = await runCommand(["systemd-analyze", "verify", file], options);
      expect(verified).toEqual({ status: 0, stdout: "", stderr: "" });
      const argv = ["systemd-analyze", "security", "--offline=true", file];
      const { stdout } = await runCommand(argv, options);
      const exposure = Number(/Overall exposure level.*: ([\d.]+)/.exec(stdout)?.[1]);
      expect(exposure).toBeLessThanOrEqual(EXPOSURE_MAX);
    });
  }
});

describe("instance init", () => {
  test("with --dry-run the unit is printed and nothing is written or called", async () => {
    await using machine = instanceMachine();
    const { out, err, status } = await machine.run(["init", "--dry-run"]);
    expect(status).toBe(0);
    // Whoever tests below /home is warned.
    if (whyHidden(EXECUTABLE) === null) expect(err).toBe("");
    expect(out).toStartWith(
      `# Would be written to ${machine.file("etc/systemd/system/paastis@.service")}`,
    );
    expect(out).toContain(`ExecStart=${EXECUTABLE} serve\n`);
    expect(machine.has("etc")).toBe(false);
    expect(machine.changes()).toEqual([]);
  });

  test("with --dry-run anybody may look at the unit of the machine itself", async () => {
    await using machine = instanceMachine();
    const { out, status } = await machine.run(["init", "--dry-run"], { PAASTIS_PREFIX: "" });
    expect(status).toBe(0);
    expect(out).toStartWith(
      "# Would be written to /etc/systemd/system/paastis@.service; folders: ",
    );
    expect(out).toContain("\nStateDirectory=paastis/%i\n");
  });

  test("writes the unit and the folders, lets systemd read it, and can be repeated", async () => {
    await using machine = instanceMachine();
    expect((await machine.run(["init"])).status).toBe(0);
    expect(machine.text("etc/systemd/system/paastis@.service")).toContain("[Service]\n");
    for (const path of ["etc/paastis", "var/lib/paastis", "run/paastis"]) {
      expect(machine.has(path)).toBe(true);
    }
    expect(machine.changes()).toEqual(["daemon-reload"]);
    const again = await machine.run(["init"]);
    expect(again.out).toContain("is as it must be");
    expect(again.status).toBe(0);
  });

  test("replaces a unit of another version", async () => {
    await using machine = instanceMachine();
    mkdirSync(machine.file("etc/systemd/system"), { recursive: true });
    const path = "etc/systemd/system/paastis@.service";
    writeFileSync(machine.file(path), "[Service]\n");
    expect((await machine.run(["init"])).out).toContain("written");
    expect(machine.text(path)).toContain("[Install]\n");
  });

  test("below a prefix a systemd that does not answer is a warning only", async () => {
    await using machine = instanceMachine({ systemd: false });
    const { err, status } = await machine.run(["init"]);
    expect(err).toEndWith(
      "Warning: The unit was written, but systemd did not read it: there is no systemctl on the PATH\n",
    );
    expect(status).toBe(0);
  });

  test("a program that is not there is refused", async () => {
    await using machine = instanceMachine();
    const { err, status } = await machine.run(["init", "--binary", "/nowhere/paastis"]);
    expect(err).toStartWith("Cannot install the unit: /nowhere/paastis is not there\n");
    expect(status).toBe(1);
    expect(machine.has("etc")).toBe(false);
  });

  test("a program that the unit's protection hides from it is refused, and below a prefix warned of", async () => {
    await using machine = instanceMachine();
    const hidden = machine.file("program");
    copyFileSync("/usr/bin/true", hidden);
    const shelf = mkdtempSync("/dev/shm/paastis-test-");
    try {
      const link = join(shelf, "paastis");
      symlinkSync(hidden, link);
      const why = `leads to ${hidden}, where the unit's ProtectHome and PrivateTmp hide it`;
      expect(whyNotRunnable(link, MACHINE)).toBe(why);
      expect(whyNotRunnable(hidden, MACHINE)).toBe(
        "lies where the unit's ProtectHome and PrivateTmp hide it",
      );
      const { err, status } = await machine.run(["init", "--binary", link]);
      expect(err).toBe(`Warning: ${link} ${why}: systemd itself could not run it there\n`);
      expect(status).toBe(0);
    } finally {
      rmSync(shelf, { recursive: true });
    }
  });

  test("a prefix that a unit would have to quote is refused", async () => {
    await using machine = instanceMachine();
    const { err, status } = await machine.run(["init", "--prefix", "/tmp/a b"]);
    expect(err).toStartWith('Cannot use this prefix: "/tmp/a b" has characters');
    expect(status).toBe(64);
  });
});
