/** The verbs that manage instances of Paastis on a machine with systemd. */

import type { Command } from "commander";
import { describeExitCodes } from "./exit-codes.ts";
import type { AddFlags } from "./instance-add.ts";
import type { CleanFlags } from "./instance-clean.ts";
import type { ControlVerb } from "./instance-control.ts";
import type { DoctorFlags } from "./instance-doctor.ts";
import { InstanceFailure } from "./instance-failure.ts";
import type { InitFlags } from "./instance-init.ts";
import type { ListFlags } from "./instance-list.ts";
import type { LogsFlags } from "./instance-logs.ts";
import { addPrefixFlag, type PrefixFlag } from "./instance-machine.ts";
import type { RemoveFlags } from "./instance-remove.ts";
import { complain, type Surroundings } from "./surroundings.ts";

/** The heading of these verbs in the help. */
const GROUP = "Instances on this machine, run by systemd:";

const CONTROLS: Readonly<Record<ControlVerb, string>> = {
  start: "start instances, and wait until they are ready",
  stop: "stop instances",
  restart:
    "stop instances and start them again; without a name: replace the Paastis of this folder without a gap",
  enable: "start instances with the machine from now on",
  disable: "no longer start instances with the machine",
};

/** How a verb says what came of it. */
interface Outcome {
  status: number;
}

/** What every verb here is made with. */
interface Registering {
  /** Makes a verb with the flags they all have. */
  readonly verb: (nameAndArguments: string, description: string) => Command;
  /** Runs one: a failure of ours becomes a text and a status. */
  readonly run: (work: () => Promise<number | undefined>) => Promise<void>;
  readonly surroundings: Surroundings;
}

/** Adds all of them to the command line. Each brings its code along only when it runs. */
export function addInstanceCommands(
  program: Command,
  surroundings: Surroundings,
  outcome: Outcome,
): void {
  const registering: Registering = {
    surroundings,
    verb: (text, description) =>
      addPrefixFlag(program.command(text).helpGroup(GROUP).description(description)),
    async run(work) {
      try {
        outcome.status = (await work()) ?? 0;
      } catch (error) {
        if (!(error instanceof InstanceFailure)) throw error;
        complain(surroundings, `${error.message}\n`);
        outcome.status = error.status;
      }
    },
  };
  addMakers(registering);
  addRemovers(registering);
  addViewers(registering);
  addControls(registering);
  program.addHelpText("after", describeExitCodes());
}

function addMakers({ verb, run, surroundings }: Registering): void {
  verb("init", "install the systemd unit that instances are made from")
    .option("--dry-run", "print the unit, and change nothing")
    .option("--binary <file>", "the program that instances run, instead of this one")
    .action((flags: InitFlags) =>
      run(async () => {
        const { runInit } = await import("./instance-init.ts");
        await runInit(flags, surroundings);
        return 0;
      }),
    );
  verb("add <name>", "make an instance with ports, a token and folders of its own")
    .option("--port <port>", "listen here, instead of on a free one of 3000 to 3999")
    .option("--target <port>", "where its app answers, instead of a free one of 8000 to 8999")
    .option("--health <path>", "what the app must answer with 2xx (default: /health)")
    .option("--show-token", "print the admin token, this once")
    .option("--force", "replace the settings and the token of an instance of this name")
    .action((name: string, flags: AddFlags) =>
      run(async () => {
        const { runAdd } = await import("./instance-add.ts");
        runAdd(name, flags, surroundings);
        return 0;
      }),
    );
}

function addRemovers({ verb, run, surroundings }: Registering): void {
  verb("remove <name>", "stop an instance and delete its settings and state")
    .option("--keep-state", "leave its folder in /var/lib/paastis")
    .option("--force", "do not ask")
    .action((name: string, flags: RemoveFlags) =>
      run(async () => {
        const { runRemove } = await import("./instance-remove.ts");
        await runRemove(name, flags, surroundings);
        return 0;
      }),
    );
  verb("clean", "remove all instances, their state and the unit")
    .option("--force", "do not ask")
    .action((flags: CleanFlags) =>
      run(async () => {
        const { runClean } = await import("./instance-clean.ts");
        await runClean(flags, surroundings);
        return 0;
      }),
    );
}

function addViewers({ verb, run, surroundings }: Registering): void {
  verb("list", "list the instances and how they are")
    .option("--json", "for programs")
    .action((flags: ListFlags) =>
      run(async () => {
        const { runList } = await import("./instance-list.ts");
        await runList(flags, surroundings);
        return 0;
      }),
    );
  verb("logs <name>", "show what an instance has said")
    .option("-f, --follow", "go on with what it says from now on")
    .option("-n, --lines <number>", "how many of the last lines", "100")
    .action((name: string, flags: LogsFlags) =>
      run(async () => {
        const { runLogs } = await import("./instance-logs.ts");
        return await runLogs(name, flags, surroundings);
      }),
    );
  verb("doctor [name]", "look for what is wrong, and say what to do")
    .option("--json", "for programs")
    .action((name: string | undefined, flags: DoctorFlags) =>
      run(async () => {
        const { runDoctor } = await import("./instance-doctor.ts");
        return await runDoctor(name, flags, surroundings);
      }),
    );
}

function addControls({ verb, run, surroundings }: Registering): void {
  // Its keys are those of a record of ours.
  for (const name of Object.keys(CONTROLS) as ControlVerb[]) {
    const names = name === "restart" ? "[names...]" : "<names...>";
    verb(`${name} ${names}`, CONTROLS[name]).action((names: string[], flags: PrefixFlag) =>
      run(async () => {
        if (names.length === 0) {
          const { runRestartHere } = await import("./restart-here.ts");
          await runRestartHere(surroundings);
          return 0;
        }
        const { runControl } = await import("./instance-control.ts");
        return await runControl(name, names, { flags, surroundings });
      }),
    );
  }
}
