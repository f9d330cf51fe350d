/** curl in front of the compiled program, a server of files under Node behind it. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { madeUpBytes, sha256 } from "../support/made-up-bytes.mjs";
import {
  appProgram,
  ENGINE_NAMES,
  type ProxiedApp,
  startProxiedApp,
  testUnlessDeclared,
} from "../support/proxied-app.ts";
import { type RunOptions, runCommand } from "../support/run-command.ts";
import { tempDir } from "../support/temp-dir.ts";
import { until } from "../support/until.ts";

const BIG_BYTES = 32 * 1024 * 1024;
/** Above this, curl asks with `Expect: 100-continue` whether a body is wanted. */
const EXPECT_BYTES = 1024 * 1024 + 1;

const big = madeUpBytes(BIG_BYTES);
const bigSum = sha256(big);

interface Summed {
  readonly bytes: number;
  readonly sha256: string;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
}

interface Echoed {
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly seen: { readonly broken: number; readonly continued: number };
}

describe.each(ENGINE_NAMES)("curl, on the %s engine", (engine) => {
  let app: ProxiedApp;
  beforeAll(async () => {
    const command = `exec node ${appProgram("files.mjs")}`;
    app = await startProxiedApp({ engine, key: "files", command });
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const address = (target: string) => `http://${app.host}${target}`;
  const curl = (args: readonly string[], options?: RunOptions) =>
    runCommand(["curl", "-q", "-sS", "--connect-to", `::127.0.0.1:${app.port}`, ...args], options);
  // What the app says of itself has the shape that `files.mjs` gives it.
  const sumOf = ({ stdout }: { stdout: string }) => JSON.parse(stdout) as Summed;
  const echoed = async (...args: string[]) => JSON.parse((await curl(args)).stdout) as Echoed;

  test("a download of 32 MB arrives as it was sent", async () => {
    using folder = tempDir();
    const file = folder.file("big");
    await curl(["-f", "-o", file, address(`/file?bytes=${BIG_BYTES}`)]);
    expect(sha256(readFileSync(file))).toBe(bigSum);
  });

  test("a body without a length arrives whole, by HTTP/1.1 and by HTTP/1.0", async () => {
    using folder = tempDir();
    for (const version of ["--http1.1", "--http1.0"]) {
      const file = folder.file(version);
      await curl(["-f", version, "-o", file, address(`/stream?bytes=${EXPECT_BYTES}`)]);
      expect(sha256(readFileSync(file))).toBe(sha256(madeUpBytes(EXPECT_BYTES)));
    }
  });

  test("HTTP/1.0: up and down, and the answer says when it is over", async () => {
    const args = ["--http1.0", "-v", "--data-binary", "@-", address("/sum")];
    const done = await curl(args, { stdin: big.subarray(0, 100_000) });
    expect(sumOf(done).sha256).toBe(sha256(big.subarray(0, 100_000)));
    expect(done.stderr).not.toContain("Transfer-Encoding");
  });

  test("an upload of 32 MB with a length arrives, after a 100 Continue", async () => {
    using folder = tempDir();
    writeFileSync(folder.file("big"), big);
    const done = await curl(["-v", "-T", folder.file("big"), address("/sum")]);
    expect(sumOf(done)).toMatchObject({ bytes: BIG_BYTES, sha256: bigSum, method: "PUT" });
    expect(sumOf(done).headers["content-length"]).toBe(String(BIG_BYTES));
    expect(done.stderr).toContain("> Expect: 100-continue");
    expect(done.stderr).toContain("< HTTP/1.1 100 Continue");
  });

  test("an upload from a pipe arrives in chunks, whole", async () => {
    const done = await curl(["-T", "-", address("/sum")], { stdin: big });
    expect(sumOf(done)).toMatchObject({ bytes: BIG_BYTES, sha256: bigSum });
    expect(sumOf(done).headers["transfer-encoding"]).toBe("chunked");
  });

  test("a form with a file arrives as curl made it", async () => {
    using folder = tempDir();
    writeFileSync(folder.file("photo"), big.subarray(0, EXPECT_BYTES));
    const form = ["-F", `photo=@${folder.file("photo")}`, "-F", "name=value"];
    const sum = sumOf(await curl([...form, address("/sum")]));
    expect(sum.headers["content-type"]).toStartWith("multipart/form-data; boundary=");
    expect(String(sum.bytes)).toBe(sum.headers["content-length"]!);
  });

  testUnlessDeclared(engine, "waiting for 100", "the app decides about 100", async () => {
    const before = (await echoed(address("/echo"))).seen.continued;
    const stdin = big.subarray(0, EXPECT_BYTES);
    const args = ["-v", "--expect100-timeout", "20", "--data-binary", "@-"];
    const refused = await curl([...args, address("/refused")], { stdin });
    expect(refused.stdout).toBe("refused");
    expect(refused.stderr).not.toContain("100 Continue");
    const taken = await curl([...args, address("/sum")], { stdin });
    expect(sumOf(taken).sha256).toBe(sha256(stdin));
    expect(taken.stderr).toContain("< HTTP/1.1 100 Continue");
    expect((await echoed(address("/echo"))).seen.continued).toBe(before + 1);
  });

  test("a range is answered with 206, and only what was asked for", async () => {
    using folder = tempDir();
    const file = folder.file("part");
    const format = ["-w", "%{http_code} %header{content-range}"];
    const { stdout } = await curl([
      ...["-r", "1000-1999", "-o", file, ...format, address("/file?bytes=5000")],
    ]);
    expect(stdout).toBe("206 bytes 1000-1999/5000");
    expect(sha256(readFileSync(file))).toBe(sha256(madeUpBytes(5000).subarray(1000, 2000)));
  });

  test("an interrupted download is resumed where it was left", async () => {
    using folder = tempDir();
    const file = folder.file("resumed");
    writeFileSync(file, big.subarray(0, 20_000_001));
    const format = ["-w", "%{http_code} %{size_download}"];
    const target = address(`/file?bytes=${BIG_BYTES}`);
    const { stdout } = await curl(["-C", "-", "-o", file, ...format, target]);
    expect(stdout).toBe(`206 ${BIG_BYTES - 20_000_001}`);
    expect(sha256(readFileSync(file))).toBe(bigSum);
  });

  test("HEAD says how long the body would be, and has none", async () => {
    const { stdout } = await curl(["-I", address(`/file?bytes=${BIG_BYTES}`)]);
    expect(stdout).toStartWith("HTTP/1.1 200 OK\r\n");
    expect(stdout).toMatch(new RegExp(`^Content-Length: ${BIG_BYTES}\r$`, "im"));
  });

  testUnlessDeclared(engine, "content-length", "a download keeps its length", async () => {
    const { stdout } = await curl(["-D", "-", "-o", "/dev/null", address("/file?bytes=3000000")]);
    expect(stdout).toContain("\r\nContent-Length: 3000000\r\n");
  });

  test("a compressed body passes untouched, and nobody asks for one but the client", async () => {
    using folder = tempDir();
    const file = folder.file("plain");
    const target = address(`/gzip?bytes=${EXPECT_BYTES}`);
    const { stdout } = await curl(["--compressed", "-D", "-", "-o", file, target]);
    expect(stdout).toMatch(/^Content-Encoding: gzip\r$/im);
    expect(stdout).toMatch(/^X-Accepted: .*gzip/im);
    expect(sha256(readFileSync(file))).toBe(sha256(madeUpBytes(EXPECT_BYTES)));
    expect((await curl(["-I", target])).stdout).toMatch(/^X-Accepted: nothing\r$/im);
  });

  test("a redirect to the app's own address leads to the public one", async () => {
    const format = ["-w", "\n%{num_redirects} %{url_effective}"];
    const { stdout } = await curl(["-L", ...format, address("/moved")]);
    const [body, end] = stdout.split("\n");
    expect(JSON.parse(body!)).toMatchObject({ target: "/echo?moved" });
    expect(end).toBe(`1 ${address("/echo?moved")}`);
  });

  test("cookies for the app's own domain are kept for the public one, and come back", async () => {
    using folder = tempDir();
    const jar = ["-b", folder.file("jar"), "-c", folder.file("jar")];
    writeFileSync(folder.file("jar"), "");
    await curl([...jar, address("/login")]);
    expect(readFileSync(folder.file("jar"), "utf8")).toMatch(/^\.files\.example\t.*\tsid\tabc$/m);
    const { headers } = await echoed(...jar, address("/echo"));
    expect(headers.cookie?.split("; ").toSorted()).toEqual(["sid=abc", "theme=dark"]);
  });

  testUnlessDeclared(engine, "raw target", "a path that is sent as it is arrives so", async () => {
    const target = "/a/../b/./c//d/%2e%2E/e?q=/../x&r={}";
    expect((await echoed("-g", "--path-as-is", address(target))).target).toBe(target);
  });

  test("200 requests go over one connection", async () => {
    const format = ["-w", "%{http_code} %{num_connects}\n", "-o", "/dev/null"];
    const { stdout } = await curl([...format, address("/echo?n=[1-200]")]);
    const lines = stdout.trim().split("\n");
    expect(lines.length).toBe(200);
    expect(lines[0]).toBe("200 1");
    expect(new Set(lines.slice(1))).toEqual(new Set(["200 0"]));
  });

  test("20 downloads at once arrive whole", async () => {
    using folder = tempDir();
    const target = address("/file?bytes=[500001-500020]");
    const parallel = ["-Z", "--parallel-max", "20", "-o", `${folder.path}/#1`];
    await curl([...parallel, target]);
    for (let length = 500_001; length <= 500_020; length += 1) {
      expect(sha256(readFileSync(folder.file(String(length))))).toBe(sha256(madeUpBytes(length)));
    }
  });

  test("a client that gives up ends the request at the app", async () => {
    const before = (await echoed(address("/echo"))).seen.broken;
    const done = await curl(["--max-time", "0.3", address("/endless")], { mayFail: true });
    expect(done.status).toBe(28);
    await until(async () => (await echoed(address("/echo"))).seen.broken === before + 1);
  });
});
