import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";

import { type ReachFlags, reachFrom } from "../src/cli/admin-reach.ts";
import { InstanceFailure } from "../src/cli/instance-failure.ts";
import { runCommandLine } from "../src/cli/run.ts";
import { startAdminServer } from "./support/admin-server.ts";
import { runCommand } from "./support/run-command.ts";
import { tempDir } from "./support/temp-dir.ts";

type Environment = Readonly<Record<string, string>>;

function labels(flags: ReachFlags, environment: Environment = {}, workingDirectory = "/nowhere") {
  return reachFrom(flags, { environment, workingDirectory }).places.map(({ label }) => label);
}

function failure(flags: ReachFlags, environment: Environment = {}): InstanceFailure {
  try {
    reachFrom(flags, { environment, workingDirectory: "/nowhere" });
  } catch (error) {
    if (error instanceof InstanceFailure) return error;
  }
  throw new Error("it was not refused");
}

/** A prefix with one instance. */
function withInstance(text: string, name = "shop") {
  const folder = tempDir();
  mkdirSync(folder.file("etc/paastis"), { recursive: true });
  writeFileSync(folder.file(`etc/paastis/${name}.env`), text);
  return folder;
}

async function run(
  args: readonly string[],
  workingDirectory: string,
  environment: Environment = {},
) {
  const said: string[] = [];
  const status = await runCommandLine(args, {
    environment,
    workingDirectory,
    columns: { out: null, err: null },
    writeOut: (text) => said.push(text),
    writeErr: (text) => said.push(text),
  });
  return { status, said: said.join("") };
}

