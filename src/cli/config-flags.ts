/** The flags that win over environment variables, and the configuration they lead to. */

import type { Command } from "commander";
import { EXIT_CONFIG } from "../errors.ts";
import { type LoadedConfig, loadConfig } from "../load-config.ts";
import { complain, type Surroundings } from "./surroundings.ts";

/** As they were given; checked together with the environment. */
export interface ConfigFlags {
  readonly maxIdleTime?: string;
  readonly host?: string;
  readonly port?: string;
  readonly config?: string;
}

/** Adds the flags to a verb. */
export function addConfigFlags(command: Command): void {
  command
    .option("--max-idle-time <minutes>", "unused for so long, an app is put to sleep")
    .option("-H, --host <address>", "the address to listen on")
    .option("-P, --port <port>", "the port to listen on; 0: any free one")
    .option("--config <file>", "the file with apps and rules, instead of paastis.yml");
}

/**
 * The configuration; warnings go to the error output. When it cannot be used, all problems go there too.
 * @returns the exit status instead when it cannot be used
 */
export function configFrom(flags: ConfigFlags, surroundings: Surroundings): LoadedConfig | number {
  const { environment, workingDirectory } = surroundings;
  const reading = loadConfig({
    environment,
    workingDirectory,
    flags: {
      START_AND_STOP_MAX_IDLE_TIME: flags.maxIdleTime,
      HOST: flags.host,
      PORT: flags.port,
      PAASTIS_CONFIG: flags.config,
    },
  });
  complain(surroundings, describeWarnings(reading.warnings));
  if (reading.kind === "usable") return reading;
  if (reading.warnings.length > 0) complain(surroundings, "\n");
  complain(surroundings, describeProblems(reading.problems));
  return EXIT_CONFIG;
}

/** One line each, for the error output. */
export function describeWarnings(warnings: readonly string[]): string {
  return warnings.map((warning) => `Warning: ${warning}\n`).join("");
}

/** All problems of a configuration, for the error output. */
export function describeProblems(problems: readonly string[]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  return [
    `This configuration cannot be used. It has ${count}:`,
    "",
    ...problems.map((problem) => `  - ${problem}`),
    "",
    "Fix this, then run `paastis check`.",
    "",
  ].join("\n");
}
