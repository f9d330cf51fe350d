/** git in front of the compiled program, `git http-backend` behind it: smart HTTP both ways. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { madeUpBytes, sha256 } from "../support/made-up-bytes.mjs";
import {
  appProgram,
  ENGINE_NAMES,
  type ProxiedApp,
  startProxiedApp,
} from "../support/proxied-app.ts";
import { runCommand } from "../support/run-command.ts";
import { tempDir } from "../support/temp-dir.ts";

/** Above `http.postBuffer` (1 MB), git sends a push in chunks; packing makes these no smaller. */
const LARGE_BYTES = 6 * 1024 * 1024;
/** So many names in a request make it large enough for git to compress it. */
const BRANCHES = 60;

const IDENTITY = {
  GIT_AUTHOR_NAME: "Somebody",
  GIT_AUTHOR_EMAIL: "somebody@example.com",
  GIT_COMMITTER_NAME: "Somebody",
  GIT_COMMITTER_EMAIL: "somebody@example.com",
  GIT_TERMINAL_PROMPT: "0",
};

/** One commit with a branch of its own beside `main`, as `git fast-import` reads it. */
function commitOnBranch(number: number): string {
  return [
    `commit refs/heads/branch-${number}`,
    `committer Somebody <somebody@example.com> ${1_700_000_000 + number} +0000`,
    "data 1",
    "x",
    "from refs/heads/main^0",
    "",
    "",
  ].join("\n");
}

interface Seen {
  readonly request: string;
  readonly length: string | null;
  readonly framing: string | null;
  readonly encoding: string | null;
}

describe.each(ENGINE_NAMES)("git, on the %s engine", (engine) => {
  const folder = tempDir();
  const large = madeUpBytes(LARGE_BYTES);
  let app: ProxiedApp;

  const git = async (cwd: string, ...args: string[]) =>
    (await runCommand(["git", "-C", folder.file(cwd), ...args], { env: IDENTITY })).stdout.trim();
  /** The same with the address of the app, which no name server knows. */
  const gitOverHttp = (cwd: string, ...args: string[]) =>
    git(cwd, "-c", `http.curloptResolve=${app.host}:127.0.0.1`, ...args);
  const head = (cwd: string, ref = "HEAD") => git(cwd, "rev-parse", ref);
  // What the app says of itself has the shape that `git-server.ts` gives it.
  const seen = async () =>
    (await (await app.paastis.get("code", { path: "/seen" })).json()) as Seen[];

  beforeAll(async () => {
    for (const name of ["root", "work"]) mkdirSync(folder.file(name));
    await git("root", "init", "--quiet", "--bare", "--initial-branch=main", "project.git");
    await git("work", "init", "--quiet", "--initial-branch=main");
    writeFileSync(folder.file("work/README"), "a project\n");
    await git("work", "add", ".");
    await git("work", "commit", "--quiet", "-m", "first");
    app = await startProxiedApp({
      engine,
      key: "code",
      command: `exec ${process.execPath} --no-install ${appProgram("git-server.ts")}`,
      env: { GIT_ROOT: folder.file("root") },
    });
    await git("work", "remote", "add", "origin", `http://${app.host}/project.git`);
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
    folder[Symbol.dispose]();
  });

  test("the first push wakes the app and arrives", async () => {
    await gitOverHttp("work", "push", "--quiet", "origin", "main");
    expect(await head("root/project.git", "main")).toBe(await head("work"));
  });

  test("a push of 6 MB goes in chunks and arrives whole", async () => {
    writeFileSync(folder.file("work/large"), large);
    await git("work", "add", ".");
    await git("work", "commit", "--quiet", "-m", "large");
    await gitOverHttp("work", "push", "--quiet", "origin", "main");
    const pushes = (await seen()).filter(({ request }) => request.includes("POST"));
    expect(pushes.at(-1)).toMatchObject({ framing: "chunked", length: null });
    await git("root/project.git", "fsck", "--full", "--strict");
    expect(await head("root/project.git", "main")).toBe(await head("work"));
  });

  test("a clone is the repository, byte for byte", async () => {
    await gitOverHttp("", "clone", "--quiet", `http://${app.host}/project.git`, "clone");
    await git("clone", "fsck", "--full", "--strict");
    expect(await head("clone")).toBe(await head("work"));
    expect(await git("clone", "status", "--porcelain")).toBe("");
    expect(sha256(readFileSync(folder.file("clone/large")))).toBe(sha256(large));
  });

  test("a fetch brings what is new, and asks for much of it with a compressed body", async () => {
    const commits = Array.from({ length: BRANCHES }, (_, number) => commitOnBranch(number));
    const argv = ["git", "-C", folder.file("work"), "fast-import", "--quiet"];
    await runCommand(argv, { stdin: commits.join("") });
    await gitOverHttp("work", "push", "--quiet", "--all", "origin");
    await gitOverHttp("clone", "fetch", "--quiet", "origin");
    const refs = ["for-each-ref", "--format=%(objectname)"];
    const here = await git("work", ...refs, "refs/heads/branch-*");
    expect(here.split("\n").length).toBe(BRANCHES);
    expect(await git("clone", ...refs, "refs/remotes/origin/branch-*")).toBe(here);
    await git("clone", "fsck", "--full", "--strict");
    const fetches = (await seen()).filter(({ request }) => request.endsWith("git-upload-pack"));
    expect(fetches.map(({ encoding }) => encoding)).toContain("gzip");
  });

  test("git's older protocol works as well", async () => {
    const old = ["-c", "protocol.version=0", "clone", "--quiet", "--depth", "1"];
    await gitOverHttp("", ...old, `http://${app.host}/project.git`, "old");
    expect(await head("old")).toBe(await head("work"));
  });

  test("a repository that is not there is reported as such", async () => {
    const address = `http://${app.host}/nothing.git`;
    await expect(gitOverHttp("", "ls-remote", address)).rejects.toThrow("not found");
  });
});