describe("whom to ask", () => {
  /* biome-ignore format: a table */
  const cases: readonly [what: string, flags: ReachFlags, environment: Environment, places: string[]][] = [
    ["nothing is given", {}, {}, ["/nowhere/.paastis/admin.sock", "http://127.0.0.1:3000"]],
    ["a data folder", {}, { DATA_DIR: "data" }, ["/nowhere/data/admin.sock", "http://127.0.0.1:3000"]],
    ["a socket of the environment", {}, { DATA_DIR: "/d", ADMIN_UNIX_SOCKET: "/run/a.sock" }, ["/run/a.sock", "http://127.0.0.1:3000"]],
    ["a port", {}, { PORT: "8080" }, ["/nowhere/.paastis/admin.sock", "http://127.0.0.1:8080"]],
    ["its other name", {}, { LISTEN_PORT: "8080" }, ["/nowhere/.paastis/admin.sock", "http://127.0.0.1:8080"]],
    ["any free port", {}, { PORT: "0" }, ["/nowhere/.paastis/admin.sock"]],
    ["every address", {}, { HOST: "::" }, ["/nowhere/.paastis/admin.sock", "http://127.0.0.1:3000"]],
    ["an address", {}, { HOST: "10.1.2.3" }, ["/nowhere/.paastis/admin.sock", "http://10.1.2.3:3000"]],
    ["an address of six", {}, { HOST: "::1", TLS_CERT: "c.pem" }, ["/nowhere/.paastis/admin.sock", "https://[::1]:3000"]],
    ["an empty variable", {}, { PAASTIS_URL: " ", PORT: "" }, ["/nowhere/.paastis/admin.sock", "http://127.0.0.1:3000"]],
    ["a URL of the environment", {}, { PAASTIS_URL: "https://paastis.example:8443/" }, ["https://paastis.example:8443"]],
    ["a URL flag wins", { url: "http://10.0.0.1" }, { PAASTIS_URL: "http://10.0.0.2" }, ["http://10.0.0.1"]],
    ["a socket flag wins", { socket: "x/a.sock" }, { PAASTIS_URL: "http://10.0.0.2" }, ["/nowhere/x/a.sock"]],
  ];
  test.each(cases)("%s", (_, flags, environment, places) => {
    expect(labels(flags, environment)).toEqual(places);
  });

  test("what .env says of the Paastis here counts, after the environment", () => {
    using folder = tempDir();
    writeFileSync(folder.file(".env"), "DATA_DIR=d\nPORT=1111\nADMIN_TOKEN=from-file\n");
    const given = { environment: { PORT: "2222" }, workingDirectory: folder.path };
    const reach = reachFrom({}, given);
    expect(reach.places.map(({ label }) => label)).toEqual([
      folder.file("d/admin.sock"),
      "http://127.0.0.1:2222",
    ]);
    expect(reach.token).toBe("from-file");
    expect(reachFrom({ url: "http://10.0.0.1" }, given).token).toBeNull();
    expect(reachFrom({ socket: "a.sock" }, given).token).toBeNull();
  });

  test("an instance: its socket, else its port, and its token", () => {
    using prefix = withInstance(
      "LISTEN_PORT=3456\nADMIN_TOKEN='t0'\nADMIN_UNIX_SOCKET=/run/shop.sock\n",
    );
    const given = {
      environment: { PAASTIS_TOKEN: "other", PAASTIS_URL: "http://10.0.0.1" },
      workingDirectory: "/",
    };
    const flags = { instance: "shop", prefix: prefix.path };
    const reach = reachFrom(flags, given);
    expect(reach.places.map(({ label }) => label)).toEqual([
      "/run/shop.sock",
      "http://127.0.0.1:3456",
    ]);
    expect(reach.token).toBe("t0");
    expect(reachFrom({ ...flags, token: "mine" }, given).token).toBe("mine");
    const byVariable = { environment: { PAASTIS_PREFIX: prefix.path }, workingDirectory: "/" };
    expect(reachFrom({ instance: "shop" }, byVariable)).toEqual(reach);
  });

  test("an instance without a token is not sent somebody else's", () => {
    using prefix = withInstance("PORT=3456\n");
    const environment = { PAASTIS_TOKEN: "other" };
    const reach = reachFrom(
      { instance: "shop", prefix: prefix.path },
      { environment, workingDirectory: "/" },
    );
    expect(reach.token).toBeNull();
    expect(reach.places.map(({ label }) => label)).toEqual([
      prefix.file("var/lib/paastis/shop/admin.sock"),
      "http://127.0.0.1:3456",
    ]);
  });

  /* biome-ignore format: a table */
  const refusals: readonly [what: string, flags: ReachFlags, environment: Environment, status: number, said: RegExp][] = [
    ["two places", { url: "http://a", socket: "b" }, {}, 64, /--url and --socket both say it/],
    ["an instance and a place", { url: "http://a", instance: "b" }, {}, 64, /--url and --instance both/],
    ["no address", { url: "127.0.0.1:3000" }, {}, 64, /Cannot use --url: it is not an address with http: or https:/],
    ["an address of something else", {}, { PAASTIS_URL: "ftp://x" }, 64, /Cannot use PAASTIS_URL/],
    ["a password in it", { url: "http://me:s3cret@x" }, {}, 64, /it has a user or a password in it/],
    ["a path in it", { url: "http://x/admin" }, {}, 64, /it has a path.*\nGive http:\/\/x$/],
    ["a name that is none", { instance: "../etc/passwd" }, {}, 64, /Cannot use the name/],
    ["an instance that is not there", { instance: "nope", prefix: "/nowhere" }, {}, 1, /there is no \/nowhere\/etc\/paastis\/nope\.env\n`paastis list`/],
    ["a token over two lines", { url: "http://x", token: "s3cret\nmore" }, {}, 64, /characters that no header can hold/],
    ["a token with an accent", { url: "http://x" }, { PAASTIS_TOKEN: "s3crét" }, 64, /characters that no header can hold/],
  ];
  test.each(refusals)(
    "%s: refused, and no secret is told",
    (_, flags, environment, status, said) => {
      const error = failure(flags, environment);
      expect(error.status).toBe(status);
      expect(error.message).toMatch(said);
      expect(error.message).not.toMatch(/s3cr/);
    },
  );

  test("a line break around a token, as of a file, is not part of it", () => {
    const given = { environment: { PAASTIS_TOKEN: "abc\n" }, workingDirectory: "/" };
    expect(reachFrom({ url: "http://x" }, given).token).toBe("abc");
  });

  const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
  const isRoot = process.getuid?.() === 0;
  const canBeNobody = isRoot && Bun.spawnSync([...NOBODY, "true"]).exitCode === 0;

  test.skipIf(!canBeNobody)("an instance whose file is not ours to read: exit 77", async () => {
    using prefix = withInstance("PORT=1\n");
    await Bun.$`chmod 755 ${prefix.path} && chmod 600 ${prefix.file("etc/paastis/shop.env")}`.quiet();
    const main = `${import.meta.dir}/../src/main.ts`;
    const verb = ["status", "--instance", "shop", "--prefix", prefix.path];
    const argv = [...NOBODY, process.execPath, "--no-install", "--no-env-file", main, ...verb];
    const { status, stderr } = await runCommand(argv, { mayFail: true, cwd: "/" });
    expect({ status, stderr }).toEqual({
      status: 77,
      stderr: `Cannot ask instance shop: ${prefix.file("etc/paastis/shop.env")} cannot be read: permission denied\nUse sudo, or give its --url and --token\n`,
    });
  });
});

