import { describe, expect, test } from "bun:test";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { type InstanceMachine, instanceMachine, runOutside } from "./support/instance-machine.ts";

async function machineWith(...names: readonly string[]): Promise<InstanceMachine> {
  const machine = instanceMachine();
  await machine.run(["init"]);
  for (const name of names) await machine.run(["add", name]);
  return machine;
}

function left(machine: InstanceMachine, name: string): readonly string[] {
  const paths = [`etc/paastis/${name}.env`, `var/lib/paastis/${name}`, `run/paastis/${name}`];
  return paths.filter((path) => machine.has(path));
}

describe("instance remove", () => {
  test("disables it and deletes its file and folders, and nothing of its neighbour", async () => {
    await using machine = await machineWith("blue", "green");
    await machine.run(["enable", "blue", "green"]);
    const { out, status } = await machine.run(["remove", "blue", "--force"]);
    expect({ out, status }).toEqual({ out: "blue is removed.\n", status: 0 });
    expect(left(machine, "blue")).toEqual([]);
    expect(left(machine, "green")).toHaveLength(3);
    expect(machine.changes().at(-1)).toBe("disable paastis@blue.service");
    expect(JSON.parse((await machine.run(["list", "--json"])).out)).toMatchObject([
      { name: "green", enabled: true },
    ]);
  });

  test("with --keep-state its folder stays, and can be removed later", async () => {
    await using machine = await machineWith("blue");
    writeFileSync(machine.file("var/lib/paastis/blue/state.json"), "{}");
    const { out } = await machine.run(["remove", "blue", "--force", "--keep-state"]);
    expect(out).toContain(`Its state is kept in ${machine.file("var/lib/paastis/blue")}`);
    expect(left(machine, "blue")).toEqual(["var/lib/paastis/blue"]);
    expect(machine.text("var/lib/paastis/blue/state.json")).toBe("{}");
    expect((await machine.run(["remove", "blue", "--force"])).status).toBe(0);
    expect(left(machine, "blue")).toEqual([]);
  });

  test("without a terminal and without --force nothing happens, and exit 64", async () => {
    await using machine = await machineWith("blue");
    for (const args of [["remove", "blue"], ["clean"]]) {
      const { out, err, status } = await machine.run(args);
      expect({ out, status }).toEqual({ out: "", status: 64 });
      expect(err).toBe("Nothing was removed: there is no terminal to ask at\nGive --force\n");
    }
    expect(left(machine, "blue")).toHaveLength(3);
  });

  test.each([
    ["y\n", 0, 0],
    ["YES\n", 0, 0],
    ["n\n", 1, 3],
    ["\n", 1, 3],
    ["yesterday\n", 1, 3],
    // The end of the input, Ctrl-D.
    ["\x04", 1, 3],
  ])("on a terminal it asks, and %j ends with %i", async (types, status, paths) => {
    await using machine = await machineWith("blue");
    const ran = await machine.onTerminal(["remove", "blue"], { types });
    expect(ran.out.replaceAll(/\s+/g, " ")).toContain("Stop and remove the instance blue");
    expect(ran.status).toBe(status);
    expect(left(machine, "blue")).toHaveLength(paths);
  });

  test("Ctrl-C at the question removes nothing", async () => {
    await using machine = await machineWith("blue");
    const ran = await machine.onTerminal(["remove", "blue"], { types: "\x03" });
    expect(ran.status).not.toBe(0);
    expect(left(machine, "blue")).toHaveLength(3);
  });

  test("one that cannot be taken out of the start is left as it is", async () => {
    await using machine = await machineWith("blue");
    await machine.run(["enable", "blue"]);
    machine.refuse("disable");
    const { err, status } = await machine.run(["remove", "blue", "--force"]);
    expect(err).toStartWith("blue is not removed: Failed to do that: Access denied\n");
    expect(status).toBe(1);
    expect(left(machine, "blue")).toHaveLength(3);
  });

  test("one that runs outside systemd is not removed, nor by clean, until that process has ended", async () => {
    await using machine = await machineWith("blue");
    {
      await using program = await runOutside(machine, "blue");
      for (const args of [
        ["remove", "blue", "--force"],
        ["clean", "--force"],
      ]) {
        const { err, status } = await machine.run(args);
        expect(err).toBe(
          `blue is not removed: it still runs outside systemd, as process ${program.pid} on ${hostname()}\nStop that process, then run this again; nothing was deleted\n`,
        );
        expect(status).toBe(1);
        expect(left(machine, "blue")).toHaveLength(3);
      }
    }
    expect((await machine.run(["remove", "blue", "--force"])).status).toBe(0);
    expect(left(machine, "blue")).toEqual([]);
  });

  test("one that was interrupted is repeated", async () => {
    await using machine = await machineWith("blue");
    rmSync(machine.file("var/lib/paastis/blue"), { recursive: true });
    expect((await machine.run(["remove", "blue", "--force"])).status).toBe(0);
    expect(left(machine, "blue")).toEqual([]);
  });

  test("a folder that systemd keeps elsewhere is deleted there, and no other", async () => {
    await using machine = await machineWith("blue", "green");
    mkdirSync(machine.file("var/lib/private/paastis"), { recursive: true });
    renameSync(machine.file("var/lib/paastis/blue"), machine.file("var/lib/private/paastis/blue"));
    symlinkSync("../private/paastis/blue", machine.file("var/lib/paastis/blue"));
    mkdirSync(machine.file("precious"));
    rmSync(machine.file("var/lib/paastis/green"), { recursive: true });
    symlinkSync(machine.file("precious"), machine.file("var/lib/paastis/green"));
    await machine.run(["remove", "blue", "--force"]);
    await machine.run(["remove", "green", "--force"]);
    expect(machine.has("var/lib/private/paastis/blue")).toBe(false);
    expect(machine.has("var/lib/paastis/green")).toBe(false);
    expect(machine.has("precious")).toBe(true);
  });

  test("one that is not there is named, with the one that is probably meant", async () => {
    await using machine = await machineWith("blue");
    const { err, status } = await machine.run(["remove", "bleu", "--force"]);
    expect(err).toBe(
      `There is no instance bleu: ${machine.file("etc/paastis")} has no bleu.env\nDid you mean blue?\n`,
    );
    expect(status).toBe(1);
  });
});

describe("instance clean", () => {
  test("removes everything, and can be repeated", async () => {
    await using machine = await machineWith("blue", "green");
    await machine.run(["enable", "green"]);
    const { out, status } = await machine.run(["clean", "--force"]);
    expect({ out, status }).toEqual({
      out: "Removed: 2 instances (blue and green), settings, state and unit.\n",
      status: 0,
    });
    for (const path of ["etc/paastis", "var/lib/paastis", "run/paastis"]) {
      expect(machine.has(path)).toBe(false);
    }
    expect(machine.has("etc/systemd/system/paastis@.service")).toBe(false);
    expect(machine.changes().slice(-2)).toEqual(["disable paastis@green.service", "daemon-reload"]);
    expect((await machine.run(["clean", "--force"])).status).toBe(0);
  });
});
