/** A Paastis reduced to its process provider, to be killed: wakes apps, prints `ready`, and stays. */

import { createSystemClock } from "../../src/clock.ts";
import { createProcessProvider } from "../../src/providers/process.ts";
import { recordingLog } from "./recording-log.ts";

const [instanceId = "", folder = "", mode = "stay", ...rest] = process.argv.slice(2);
const declarations = JSON.parse(rest[0] ?? "[]");
const { log, lines } = recordingLog();
const provider = await createProcessProvider({
  declarations: () => declarations,
  environment: { PATH: "/usr/local/bin:/usr/bin:/bin" },
  dataDir: folder === "" ? null : folder,
  instanceId,
  clock: createSystemClock(),
  random: Math.random,
  log,
});
const { signal } = new AbortController();
for (const { key } of declarations) await provider.wake(key, null, signal);
if (mode === "die") process.kill(process.pid, "SIGKILL");
const announced = new Set<string>();
while (announced.size < declarations.length) {
  for (const { fields, message } of lines) {
    const key = String(fields.app);
    if (fields.stream === undefined || !message.startsWith("up ") || announced.has(key)) continue;
    announced.add(key);
    console.log(`${key} ${message}`);
  }
  await Bun.sleep(5);
}
if (mode === "stop")
  for (const { key } of declarations) void provider.sleep(key, { kind: "none" }, signal);
if (mode === "close") {
  await provider.close();
  console.log("closed");
  process.exit(0);
}
console.log("ready");
setInterval(() => undefined, 1_000);
