import { describe, expect, test } from "bun:test";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { version } from "../package.json" with { type: "json" };
import { doubtAboutDates } from "../src/cli/check-certificate.ts";
import { fold } from "../src/cli/fold.ts";
import { runCommandLine } from "../src/cli/run.ts";
import { type OwnProcess, type Surroundings, surroundingsOf } from "../src/cli/surroundings.ts";
import { PROVIDER_NAMES } from "../src/config.ts";
import { CERTIFICATE, PRIVATE_KEY } from "./support/certificate.ts";
import { EXPIRED_CERTIFICATE } from "./support/expired-certificate.ts";
import { PRIVATE_CA } from "./support/private-ca.ts";
import { runCommand } from "./support/run-command.ts";
import { runVerb } from "./support/run-verb.ts";
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
    const { out } = await runVerb(["check"], { cwd: folder.path, env: PROCESS });
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
    const { err, status } = await runVerb(["check"], { cwd: folder.path, env });
    expect({ status, err }).toEqual({ status: 78, err: expect.stringContaining("private key") });
  });

  test("a certificate that has expired is a warning", async () => {
    using folder = tempDir();
    writeFileSync(folder.file("cert.pem"), EXPIRED_CERTIFICATE);
    writeFileSync(folder.file("key.pem"), PRIVATE_KEY);
    const env = { ...PROCESS, TLS_CERT: "cert.pem", TLS_KEY: "key.pem" };
    const { err, status } = await runVerb(["check"], { cwd: folder.path, env });
    expect({ status, err }).toEqual({
      status: 0,
      err: `Warning: TLS_CERT: the certificate in ${folder.file("cert.pem")} (CN=expired.example) expired on 2020-01-02 00:00 UTC: clients refuse it\n`,
    });
  });

  test("where a platform lists the apps, it says so and how to ask it", async () => {
    using folder = tempDir();
    const tokens = { PROVIDER_SCALINGO_API_TOKEN: "t", PROVIDER_HEROKU_API_TOKEN: "t" };
    const check = async (names: string) => {
      const env = { ...tokens, PROVIDER_NAME: names };
      return (await runVerb(["check"], { cwd: folder.path, env })).out;
    };
    expect(await check("scalingo,process")).toContain(
      "\nNo apps in paastis.yml\n  The apps of scalingo are listed by the platform: `paastis check --online` asks it.\n",
    );
    writeFileSync(folder.file("paastis.yml"), "apps: { a: { command: x } }");
    expect(await check("scalingo,heroku")).toMatch(
      /\n1 app in paastis\.yml\n {2}a .*\n {2}The apps of scalingo and heroku are listed by the platforms: .* asks them\.\n/,
    );
    expect(await check("process")).toMatch(/\n1 app\n {2}a .*\n\nNo rules\n$/);
  });

  test("all problems together and exit 78", async () => {
    using folder = tempDir();
    writeFileSync(folder.file("my.yml"), "rules:\n  - app_max_idle_tim: 1\n");
    const { out, err, status } = await runVerb(["check", "--port", "80a", "--config", "my.yml"], {
      cwd: folder.path,
    });
    expect({ out, status }).toEqual({ out: "", status: 78 });
    expect(err.split("\n").filter((line) => line.startsWith("  - "))).toEqual([
      `  - PROVIDER_NAME is required: set it to one or several of ${PROVIDER_NAMES.join(", ")}, separated by commas`,
      '  - --port must be a whole number from 0 to 65535: it is "80a"',
      "  - my.yml, line 2: rules[0].app_max_idle_tim is not a known key: did you mean app_max_idle_time?",
      "  - my.yml, line 2: rules[0] needs `pattern`",
    ]);
  });

  test("warnings come before the problems, which end with what to do", async () => {
    using folder = tempDir();
    const { err } = await runVerb(["check"], { cwd: folder.path, env: { HOLD_X: "1" } });
    expect(err).toMatch(/^Warning: HOLD_X .*\n\nThis configuration cannot .* 1 problem:\n\n {2}- /);
    expect(err).toEndWith("\n\nFix this, then run `paastis check`.\n");
  });

  test("a probable typing mistake is a warning, and hooks' commands are not shown", async () => {
    using folder = tempDir();
    const env = { ...PROCESS, HOOKS_BEFORE_STRAT: "s3cret", HOOKS_AFTER_STOP: "s3cret" };
    const { out, err, status } = await runVerb(["check"], { cwd: folder.path, env });
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
  for (const args of [[], ["serve", "--port", "0"]]) {
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
  const { out, err, status } = await runVerb(args, { cwd: folder.path, env: PROCESS });
  expect({ out, status }).toEqual({ out: "", status: 64 });
  expect(err).toContain(message);
});

test("cli: --version and --help answer on the standard output", async () => {
  using folder = tempDir();
  const told = await runVerb(["--version"], { cwd: folder.path });
  expect(told).toMatchObject({ out: `${version} (commit unknown)\n`, err: "", status: 0 });
  const help = await runVerb(["--help"], { cwd: folder.path });
  expect(help).toMatchObject({ err: "", status: 0 });
  for (const verb of ["serve", "check", "schema"]) expect(help.out).toContain(`  ${verb}`);
  const flags = await runVerb(["help", "serve"], { cwd: folder.path });
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

describe("cli: a failure is one block without a stack", () => {
  test("the working directory is gone: exit 78, but schema does without it", async () => {
    using folder = tempDir();
    const gone = folder.file("gone");
    mkdirSync(gone);
    const script = 'cd "$1" && rmdir "$1" && shift && exec "$@"';
    const inside = async (verb: string) => {
      const argv = ["sh", "-c", script, "sh", gone, ...BUN, join(SOURCE, "main.ts"), verb];
      const { stdout, stderr, status } = await runCommand(argv, { mayFail: true });
      mkdirSync(gone, { recursive: true });
      return { stdout, stderr, status };
    };
    for (const verb of ["check", "serve"]) {
      expect(await inside(verb)).toEqual({
        stdout: "",
        stderr:
          "Cannot look for paastis.yml and .env: the working directory was removed or renamed\n" +
          "Change to a folder that exists, then try again\n",
        status: 78,
      });
    }
    expect(await inside("schema")).toMatchObject({ stderr: "", status: 0 });
  });

  /** A process whose standard output takes nothing. */
  function broken(code: string): { self: OwnProcess; told: string[] } {
    const told: string[] = [];
    const output = (take: (text: string) => Error | null): OwnProcess["stdout"] => ({
      write(text, done) {
        const failure = take(text);
        queueMicrotask(() => done(failure));
        return failure === null;
      },
      on: () => undefined,
    });
    const failure = Object.assign(new Error(`${code}: no`), { code });
    return {
      told,
      self: {
        env: {},
        ...{ pid: 1, ppid: 0, argv: [], execArgv: [], execPath: process.execPath },
        on: () => undefined,
        cwd: () => "/",
        stdout: output(() => failure),
        stderr: output((text) => {
          told.push(text);
          return null;
        }),
      },
    };
  }

  test("output that cannot be written is a failure, but for a reader who had enough", async () => {
    for (const [code, status, told] of [
      ["ENOSPC", 1, ["Cannot write all there is to say: ENOSPC: no\n"]],
      ["EPIPE", 0, []],
    ] as const) {
      const given = broken(code);
      const surroundings = surroundingsOf(given.self);
      const finished = surroundings.finish(await runCommandLine(["schema"], surroundings));
      expect(await finished).toBe(status);
      expect(given.told).toEqual([...told]);
    }
  });

  test("a mistake of ours is told without its stack, unless somebody looks for it", async () => {
    using folder = tempDir();
    const failing = async (environment: Surroundings["environment"]) => {
      const told: string[] = [];
      const status = await runCommandLine(["check"], {
        environment: { ...PROCESS, ...environment },
        workingDirectory: folder.path,
        columns: { out: null, err: null },
        writeErr: (text) => told.push(text),
        writeOut: () => {
          throw new TypeError("no such thing");
        },
      });
      return { status, told: told.join("") };
    };
    expect(await failing({})).toEqual({
      status: 1,
      told: "Paastis made a mistake: no such thing\nPlease report it; LOGGING_LEVEL=debug says where it happened\n",
    });
    expect((await failing({ LOG_LEVEL: "debug" })).told).toContain("    at ");
  });
});

describe("cli: on a terminal, long lines", () => {
  test.each([
    [
      "  - aaaa bbbb cccc dddd eeee ffff gggg hhhh iiii",
      "  - aaaa bbbb cccc dddd eeee ffff gggg\n    hhhh iiii",
    ],
    [
      "  key  value  last cell goes on and on, further",
      "  key  value  last cell goes on and on,\n              further",
    ],
    [
      "Warning: one two three four five six seven eight",
      "Warning: one two three four five six\n         seven eight",
    ],
    [`word ${"x".repeat(50)} end`, `word\n${"x".repeat(50)}\nend`],
    ["short\n\nenough", "short\n\nenough"],
  ])("%j go on below their text", (text, folded) => {
    expect(fold(text, 40)).toBe(folded);
  });

  test("stay whole where nobody watches, or nothing would fit", () => {
    const text = `  - ${"word ".repeat(50)}`;
    expect([fold(text, null), fold(text, 20)]).toEqual([text, text]);
  });

  test("are broken at the width of the terminal that shows them", async () => {
    using folder = tempDir();
    const told: string[] = [];
    const status = await runCommandLine(["check"], {
      environment: { PROVIDER_NAME: "procss" },
      workingDirectory: folder.path,
      columns: { out: null, err: 60 },
      writeErr: (text) => told.push(text),
      writeOut: (text) => told.push(text),
    });
    const lines = told.join("").split("\n");
    expect(status).toBe(78);
    expect(Math.max(...lines.map(({ length }) => length))).toBeLessThanOrEqual(60);
    expect(lines.filter((line) => line.startsWith("    ")).length).toBeGreaterThan(1);
  });
});

describe("cli: a certificate's dates", () => {
  const DAY_MS = 24 * 60 * 60 * 1000;
  const START_MS = Date.UTC(2030, 0, 1);
  const END_MS = Date.UTC(2030, 2, 1, 12, 30);
  test.each<[string, number, string | null]>([
    [
      "before it begins",
      START_MS - 1,
      "is not valid before 2030-01-01 00:00 UTC: clients refuse it until then",
    ],
    ["when it begins", START_MS, null],
    ["more than two weeks before its end", END_MS - 14 * DAY_MS - 1, null],
    [
      "two weeks before its end",
      END_MS - 14 * DAY_MS,
      "expires in 14 days, on 2030-03-01 12:30 UTC",
    ],
    ["a day before", END_MS - DAY_MS, "expires in 1 day, on 2030-03-01 12:30 UTC"],
    ["hours before", END_MS - 1, "expires in less than a day, on 2030-03-01 12:30 UTC"],
    ["at its end", END_MS, "expired on 2030-03-01 12:30 UTC: clients refuse it"],
  ])("%s", (_, nowMs, said) => {
    expect(doubtAboutDates({ validFromMs: START_MS, validUntilMs: END_MS }, nowMs)).toBe(said);
  });
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
