import { expect, test } from "bun:test";
import { type InstanceMachine, instanceMachine } from "./support/instance-machine.ts";
import { isAlive } from "./support/start-paastis.ts";

interface Listed {
  readonly name: string;
  readonly state: string;
  readonly enabled: boolean;
  readonly listenPort: number;
  readonly targetPort: number;
}

async function list(machine: InstanceMachine): Promise<readonly Listed[]> {
  return JSON.parse((await machine.run(["list", "--json"])).out) as Listed[];
}

/** The app behind an instance. */
function serveApp({ name, targetPort }: Listed) {
  return Bun.serve({
    hostname: "127.0.0.1",
    port: targetPort,
    fetch: ({ url }) => new Response(new URL(url).pathname === "/health" ? "ok" : `I am ${name}`),
  });
}

async function ask({ listenPort }: Listed): Promise<string> {
  const answer = await fetch(`http://127.0.0.1:${listenPort}/`, { keepalive: false });
  return `${answer.status} ${await answer.text()}`;
}

test("instances: two on one machine live and die on their own", async () => {
  await using machine = instanceMachine();
  const succeed = async (...args: readonly string[]) => {
    const { out, err, status } = await machine.run(args);
    // Where this checkout lies, a real systemd might not see the executable: the stand-in does.
    const said = err.replace(/^Warning: .* hide it: .*\n/, "");
    expect({ args, said, status }).toEqual({ args, said: "", status: 0 });
    return out;
  };
  await succeed("init");
  await succeed("add", "blue");
  await succeed("add", "green");
  const [blue, green] = await list(machine);
  if (blue === undefined || green === undefined) throw new Error("two were added");
  using _blueApp = serveApp(blue);
  using _greenApp = serveApp(green);

  // As `Type=notify` has it, a start is over when the program is ready.
  expect(await succeed("start", "blue", "green")).toBe(
    `blue is started and listens on port ${blue.listenPort}.\n` +
      `green is started and listens on port ${green.listenPort}.\n`,
  );
  expect(await ask(blue)).toBe("200 I am blue");
  expect(await ask(green)).toBe("200 I am green");
  await succeed("enable", "green");
  expect(await list(machine)).toMatchObject([
    { name: "blue", state: "active", enabled: false },
    { name: "green", state: "active", enabled: true },
  ]);
  expect(await succeed("doctor")).toEndWith("\nNothing is wrong.\n");
  expect(await succeed("logs", "blue")).toContain('"msg":"listening on ');

  const before = { blue: machine.pid("blue"), green: machine.pid("green") };
  await succeed("restart", "blue");
  expect(machine.pid("blue")).not.toBe(before.blue);
  expect(await ask(blue)).toBe("200 I am blue");

  machine.refuse("stop");
  const refused = await machine.run(["remove", "blue", "--force"]);
  expect(refused.err).toStartWith("blue is not removed: Failed to do that: Access denied\n");
  expect(await ask(blue)).toBe("200 I am blue");
  machine.refuse("");

  const restarted = machine.pid("blue");
  await succeed("remove", "blue", "--force");
  expect(isAlive(restarted)).toBe(false);
  await expect(ask(blue)).rejects.toThrow();
  expect(await list(machine)).toMatchObject([{ name: "green", state: "active" }]);
  expect(machine.pid("green")).toBe(before.green);
  expect(await ask(green)).toBe("200 I am green");

  await succeed("clean", "--force");
  expect(isAlive(before.green)).toBe(false);
  expect(machine.has("var/lib/paastis")).toBe(false);
});

test("instances: one whose settings cannot be used does not start, and is said so", async () => {
  await using machine = instanceMachine();
  await machine.run(["init"]);
  await machine.run(["add", "blue"]);
  const file = machine.file("etc/paastis/blue.env");
  await Bun.write(file, `${machine.text("etc/paastis/blue.env")}DRAIN_MS=soon\n`);
  const { err, status } = await machine.run(["start", "blue"]);
  expect(err).toStartWith(
    "Cannot start blue: Job for paastis@blue.service failed because the control process exited with error code.\n",
  );
  expect(err).toEndWith(
    "`paastis logs blue` shows what it said, `paastis doctor blue` looks for causes.\n",
  );
  expect(status).toBe(1);
  expect(await list(machine)).toMatchObject([{ name: "blue", state: "failed" }]);
  expect((await machine.run(["logs", "blue"])).out).toContain("DRAIN_MS must be");
});
