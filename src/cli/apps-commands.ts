/** The verbs about apps that ask a running Paastis, as the command line takes them. */

import { Option } from "commander";
import { addSpan, type Outcome, type Registering, type SpanFlags } from "./admin-commands.ts";
import type { AdminCall, AdminFlags } from "./admin-verbs.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { complain, type Surroundings } from "./surroundings.ts";

type Verbs = typeof import("./apps-verbs.ts");

/** Adds all of them. */
export function addAppsCommands(
  registering: Registering,
  surroundings: Surroundings,
  outcome: Outcome,
): void {
  const ask: Ask = async (callOf, flags) => {
    const verbs = await import("./apps-verbs.ts");
    await registering.run(() => callOf(verbs), flags);
  };
  addLists(registering, ask);
  addActions(registering, ask);
  addEvents(registering, { ask, surroundings, outcome });
  addInsight(registering, ask);
}

type Ask = (callOf: (verbs: Verbs) => AdminCall, flags: AdminFlags) => Promise<void>;

interface ListFlags {
  readonly search?: string;
  readonly phase?: string;
  readonly provider?: string;
  readonly sort?: string;
  readonly page?: string;
  readonly size?: string;
}

function addLists({ verb }: Registering, ask: Ask): void {
  verb("apps", "list the apps: phase, who uses them, what comes next")
    .option("--search <text>", "a part of the key, the id or the provider")
    .option("--phase <phase>", "only those that are asleep, awake, failed …")
    .option("--provider <name>", "only those of this provider")
    .option("--sort <field>", "key, phase, lastUsed or sleepsAt")
    .option("--page <number>", "which page")
    .option("--size <number>", "apps on a page (default: 100)")
    .action(({ search, phase, provider, sort, page, size, ...flags }: AdminFlags & ListFlags) =>
      ask((verbs) => verbs.appsCall({ search, phase, provider, sort, page, size }), flags),
    );
  verb("app <key>", "show all that is known of one app").action((key: string, flags: AdminFlags) =>
    ask(({ appCall }) => appCall(key), flags),
  );
}

function addActions({ verb }: Registering, ask: Ask): void {
  verb("wake <app>", "wake an app, and wait until it is awake")
    .option("--no-wait", "do not wait for it")
    .action((app: string, flags: AdminFlags & { readonly wait: boolean }) =>
      ask(({ wakeCall }) => wakeCall(app, flags.wait), flags),
    );
  verb("sleep <app>", "put an app to sleep now, unless it is in use")
    .option("--drain <duration>", "how long to wait for its last request: 30s, 5m")
    .action((app: string, flags: AdminFlags & { readonly drain?: string }) =>
      ask(({ sleepCall }) => sleepCall(app, flags.drain), flags),
    );
  addSpan(verb("keep-awake <app>", "keep an app awake for a time, whatever its rules say"))
    .addOption(new Option("--off", "take that back").conflicts(["for", "until"]))
    .action((app: string, flags: AdminFlags & SpanFlags & { readonly off?: true }) =>
      ask(({ keepAwakeCall }) => keepAwakeCall(app, flags), flags),
    );
}

interface EventFlags {
  readonly follow?: true;
  readonly name?: string;
  readonly since?: string;
  readonly limit?: string;
}

function addEvents(
  { verb }: Registering,
  { ask, surroundings, outcome }: { ask: Ask; surroundings: Surroundings; outcome: Outcome },
): void {
  verb("events [reference]", "list what happened to apps, or what a reference stands for")
    .option("-f, --follow", "go on with what happens, until interrupted")
    .option("--name <names>", "only these, separated by commas: APP_STARTED,APP_STOPPED")
    .option("--since <time>", "from a time on, or of the last so long: 2h")
    .option("--limit <number>", "at most so many, the newest (default: 100)")
    .action(async (id: string | undefined, options: AdminFlags & EventFlags) => {
      const { follow, name, since, limit, ...flags } = options;
      const query = { id, name, since, limit };
      if (follow !== true) return await ask((verbs) => verbs.eventsCall(query), flags);
      try {
        const { followEvents } = await import("./events-follow.ts");
        const all = { ...query, app: flags.app };
        outcome.status = await followEvents({ flags, query: all, surroundings });
      } catch (error) {
        if (!(error instanceof InstanceFailure)) throw error;
        complain(surroundings, `${error.message}\n`);
        outcome.status = error.status;
      }
    });
}

interface ExplainFlags {
  readonly method?: string;
  readonly userAgent?: string;
  readonly accept?: string;
  readonly prefetch?: true;
}

function addInsight({ verb }: Registering, ask: Ask): void {
  verb("explain <address>", "say what would become of a request now, and why")
    .option("--method <method>", "another one than GET")
    .option("--user-agent <text>", "who asks (default: a browser)")
    .option("--accept <text>", "what its header Accept says")
    .option("--prefetch", "as a browser that asks ahead of its user")
    .action((address: string, flags: AdminFlags & ExplainFlags) => {
      const { accept, method, prefetch, userAgent } = flags;
      const query = { accept, method, userAgent, prefetch: prefetch === true ? "1" : undefined };
      return ask(({ explainCall }) => explainCall(address, query), flags);
    });
  verb("sweep", "look for idle apps now, and put them to sleep")
    .option("--dry-run", "only say what would be done")
    .action((flags: AdminFlags & { readonly dryRun?: true }) =>
      ask(({ sweepCall }) => sweepCall(flags.dryRun === true), flags),
    );
  verb("config", "show the configuration as it counts, without secrets")
    .option("--all", "what has its default, too")
    .action((flags: AdminFlags & { readonly all?: true }) =>
      ask(({ configCall }) => configCall(flags.all === true), flags),
    );
  verb("savings", "show how long apps were asleep, and what that has saved").action(
    (flags: AdminFlags) => ask(({ savingsCall }) => savingsCall(), flags),
  );
}
