import { describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../package.json" with { type: "json" };
import { CERTIFICATE } from "./support/certificate.ts";
import { PRIVATE_CA } from "./support/private-ca.ts";
import { tempDir } from "./support/temp-dir.ts";

const SOURCE = join(import.meta.dir, "..", "src");
// The executable is built so that the runtime reads no `.env` by itself; from source, a flag does that.
const BUN = [process.execPath, "--no-install", "--no-env-file"];

async function run(
  args: readonly string[],
  given: { cwd: string; env?: Readonly<Record<string, string>>; script?: string },
) {
  const child = Bun.spawn([...BUN, given.script ?? join(SOURCE, "main.ts"), ...args], {
    cwd: given.cwd,
    env: { PATH: process.env.PATH, ...given.env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, err, status, pid: child.pid };
}

const PROCESS = { PROVIDER_NAME: "process" };

describe("cli: check", () => {
  test("the sample can be used: a summary and exit 0", async () => {
    using folder = tempDir();
    const sample = await Bun.file(join(SOURCE, "..", "paastis.yml.sample")).text();
    writeFileSync(folder.file("paastis.yml"), sample);
    const { out, err, status } = await run(["check"], { cwd: folder.path, env: PROCESS });
    expect({ err, status }).toEqual({ err: "", status: 0 });
    expect(out).toStartWith("This configuration can be used.\n");
    for (const part of [
      /listens on +0\.0\.0\.0:3000\n/,
      /file +\/.*paastis\.yml\n/,
      /providers +process, http\n/,
      /\n3 apps\n +shop +process +sleeps after 30 min\n +legacy +http +http:\/\/10\.0\.0\.5:8080, /,
      /\n4 rules\n/,
      /hello-fastify-2 +answered by hellofastifydeux\n/,
    ]) {
      expect(out).toMatch(part);
    }
  });

  test("apps that live elsewhere are shown with where they answer and whom we believe", async () => {
    using folder = tempDir();
    writeFileSync(folder.file("ca.pem"), PRIVATE_CA);
    writeFileSync(
      folder.file("paastis.yml"),
      `
apps:
  own: { targets: ['https://a.test'], tls_ca: ca.pem }
  any: { targets: ['https://b.test'] }
  socket: { targets: ['unix:x.sock'] }
rules:
  - { pattern: '^(any|socket)$', tls_verify: false }
`,
    );
    const { out } = await run(["check"], { cwd: folder.path, env: PROCESS });
    const path = folder.file("x.sock");
    expect(out).toMatch(/own +http +https:\/\/a\.test \(its own CA vouches too\), sleeps/);
    expect(out).toMatch(/any +http +https:\/\/b\.test \(accepts any certificate\), sleeps/);
    expect(out).toContain(`http  unix:${path}, sleeps`);
    expect(out).toContain("^(any|socket)$  accepts any certificate\n");
  });

  test("flags win over the environment, and the environment over .env", async () => {
    using folder = tempDir();
    writeFileSync(folder.file(".env"), "PROVIDER_NAME=http\nHOST=127.0.0.1\nPORT=1\n");
    const { out, status } = await run(["check", "-P", "8081", "--max-idle-time", "0.5"], {
      cwd: folder.path,
      env: { HOST: "::1", PORT: "2" },
    });
    expect(status).toBe(0);
    expect(out).toMatch(/listens on +\[::1\]:8081\n/);
    expect(out).toMatch(/providers +http\n/);
    expect(out).toMatch(/sleeps +after 30 s; /);
  });

  test("a certificate that cannot be used is a problem", async () => {
    using folder = tempDir();
    writeFileSync(folder.file("cert.pem"), CERTIFICATE);
    writeFileSync(folder.file("key.pem"), "none");
    const env = { ...PROCESS, TLS_CERT: "cert.pem", TLS_KEY: "key.pem" };
    const { err, status } = await run(["check"], { cwd: folder.path, env });
    expect({ status, err }).toEqual({ status: 78, err: expect.stringContaining("private key") });
  });

  test("all problems together and exit 78", async () => {
    using folder = tempDir();
    writeFileSync(folder.file("my.yml"), "rules:\n  - app_max_idle_tim: 1\n");
    const { out, err, status } = await run(["check", "--port", "80a", "--config", "my.yml"], {
      cwd: folder.path,
    });
    expect({ out, status }).toEqual({ out: "", status: 78 });
    expect(err.split("\n").filter((line) => line.startsWith("  - "))).toEqual([
      "  - PROVIDER_NAME is required: set it to one or several of process, http, scalingo, heroku, clever-cloud, separated by commas",
      '  - --port must be a whole number from 0 to 65535: it is "80a"',
      "  - my.yml, line 2: rules[0].app_max_idle_tim is not a known key: did you mean app_max_idle_time?",
      "  - my.yml, line 2: rules[0] needs `pattern`",
    ]);
  });

  test("a probable typing mistake is a warning, and hooks' commands are not shown", async () => {
    using folder = tempDir();
    const env = { ...PROCESS, HOOKS_BEFORE_STRAT: "s3cret", HOOKS_AFTER_STOP: "s3cret" };
    const { out, err, status } = await run(["check"], { cwd: folder.path, env });
    expect(status).toBe(0);
    expect(err).toBe(
      "Warning: HOOKS_BEFORE_STRAT is not a variable of Paastis: did you mean HOOKS_BEFORE_START?\n",
    );
    expect(out).toMatch(/hooks +1 of 4\n/);
    expect(out).not.toContain("s3cret");
  });
});

test("cli: serve with a wrong configuration exits 78 before it listens", async () => {
  using folder = tempDir();
  for (const args of [[], ["serve"], ["serve", "--port", "0"]]) {
    const { err, status } = await run(args, { cwd: folder.path });
    expect(status).toBe(78);
    expect(err).toContain("PROVIDER_NAME is required");
  }
});

test.each([
  [["chekc"], "unknown command 'chekc'\n(Did you mean check?)"],
  [["xyz"], "unknown command 'xyz'"],
  [["serve", "srve"], "unknown command 'srve'\n(Did you mean serve?)"],
  [["--prot", "3"], "unknown option '--prot'\n(Did you mean --port?)"],
  [["check", "--confg", "x"], "unknown option '--confg'\n(Did you mean --config?)"],
  [["check", "--port"], "option '-P, --port <port>' argument missing"],
  [["--port", "3", "check"], "the command must come first: paastis check"],
  [["check", "extra"], "too many arguments"],
])("cli: %j is a usage error: exit 64", async (args, message) => {
  using folder = tempDir();
  const { out, err, status } = await run(args, { cwd: folder.path, env: PROCESS });
  expect({ out, status }).toEqual({ out: "", status: 64 });
  expect(err).toContain(message);
});

test("cli: --version and --help answer on the standard output", async () => {
  using folder = tempDir();
  const told = await run(["--version"], { cwd: folder.path });
  expect(told).toMatchObject({ out: `${version}\n`, err: "", status: 0 });
  const help = await run(["--help"], { cwd: folder.path });
  expect(help).toMatchObject({ err: "", status: 0 });
  for (const verb of ["serve", "check", "schema"]) expect(help.out).toContain(`  ${verb}`);
  const flags = await run(["help", "serve"], { cwd: folder.path });
  for (const flag of ["--max-idle-time", "-H, --host", "-P, --port", "--config"]) {
    expect(flags.out).toContain(flag);
  }
});

test("cli: schema prints the JSON Schema of paastis.yml, whole even into a pipe", async () => {
  using folder = tempDir();
  const { out, status } = await run(["schema"], { cwd: folder.path });
  expect(status).toBe(0);
  const schema = JSON.parse(out);
  expect(schema.$schema).toContain("json-schema.org");
  expect(Object.keys(schema.properties)).toEqual(["apps", "rules"]);
});

describe("cli: re-execution", () => {
  /** A program that does what `main.ts` does first, then says what it sees. */
  function probe(folder: { file(name: string): string }): string {
    const script = folder.file("probe.ts");
    const text = `import { reexecForServing } from ${JSON.stringify(join(SOURCE, "cli", "reexec.ts"))};
reexecForServing(process);
const { BUN_CONFIG_MAX_HTTP_REQUESTS: max, BUN_CONFIG_DNS_TIME_TO_LIVE_SECONDS: ttl, KEPT } = process.env;
console.log(JSON.stringify({ pid: process.pid, args: process.argv.slice(2), execArgv: process.execArgv, max, ttl, KEPT }));
`;
    writeFileSync(script, text);
    return script;
  }

  test("serving finds the runtime's variables, with the same process id and arguments", async () => {
    using folder = tempDir();
    const args = ["--host", "a b", "--port=0", ""];
    const script = probe(folder);
    const { out, pid, status } = await run(args, { cwd: folder.path, script, env: { KEPT: "é" } });
    expect(status).toBe(0);
    expect(JSON.parse(out)).toEqual({
      pid,
      args,
      execArgv: BUN.slice(1),
      max: "65535",
      ttl: "5",
      KEPT: "é",
    });
  });

  test("what the user set stays, and verbs that serve nothing do without", async () => {
    using folder = tempDir();
    const script = probe(folder);
    const env = { BUN_CONFIG_MAX_HTTP_REQUESTS: "100" };
    const set = await run([], { cwd: folder.path, script, env });
    expect(JSON.parse(set.out)).toMatchObject({ max: "100", ttl: "5" });
    const quick = await run(["check"], { cwd: folder.path, script });
    expect(JSON.parse(quick.out).max).toBeUndefined();
  });
});
