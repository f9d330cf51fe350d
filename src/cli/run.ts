/** Runs the verb that the command line names. */

import { Command, CommanderError } from "commander";
import { EXIT_CONFIG, messageOf, PaastisError } from "../errors.ts";
import { nearest } from "../nearest.ts";
import { COMMIT, describeVersion } from "../version.ts";
import { addAdminCommands } from "./admin-commands.ts";
import { type CheckFlags, runCheck } from "./check.ts";
import { addConfigFlags, type ConfigFlags } from "./config-flags.ts";
import { EXIT_USAGE } from "./exit-codes.ts";
import { addInstanceCommands } from "./instance-commands.ts";
import { runSchema } from "./schema.ts";
import { runServe } from "./serve.ts";
import { complain, type Surroundings } from "./surroundings.ts";

/**
 * @param args the arguments after the program's own name
 * @returns the exit status: 0, 1 for a failure, 64 for a wrong command line, 78 for a wrong configuration
 */
export async function runCommandLine(
  args: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  const outcome = { status: 0 };
  try {
    await createProgram(surroundings, outcome).parseAsync(args, { from: "user" });
    return outcome.status;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE;
    complain(surroundings, `${describe(error, surroundings)}\n`);
    return statusOf(error);
  }
}

function createProgram(surroundings: Surroundings, outcome: { status: number }): Command {
  const program = new Command("paastis")
    .description("Puts idle web apps to sleep and wakes them when somebody asks for them.")
    .version(describeVersion(COMMIT), "-V, --version", "print version and commit")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .configureOutput({ writeOut: surroundings.writeOut, writeErr: surroundings.writeErr })
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .addHelpText(
      "after",
      "\nWithout a command, serve is run. `paastis help serve` lists its flags.",
    )
    .showHelpAfterError("Run `paastis --help` to see what there is.")
    .exitOverride();

  const serve = program
    .command("serve", { isDefault: true })
    .description("run Paastis until it is told to stop")
    .usage("[options]")
    .argument("[rest...]")
    .action(async (rest: readonly string[], flags: ConfigFlags) => {
      refuseArguments(rest, program);
      outcome.status = await runServe(flags, surroundings);
    });
  const check = program
    .command("check")
    .description("check the configuration, say what it means, and exit")
    .option("--online", "try each credential with one harmless call as well")
    .action(async (flags: CheckFlags) => {
      outcome.status = await runCheck(flags, surroundings);
    });
  program
    .command("schema")
    .description("print the JSON Schema of paastis.yml, for editors")
    .action(() => runSchema(surroundings));
  addAdminCommands(program, surroundings, outcome);
  addInstanceCommands(program, surroundings, outcome);

  addConfigFlags(serve);
  addConfigFlags(check);
  return program;
}

/** `serve` runs without its name, so a mistyped command arrives as its argument. */
function refuseArguments(rest: readonly string[], program: Command): void {
  const [word] = rest;
  if (word === undefined) return;
  const verbs = program.commands.map((command) => command.name());
  if (verbs.includes(word)) {
    program.error(`error: the command must come first: paastis ${word} …`);
  }
  const meant = nearest(word, verbs);
  const hint = meant === null ? "" : `\n(Did you mean ${meant}?)`;
  program.error(`error: unknown command '${word}'${hint}`);
}

/** Where a mistake of ours happened helps whoever looks for it, and nobody else. */
function describe(error: unknown, { environment }: Surroundings): string {
  if (error instanceof PaastisError) {
    const { what, why, next } = error.explanation;
    return `${what}: ${why}\n${next}`;
  }
  const level = environment.LOGGING_LEVEL ?? environment.LOG_LEVEL ?? "";
  const stack = error instanceof Error ? error.stack : undefined;
  if (/^(?:debug|trace)$/i.test(level) && stack !== undefined) return stack;
  return `Paastis made a mistake: ${messageOf(error)}\nPlease report it; LOGGING_LEVEL=debug says where it happened`;
}

function statusOf(error: unknown): number {
  return error instanceof PaastisError && error.code === "config_invalid" ? EXIT_CONFIG : 1;
}
