/**
 * Git over smart HTTP: hands each request to `git http-backend` by CGI (RFC 3875 and
 * git-http-backend(1)). GIT_ROOT: the folder of the repositories. `/seen` tells how the requests
 * were sent.
 */

import { join } from "node:path";

const { PORT, GIT_ROOT = "" } = process.env;
const execPath = await Bun.$`git --exec-path`.text();
const backend = join(execPath.trim(), "git-http-backend");
const seen: Record<string, string | null>[] = [];

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  idleTimeout: 0,
  maxRequestBodySize: Number.MAX_SAFE_INTEGER,
  fetch(request) {
    const url = new URL(request.url);
    if (url.pathname === "/") return new Response("git lives here");
    if (url.pathname === "/seen") return Response.json(seen);
    seen.push({
      request: `${request.method} ${url.pathname}${url.search}`,
      length: request.headers.get("content-length"),
      framing: request.headers.get("transfer-encoding"),
      encoding: request.headers.get("content-encoding"),
    });
    return runBackend(request, url);
  },
});

async function runBackend(request: Request, url: URL): Promise<Response> {
  const child = Bun.spawn([backend], {
    env: { PATH: process.env.PATH ?? "", HOME: GIT_ROOT, ...cgiVariables(request, url) },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  // The backend may end before it has read all: it has then said why in its answer.
  const sending = sendBody(request, child.stdin).catch((error) => console.error(String(error)));
  const { head, rest } = await splitHead(child.stdout);
  void Promise.all([sending, child.exited]);
  const headers = new Headers();
  let status = 200;
  for (const line of head.split("\r\n")) {
    const [, name = "", value = ""] = /^([^:]+):\s*(.*)$/.exec(line) ?? [];
    if (name === "Status") status = Number.parseInt(value, 10);
    else if (name !== "") headers.append(name, value);
  }
  return new Response(rest, { status, headers });
}

/** Without CONTENT_LENGTH the backend reads to the end, which a body in chunks needs. */
function cgiVariables(request: Request, url: URL): Record<string, string> {
  const variables: Record<string, string> = {
    GATEWAY_INTERFACE: "CGI/1.1",
    GIT_HTTP_EXPORT_ALL: "1",
    GIT_PROJECT_ROOT: GIT_ROOT,
    PATH_INFO: decodeURIComponent(url.pathname),
    QUERY_STRING: url.search.slice(1),
    REMOTE_ADDR: "127.0.0.1",
    // Whoever has a name may push.
    REMOTE_USER: "somebody",
    REQUEST_METHOD: request.method,
    SERVER_PROTOCOL: "HTTP/1.1",
  };
  for (const [name, value] of request.headers) {
    if (name === "content-type") variables.CONTENT_TYPE = value;
    else if (name === "content-length") variables.CONTENT_LENGTH = value;
    else variables[`HTTP_${name.toUpperCase().replaceAll("-", "_")}`] = value;
  }
  return variables;
}

async function sendBody(request: Request, stdin: Bun.FileSink): Promise<void> {
  for await (const piece of request.body ?? []) {
    stdin.write(piece);
    await stdin.flush();
  }
  await stdin.end();
}

async function splitHead(stdout: ReadableStream<Uint8Array<ArrayBuffer>>) {
  const reader = stdout.getReader();
  let bytes = Buffer.alloc(0);
  let end = -1;
  while (end === -1) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`the backend ended within its head: ${bytes}`);
    bytes = Buffer.concat([bytes, value]);
    end = bytes.indexOf("\r\n\r\n");
  }
  reader.releaseLock();
  async function* rest() {
    yield bytes.subarray(end + 4);
    yield* stdout;
  }
  return { head: bytes.subarray(0, end).toString("latin1"), rest: rest() };
}
