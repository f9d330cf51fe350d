/**
 * Redis servers of a test's own, of Debian's `redis-server`: all that they keep is in a temporary folder.
 * For several that belong together see `redis-cluster.ts` and `redis-sentinel.ts`.
 */

import { writeFileSync } from "node:fs";
import { Redis } from "ioredis";

import { CERTIFICATE, PRIVATE_KEY } from "./certificate.ts";
import { freePort } from "./free-port.ts";
import { LOCALHOST_CERTIFICATE, LOCALHOST_KEY, PRIVATE_CA } from "./private-ca.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

export interface RedisServerOptions {
  /** Without it a free one, which stays the same when the server is started again. */
  readonly port?: number;
  /** Of the user `default`. */
  readonly password?: string;
  /** Then the user `default` may do nothing. `rules` as of `ACL SETUSER`, in place of all keys, channels and commands. */
  readonly user?: { readonly name: string; readonly password: string; readonly rules?: string };
  /** E.g. `2mb`; what would need more is refused (`noeviction`). */
  readonly maxMemory?: string;
  /** Nothing but TLS; its certificate is for `localhost`, of the private CA. */
  readonly tls?: boolean;
  /** With TLS: the certificate signs itself (`caFile` has it), and servers may show it to each other. */
  readonly signsItself?: boolean;
  /** What was written is there after a `kill` and a `start`; without it all is gone. */
  readonly isDurable?: boolean;
  /** Further lines of the configuration file, e.g. `replicaof 127.0.0.1 7000`; asked for anew at each attempt. */
  readonly lines?: () => readonly string[];
  /** A Sentinel in place of a server. */
  readonly isSentinel?: boolean;
}

/** A running server. Its own unix socket is the way of the tests: whatever stands before the port does not matter. */
export interface RedisServer extends AsyncDisposable {
  readonly host: "127.0.0.1" | "localhost";
  readonly port: number;
  /** With the user and password that are needed. */
  readonly url: string;
  /** The unix socket for anybody, with the same users and passwords. */
  readonly socket: string;
  /** The file with the certificate of the CA of a server with TLS. */
  readonly caFile: string;
  /** A client over the unix socket that may do anything; lives until the server is disposed of. */
  readonly client: Redis;
  /** One command over the unix socket, e.g. `run("CLIENT", "KILL", "TYPE", "normal")`. */
  run(name: string, ...words: readonly (string | number)[]): Promise<unknown>;
  /** A section of INFO. */
  info(section: string): Promise<Readonly<Record<string, string>>>;
  /** How often each command was called since the start or `CONFIG RESETSTAT`, in lower case: `{ ping: 3 }`. */
  calls(): Promise<Readonly<Record<string, number>>>;
  /** Ends it at once, as by `kill -9`. Safe to repeat. */
  kill(): Promise<void>;
  /** Starts it again on the same port. */
  start(): Promise<void>;
  /** `kill` and `start`. */
  restart(): Promise<void>;
  /** Stops the process (SIGSTOP): connections are taken by the kernel, and nothing is answered. */
  freeze(): void;
  thaw(): void;
}

/** The user of the tests, whatever the server's users are. */
const KEEPER = "keeper-of-the-tests";
const MISSING =
  "there is no redis-server here: install Debian's packages redis-server and redis-tools";

/** Starts it, on a free port unless `options` names one. Takes some 20 ms. */
export async function startRedis(options: RedisServerOptions = {}): Promise<RedisServer> {
  if (Bun.which("redis-server") === null) throw new Error(MISSING);
  // Between the look for a free port and the start, another test may take it.
  for (let attempts = 1; ; attempts += 1) {
    const server = createServer({ ...options, port: options.port ?? freePort() });
    try {
      await server.start();
      return server;
    } catch (error) {
      await server[Symbol.asyncDispose]();
      const isTaken = String(error).includes("Address already in use");
      if (!isTaken || options.port !== undefined || attempts === 5) throw error;
    }
  }
}

