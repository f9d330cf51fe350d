/**
 * An app that sleeps: `bun wake-app.ts` listens on `PORT`, once there is the file that `BENCH_GATE` names, if any is
 * named. Every answer says since when it listens, in ms since the epoch.
 */

import { existsSync } from "node:fs";

const gate = process.env.BENCH_GATE ?? "";
while (gate !== "" && !existsSync(gate)) await Bun.sleep(5);

let listeningMs = 0;
const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.env.PORT),
  idleTimeout: 0,
  fetch: () => new Response("ok", { headers: { "x-listening-ms": String(listeningMs) } }),
});
listeningMs = performance.timeOrigin + performance.now();

process.on("SIGTERM", () => {
  server.stop(true);
  process.exit(0);
});
