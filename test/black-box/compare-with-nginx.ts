/**
 * Runs the black-box suite against Debian's nginx and against Paastis, and prints what each of them
 * fails: `bun test/black-box/compare-with-nginx.ts`.
 */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { connectRaw } from "../support/raw-client.ts";
import { until } from "../support/until.ts";

const NGINX = process.env.NGINX ?? "/usr/sbin/nginx";
const ROOT = resolve(import.meta.dir, "../..");

/** What a run of the suite came to. */
interface Results {
  readonly passed: readonly string[];
  readonly failed: readonly string[];
  readonly skipped: readonly string[];
}

const folder = mkdtempSync(join(tmpdir(), "paastis-nginx-"));
try {
  const ours = await runSuite("paastis", {});
  const theirs = await withNginx((env) => runSuite("nginx", env));
  report("Paastis", ours);
  report("nginx", theirs);
  const both = ours.failed.filter((name) => theirs.failed.includes(name));
  console.log(`\nFailed by both: ${both.length}`);
  process.exitCode = ours.failed.length === 0 ? 0 : 1;
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** Starts nginx on free ports, and ends it when `use` is through. */
async function withNginx(use: (env: Record<string, string>) => Promise<Results>): Promise<Results> {
  const [listen, upstream] = [await freePort(), await freePort()];
  for (const name of ["body", "proxy", "fastcgi", "uwsgi", "scgi"]) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  const template = readFileSync(join(import.meta.dir, "nginx.conf"), "utf8");
  const config = template
    .replaceAll(/^(?!#)(.*)\bFOLDER\b/gm, `$1${folder}`)
    .replaceAll(/^(?!#)(.*)\bLISTEN\b/gm, `$1127.0.0.1:${listen}`)
    .replaceAll(/^(?!#)(.*)\bUPSTREAM\b/gm, `$1127.0.0.1:${upstream}`);
  const path = join(folder, "nginx.conf");
  writeFileSync(path, config);
  const nginx = Bun.spawn([NGINX, "-p", folder, "-c", path, "-e", join(folder, "error.log")], {
    stdout: "inherit",
    stderr: "inherit",
  });
  try {
    await until(() => isListening(listen));
    return await use({
      PROXY_UNDER_TEST: `127.0.0.1:${listen}`,
      PROXY_UPSTREAM: `127.0.0.1:${upstream}`,
    });
  } finally {
    nginx.kill("SIGTERM");
    await nginx.exited;
  }
}

/** Runs the suite, one file after the other: they may share a port. */
async function runSuite(name: string, env: Record<string, string>): Promise<Results> {
  console.log(`Running the suite against ${name} ...`);
  const report = join(folder, `${name}.xml`);
  const suite = Bun.spawn(
    [
      process.execPath,
      "--no-install",
      "test",
      "--parallel=1",
      "--reporter=junit",
      `--reporter-outfile=${report}`,
      "./test/black-box/",
    ],
    { cwd: ROOT, env: { ...process.env, ...env }, stdout: "ignore", stderr: "ignore" },
  );
  await suite.exited;
  return readResults(readFileSync(report, "utf8"));
}

/** Reads a JUnit report as Bun writes it. */
function readResults(xml: string): Results {
  const passed: string[] = [];
  const failed: string[] = [];
  const skipped: string[] = [];
  for (const [, attributes = "", isEmpty, content = ""] of xml.matchAll(
    /<testcase ([^>]*?)(?:(\/)>|>([\s\S]*?)<\/testcase>)/g,
  )) {
    const attribute = (name: string) =>
      decode(new RegExp(`\\b${name}="([^"]*)"`).exec(attributes)?.[1] ?? "");
    const name = `${attribute("classname")}: ${attribute("name")}`;
    const isSkipped = isEmpty === undefined && content.includes("<skipped");
    // What prepares and ends a skipped group is in the report, too, without a name.
    if (isSkipped && attribute("name") === "(unnamed)") continue;
    if (isSkipped) skipped.push(name);
    else if (isEmpty === undefined && /<(failure|error)/.test(content)) failed.push(name);
    else passed.push(name);
  }
  return { passed, failed, skipped };
}

function decode(text: string): string {
  return text
    .replaceAll("&quot;", '"')
    .replaceAll("&apos;", "'")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&amp;", "&");
}

function report(name: string, { passed, failed, skipped }: Results): void {
  console.log(
    `\n${name}: ${passed.length} passed, ${failed.length} failed, ${skipped.length} not applicable`,
  );
  for (const fact of failed) console.log(`  - ${fact}`);
}

async function isListening(port: number): Promise<boolean> {
  try {
    (await connectRaw(port))[Symbol.dispose]();
    return true;
  } catch {
    return false;
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => {
        if (address === null || typeof address === "string") reject(new Error("no port"));
        else resolve(address.port);
      });
    });
  });
}
