/** Prometheus' own tool, which reads what we write as Prometheus would. */

import { writeFileSync } from "node:fs";
import { tempDir } from "./temp-dir.ts";

/** Whether it is on this machine: Debian has it in the package `prometheus`. */
export const HAS_PROMTOOL = Bun.which("promtool") !== null;

/** To follow the name of a test that needs it. */
export const WITHOUT_PROMTOOL = HAS_PROMTOOL ? "" : " (left out: there is no promtool here)";

/** What it found wrong; empty: nothing. */
async function complaints(args: readonly string[], input = ""): Promise<string> {
  const child = Bun.spawn(["promtool", ...args], {
    stdin: new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [said, failed, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return status === 0 ? failed.trim() : `${failed}${said}(status ${status})`;
}

/** Reads the text form, and looks at names, types and units. */
export async function checkMetrics(text: string): Promise<string> {
  return await complaints(["check", "metrics"], text);
}

/** Reads OpenMetrics. There every sample is to have a time. */
export async function checkOpenMetrics(text: string): Promise<string> {
  using folder = tempDir();
  const timed = text.replaceAll(/^([^#\n].*)$/gm, "$1 1700000000");
  writeFileSync(folder.file("metrics"), timed);
  const args = ["tsdb", "create-blocks-from", "openmetrics", "--quiet"];
  return await complaints([...args, folder.file("metrics"), folder.file("blocks")]);
}

/** @param file absolute */
export async function checkFile(what: "config" | "rules", file: string): Promise<string> {
  return await complaints(["check", what, file]);
}
