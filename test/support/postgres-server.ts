/** A Postgres server of a test file's own, of Debian's `postgresql`: all that it keeps is in one temporary folder. */

import { appendFileSync, chownSync, readdirSync, writeFileSync } from "node:fs";
import { SQL } from "bun";
import { LOCALHOST_CERTIFICATE, LOCALHOST_KEY } from "./private-ca.ts";
import { runCommand } from "./run-command.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

/** A running server; its certificate is for `localhost`, of the private CA. */
export interface PostgresServer extends AsyncDisposable {
  readonly port: number;
  /** The folder of its unix socket. */
  readonly folder: string;
  readonly password: string;
  /** A new, empty database. */
  database(): Promise<PostgresDatabase>;
  /** Runs statements as the superuser, in the database `postgres`. */
  run(statements: string): Promise<void>;
  stop(how?: "fast" | "immediate"): Promise<void>;
  start(): Promise<void>;
}

/** A database for one test. */
export interface PostgresDatabase {
  readonly name: string;
  /** Of the superuser, over TCP. */
  readonly url: string;
  /** The rows that a statement gives, as the superuser. */
  rows(statement: string): Promise<readonly Readonly<Record<string, unknown>>[]>;
}

const ROOT = "/usr/lib/postgresql";
const USER = "paastis";
const PASSWORD = "s3cr3t-w0rd";
/** Fast, and safe only as long as the machine runs: what was committed survives a crash of the server. */
const SETTINGS = {
  fsync: "off",
  full_page_writes: "off",
  shared_buffers: "16MB",
  max_connections: "40",
  autovacuum: "off",
  jit: "off",
  listen_addresses: "127.0.0.1",
  ssl: "on",
};

/** Why there can be no server here; `null`: there can. */
export function whyNoPostgres(): string | null {
  if (programs() === null) return "there is no Postgres here: install postgresql";
  if (process.getuid?.() !== 0 || Bun.which("setpriv") !== null) return null;
  return "Postgres does not run as root, and there is no setpriv: install util-linux";
}

/** Starts it on a free port. */
export async function startPostgres(): Promise<PostgresServer> {
  const bin = programs();
  if (bin === null) throw new Error("there is no Postgres here");
  const folder = tempDir();
  const owner = await ownerOf(folder.path);
  const file = (name: string, text: string) => {
    writeFileSync(folder.file(name), text, { mode: 0o600 });
    owner.give(folder.file(name));
    return folder.file(name);
  };
  const data = folder.file("data");
  const words = `--username=${USER} --pwfile=${file("password", PASSWORD)} --auth=scram-sha-256`;
  const quick = "--no-sync --no-instructions --locale=C --encoding=UTF8";
  await owner.run([`${bin}/initdb`, `--pgdata=${data}`, ...`${words} ${quick}`.split(" ")]);
  const port = freePort();
  const settings = {
    ...SETTINGS,
    port: `${port}`,
    unix_socket_directories: folder.path,
    ssl_cert_file: file("server.crt", LOCALHOST_CERTIFICATE),
    ssl_key_file: file("server.key", LOCALHOST_KEY),
  };
  // Not on the command line, which would win over ALTER SYSTEM.
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
  appendFileSync(`${data}/postgresql.conf`, lines.join(""));
  const argv = owner.argv([`${bin}/postgres`, "-D", data]);
  const log = Bun.file(folder.file("server.log"));
  let running: ReturnType<typeof launch> | null = null;

  async function run(statements: string): Promise<void> {
    await rowsOf(port, "postgres", statements);
  }
  async function start(): Promise<void> {
    const server = launch(argv, log);
    running = server;
    await until(async () => {
      if (server.child.exitCode !== null) throw new Error(`it ended: ${await log.text()}`);
      return await run("SELECT 1").then(
        () => true,
        () => false,
      );
    });
  }
  async function stop(how: "fast" | "immediate" = "fast"): Promise<void> {
    running?.child.kill(how === "fast" ? "SIGINT" : "SIGQUIT");
    await running?.child.exited;
    running?.tie.kill("SIGKILL");
    running = null;
  }
  async function dispose(): Promise<void> {
    await stop("immediate");
    folder[Symbol.dispose]();
  }
  let databases = 0;
  try {
    await start();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    port,
    folder: folder.path,
    password: PASSWORD,
    run,
    start,
    stop,
    async database() {
      databases += 1;
      const name = `test_${databases}`;
      await run(`CREATE DATABASE ${name}`);
      const url = `postgres://${USER}:${PASSWORD}@127.0.0.1:${port}/${name}`;
      return { name, url, rows: (statement) => rowsOf(port, name, statement) };
    },
    [Symbol.asyncDispose]: dispose,
  };
}

/** Debian keeps each version's programs apart; `null`: there are none. */
function programs(): string | null {
  try {
    const [newest] = readdirSync(ROOT).toSorted((one, other) => Number(other) - Number(one));
    return newest === undefined ? null : `${ROOT}/${newest}/bin`;
  } catch {
    return null;
  }
}

/** Postgres refuses to run as root: it is given to the user that Debian made for it. */
async function ownerOf(folder: string) {
  if (process.getuid?.() !== 0) {
    const run = (argv: readonly string[]) => runCommand(argv);
    return { argv: (argv: readonly string[]) => [...argv], run, give: (_: string) => undefined };
  }
  const id = async (flag: string) => Number((await runCommand(["id", flag, "postgres"])).stdout);
  const [uid, gid] = [await id("-u"), await id("-g")];
  const become = ["setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
  const give = (path: string) => chownSync(path, uid, gid);
  give(folder);
  return {
    argv: (argv: readonly string[]) => [...become, ...argv],
    run: (argv: readonly string[]) => runCommand([...become, ...argv], { cwd: folder }),
    give,
  };
}

/** Ends it should the tests be killed, however that is done: the pipe from here breaks then. */
function launch(argv: readonly string[], log: Bun.BunFile) {
  const child = Bun.spawn([...argv], { cwd: "/", stdin: "ignore", stdout: log, stderr: log });
  const script = `read -r _; kill -QUIT ${child.pid}`;
  const tie = Bun.spawn(["sh", "-c", script], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
  });
  return { child, tie };
}

/** Not one that the system hands out by itself: it must still be free when the server starts again. */
function freePort(): number {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    try {
      Bun.listen({ hostname: "127.0.0.1", port, socket: { data: () => undefined } }).stop(true);
      return port;
    } catch {
      // Taken: the next one.
    }
  }
}

async function rowsOf(port: number, database: string, statements: string) {
  const options = { hostname: "127.0.0.1", port, username: USER, password: PASSWORD, database };
  const sql = new SQL({ adapter: "postgres", ...options, max: 1 });
  try {
    return await sql.unsafe<readonly Readonly<Record<string, unknown>>[]>(statements).simple();
  } finally {
    await sql.close();
  }
}
