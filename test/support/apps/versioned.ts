/**
 * A version of an app, for deployments: says which one it is. VERSION_FILE: holds its name, read once, and what is wrong
 * with it: `v2`, `v2 exits` (before it listens), `v2 unhealthy`, `v2 failing` (500 to all but /health).
 * RUNS_FILE: gets a line with its pid at each start.
 */

import { appendFileSync, readFileSync } from "node:fs";

const { PORT, VERSION_FILE = "", RUNS_FILE } = process.env;
if (RUNS_FILE !== undefined) appendFileSync(RUNS_FILE, `${process.pid}\n`);
const [name = "", fault] = readFileSync(VERSION_FILE, "utf8").trim().split(" ");
console.log(`this is ${name}`);
if (fault === "exits") {
  console.error("cannot read the settings");
  process.exit(3);
}

Bun.serve({
  hostname: "127.0.0.1",
  port: Number(PORT),
  idleTimeout: 0,
  async fetch(request, self) {
    if (self.upgrade(request)) return undefined;
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === "/health")
      return new Response(name, { status: fault === "unhealthy" ? 500 : 200 });
    if (pathname === "/crash") {
      console.error("about to crash, as asked");
      return process.exit(7);
    }
    if (pathname === "/slow") await Bun.sleep(Number(searchParams.get("ms")));
    if (pathname === "/sum") return new Response(`${name} ${(await request.bytes()).length}`);
    return new Response(name, { status: fault === "failing" ? 500 : 200 });
  },
  websocket: { message: (socket, text) => void socket.send(`${name} ${text}`) },
});
