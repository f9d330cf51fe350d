/** The verbs that ask a running Paastis, as the command line takes them. */

import { type Command, Option } from "commander";
import type { AdminCall, AdminFlags } from "./admin-verbs.ts";
import { addAppsCommands } from "./apps-commands.ts";
import { EXIT_USAGE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { addPrefixFlag } from "./instance-machine.ts";
import { complain, type Surroundings } from "./surroundings.ts";

/** The heading of these verbs in the help. */
const GROUP = "A running Paastis:";

type Verbs = typeof import("./admin-verbs.ts");

/** How a verb says what came of it. */
export interface Outcome {
  status: number;
}

/** What every verb here is made with. */
export interface Registering {
  /** Makes a verb with the flags they all have. */
  readonly verb: (nameAndArguments: string, description: string) => Command;
  /** Asks what `callOf` makes; a failure of ours becomes a text and a status. */
  readonly run: (
    callOf: (verbs: Verbs) => AdminCall,
    flags: AdminFlags,
    app?: string,
  ) => Promise<void>;
}

/** Adds all of them to the command line. They bring their code along only when they run. */
export function addAdminCommands(
  program: Command,
  surroundings: Surroundings,
  outcome: Outcome,
): void {
  const registering: Registering = {
    verb: (text, description) =>
      addFlags(program.command(text).helpGroup(GROUP).description(description)),
    async run(callOf, flags, app) {
      try {
        const verbs = await import("./admin-verbs.ts");
        const meant = withApp(app, flags);
        outcome.status = await verbs.runAdminCall(callOf(verbs), meant, surroundings);
      } catch (error) {
        if (!(error instanceof InstanceFailure)) throw error;
        complain(surroundings, `${error.message}\n`);
        outcome.status = error.status;
      }
    },
  };
  addViewers(registering);
  addSwitch(registering);
  addPauses(registering);
  addDeploy(registering);
  addAppsCommands(registering, surroundings, outcome);
}

function addFlags(command: Command): Command {
  command
    .option("--app <key>", "the app that is meant, where there are several")
    .option("--url <address>", "where Paastis listens (or PAASTIS_URL)")
    .option("--instance <name>", "the instance that `paastis add` has made")
    .option("--socket <path>", "the unix socket of its admin endpoints")
    .option("--token <token>", "its ADMIN_TOKEN (or PAASTIS_TOKEN, which no other user can see)")
    .option("--json", "for programs: the answer as it came")
    .addHelpText(
      "after",
      "\nWithout --url, --instance and --socket, it is the Paastis that runs in this folder: the socket\nadmin.sock in DATA_DIR (or in a temporary folder, where that cannot be) or, where nothing listens\nthere, http://127.0.0.1:3000.",
    );
  return addPrefixFlag(command);
}

function addViewers({ verb, run }: Registering): void {
  verb("status", "show where an app is, and its last switch").action((flags: AdminFlags) =>
    run(({ statusCall }) => statusCall(), flags),
  );
  verb("metrics", "show what Paastis counts").action((flags: AdminFlags) =>
    run(({ metricsCall }) => metricsCall(), flags),
  );
  verb("health", "ask the active target now: exit 0 if it is healthy, 1 if not").action(
    (flags: AdminFlags) => run(({ healthCall }) => healthCall(), flags),
  );
}

function addSwitch({ verb, run }: Registering): void {
  verb("switch <port>", "move an app to another port once it is healthy there")
    .option("--idempotency-key <key>", "the same one is not done twice (default: a new one)")
    .action((port: string, flags: AdminFlags & KeyFlag) =>
      run(({ switchCall }) => switchCall(port, keyOf(flags)), flags),
    );
}

function addPauses({ verb, run }: Registering): void {
  addSpan(verb("pause [app]", "let an app's requests wait, for a migration, say")).action(
    (app: string | undefined, flags: AdminFlags & SpanFlags) =>
      run(({ pauseCall }) => pauseCall("pause", { ...flags, app: app ?? flags.app }), flags, app),
  );
  verb("resume [app]", "end a pause or maintenance").action(
    (app: string | undefined, flags: AdminFlags) =>
      run(({ pauseCall }) => pauseCall("resume"), flags, app),
  );
  verb("maintenance [app]", "answer an app's requests with 503 and a message")
    .option("--message <text>", "what visitors read")
    .addOption(new Option("--off", "end it, as resume does").conflicts("message"))
    .addHelpText(
      "after",
      '\nAn argument is the key of an app; what visitors read is given with --message:\n  paastis maintenance --message "Back at noon"\n  paastis maintenance shop --message "Back at noon"',
    )
    .action((app: string | undefined, flags: AdminFlags & MaintenanceFlags) =>
      run(
        ({ maintenanceCall, pauseCall }) =>
          flags.off === true ? pauseCall("resume") : maintenanceCall(flags.message ?? "", app),
        flags,
        app,
      ),
    );
}

function addDeploy({ verb, run }: Registering): void {
  verb("deploy <app>", "start the new version of an app, and switch to it")
    .option("--idempotency-key <key>", "the same one is not done twice (default: a new one)")
    .action((app: string, flags: AdminFlags & KeyFlag) =>
      run(({ deployCall }) => deployCall(keyOf(flags)), flags, app),
    );
}

/** Flags that say how long something lasts. */
export interface SpanFlags {
  readonly for?: string;
  readonly until?: string;
}

/** Adds them. */
export function addSpan(command: Command): Command {
  return command
    .option("--for <duration>", "how long: 90s, 20m, 2h, 1h30m, 2d")
    .addOption(new Option("--until <time>", "until when: 2026-12-24T18:00:00Z").conflicts("for"));
}

interface KeyFlag {
  readonly idempotencyKey?: string;
}

interface MaintenanceFlags {
  readonly message?: string;
  readonly off?: true;
}

/** @throws InstanceFailure 64 when two apps are named */
function withApp(app: string | undefined, flags: AdminFlags): AdminFlags {
  if (app === undefined) return flags;
  if (flags.app === undefined || flags.app === app) return { ...flags, app };
  throw new InstanceFailure(
    { what: "Cannot tell which app", why: `both ${app} and --app ${flags.app} name one`, next: "" },
    EXIT_USAGE,
  );
}

function keyOf({ idempotencyKey }: KeyFlag): string {
  return idempotencyKey ?? crypto.randomUUID();
}