describe("asking there", () => {
  test("the socket of this folder is asked, and no token is needed for it", async () => {
    using folder = tempDir();
    mkdirSync(folder.file(".paastis"));
    await using server = await startAdminServer({ socketPath: folder.file(".paastis/admin.sock") });
    expect(await run(["status"], folder.path)).toMatchObject({ status: 0 });
    expect(server.visits[0]?.headers).not.toHaveProperty("x-admin-token");
  });

  test("--socket leads there from anywhere", async () => {
    using folder = tempDir();
    await using server = await startAdminServer({ socketPath: folder.file("a.sock") });
    expect((await run(["switch", "8081", "--socket", folder.file("a.sock")], "/")).status).toBe(0);
    expect(server.switches).toEqual([8081]);
  });

  test.each(["absent", "left behind"])("a socket that is %s: the port is asked", async (kind) => {
    await using server = await startAdminServer({ token: "t0" });
    using prefix = withInstance("");
    const socket = prefix.file("admin.sock");
    writeFileSync(
      prefix.file("etc/paastis/shop.env"),
      `LISTEN_PORT=${server.port}\nADMIN_TOKEN=t0\nADMIN_UNIX_SOCKET=${socket}\n`,
    );
    if (kind === "left behind") writeFileSync(socket, "");
    const args = ["status", "--instance", "shop", "--prefix", prefix.path];
    expect(await run(args, "/")).toMatchObject({ status: 0 });
    expect(server.visits).toHaveLength(1);
  });

  test("nothing anywhere: every place is named, exit 69", async () => {
    using folder = tempDir();
    const closed = await startAdminServer();
    await closed[Symbol.asyncDispose]();
    expect(await run(["health"], folder.path, { PORT: String(closed.port) })).toEqual({
      status: 69,
      said: `Nothing answers: ${folder.file(".paastis/admin.sock")} (there is no such socket), ${closed.origin} (nothing listens there)\nIs Paastis running there? --url, --instance or --socket say where else to ask\n`,
    });
  });

  test("a wrong token of an instance's file is told with the file", async () => {
    await using server = await startAdminServer({ token: "right" });
    using prefix = withInstance(`LISTEN_PORT=${server.port}\nADMIN_TOKEN=wrong-one\n`);
    const args = ["status", "--instance", "shop", "--prefix", prefix.path];
    const { status, said } = await run(args, "/");
    expect(status).toBe(77);
    expect(said).toContain(`ADMIN_TOKEN in ${prefix.file("etc/paastis/shop.env")}`);
    expect(said).not.toContain("wrong-one");
  });
});