function createServer(options: RedisServerOptions & { readonly port: number }): RedisServer {
  const folder = tempDir();
  const socket = folder.file("redis.sock");
  const caFile = folder.file("ca.crt");
  const { signsItself = false } = options;
  writeFileSync(caFile, signsItself ? CERTIFICATE : PRIVATE_CA);
  writeFileSync(folder.file("server.crt"), signsItself ? CERTIFICATE : LOCALHOST_CERTIFICATE);
  writeFileSync(folder.file("server.key"), signsItself ? PRIVATE_KEY : LOCALHOST_KEY);
  // Sentinels write into it, too.
  writeFileSync(folder.file("redis.conf"), configurationOf(options, folder.path));
  const log = Bun.file(folder.file("server.log"));
  const host = options.tls ? "localhost" : "127.0.0.1";
  let running: ReturnType<typeof launch> | null = null;
  const client = new Redis({
    path: socket,
    lazyConnect: true,
    ...keeperOf(options),
    disableClientInfo: true,
    enableReadyCheck: false,
    maxRetriesPerRequest: null,
    retryStrategy: (times) => Math.min(times * 2, 20),
  });
  // It connects by itself; a command that waits says more.
  client.on("error", () => undefined);

  async function start(): Promise<void> {
    const server = launch(folder.path, options.isSentinel === true);
    running = server;
    await until(async () => {
      if (server.child.exitCode !== null) throw new Error(`redis-server: ${await log.text()}`);
      return await isUp(socket);
    });
  }
  async function kill(): Promise<void> {
    running?.child.kill("SIGKILL");
    await running?.child.exited;
    running?.tie.kill("SIGKILL");
    running = null;
  }
  async function info(section: string) {
    const lines = (await client.info(section)).split("\r\n");
    return Object.fromEntries(
      lines.flatMap((line) => {
        const [, name = "", value = ""] = /^(\w[^:]*):(.*)$/.exec(line) ?? [];
        return name === "" ? [] : [[name, value]];
      }),
    );
  }
  return {
    host,
    port: options.port,
    url: `${options.tls ? "rediss" : "redis"}://${signIn(options)}${host}:${options.port}`,
    socket,
    caFile,
    client,
    run: (name, ...words) => client.call(name, words.map(String)),
    info,
    async calls() {
      const lines = Object.entries(await info("commandstats"));
      return Object.fromEntries(
        lines.map(([name, value]) => [
          name.replace(/^cmdstat_/, ""),
          Number(/calls=(\d+)/.exec(value)?.[1]),
        ]),
      );
    },
    kill,
    start,
    async restart() {
      await kill();
      await start();
    },
    freeze: () => void running?.child.kill("SIGSTOP"),
    thaw: () => void running?.child.kill("SIGCONT"),
    async [Symbol.asyncDispose]() {
      client.disconnect();
      await kill();
      folder[Symbol.dispose]();
    },
  };
}

/** Sentinels have one password and no users. */
function keeperOf({ isSentinel, password }: RedisServerOptions) {
  if (!isSentinel) return { username: KEEPER, password: "none" };
  return password === undefined ? {} : { password };
}

function signIn({ password, user }: RedisServerOptions): string {
  if (user !== undefined) return `${user.name}:${encodeURIComponent(user.password)}@`;
  return password === undefined ? "" : `:${encodeURIComponent(password)}@`;
}

function configurationOf(options: RedisServerOptions & { readonly port: number }, folder: string) {
  const { isSentinel, maxMemory, password, port, tls, user } = options;
  const ownUser = `user ${user?.name} reset on >${user?.password} ${user?.rules ?? "~* &* +@all"}`;
  const certificate = [
    `tls-cert-file ${folder}/server.crt`,
    `tls-key-file ${folder}/server.key`,
    `tls-ca-cert-file ${folder}/ca.crt`,
    "tls-auth-clients no",
  ];
  const lines = [
    "bind 127.0.0.1",
    "protected-mode no",
    "daemonize no",
    `dir ${folder}`,
    `unixsocket ${folder}/redis.sock`,
    `logfile ${folder}/server.log`,
    ...(tls ? ["port 0", `tls-port ${port}`, ...certificate] : [`port ${port}`]),
    ...(isSentinel ? [] : ['save ""', "repl-ping-replica-period 1"]),
    // Without a disk a replica that is in sync may get nothing more for another second.
    ...(isSentinel ? [] : ["repl-diskless-sync no"]),
    ...(isSentinel ? [] : [`user ${KEEPER} on nopass ~* &* +@all`]),
    ...(options.isDurable ? ["appendonly yes", "appendfsync always"] : []),
    ...(maxMemory === undefined ? [] : [`maxmemory ${maxMemory}`, "maxmemory-policy noeviction"]),
    ...(password === undefined ? [] : [`requirepass ${password}`]),
    ...(user === undefined ? [] : [ownUser, "user default off"]),
    ...(options.lines?.() ?? []),
  ];
  return `${lines.join("\n")}\n`;
}

/** Any answer but that it is not ready. A connection of its own, as `client` waits longer and longer between attempts. */
async function isUp(socket: string): Promise<boolean> {
  const answer = Promise.withResolvers<string>();
  const connection = await Bun.connect({
    unix: socket,
    socket: {
      data: (_, bytes) => answer.resolve(bytes.toString()),
      close: () => answer.resolve(""),
    },
  }).catch(() => null);
  if (connection === null) return false;
  connection.write("PING\r\n");
  const text = await answer.promise;
  connection.end();
  return text !== "" && !text.startsWith("-LOADING") && !text.startsWith("-MASTERDOWN");
}

/** Ends it should the tests be killed, however that is done: the pipe from here breaks then. */
function launch(folder: string, isSentinel: boolean) {
  const argv = ["redis-server", `${folder}/redis.conf`, ...(isSentinel ? ["--sentinel"] : [])];
  const output = Bun.file(`${folder}/output`);
  const child = Bun.spawn(argv, { cwd: folder, stdin: "ignore", stdout: output, stderr: output });
  const script = `read -r _; kill -KILL ${child.pid}`;
  const tie = Bun.spawn(["sh", "-c", script], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
  });
  return { child, tie };
}
