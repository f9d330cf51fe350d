/** What a running program is made of, and its end. */

import type { WatchedCertificate } from "./certificate.ts";
import type { Clock } from "./clock.ts";
import type { AppsConfig, Config } from "./config.ts";
import type { Core } from "./core.ts";
import type { Embedding } from "./embedding.ts";
import { messageOf } from "./errors.ts";
import type { EventWriter } from "./event-store/event-writer.ts";
import type { EventBus } from "./events.ts";
import { handOver } from "./hand-over.ts";
import type { HookRunner } from "./hooks.ts";
import type { Log } from "./log.ts";
import type { WatchedTheme } from "./pages/theme-watch.ts";
import type { Provider } from "./providers/provider.ts";
import type { Inheritance } from "./restart/inheritance.ts";
import type { Image } from "./restart/successor.ts";
import type { Switching } from "./serve-admin.ts";
import type { ServiceNotifier } from "./service-notify.ts";
import type { Storage } from "./storage.ts";
import type { Webhooks } from "./webhooks.ts";

/** What the program was started with, and the tools everything is made of. */
export interface Base {
  readonly config: Config;
  /** Reads `paastis.yml` again. */
  readonly reload: () => AppsConfig;
  /** Where that file is, or would be; absolute. */
  readonly watchedFile: string;
  /** Variables that have a value, by the name it was given by; secrets without their value. */
  readonly given: ReadonlyMap<string, string>;
  readonly clock: Clock;
  readonly log: Log;
  readonly isStopping: () => boolean;
  /** For TLS with clients; `null`: plain HTTP. */
  readonly certificates: WatchedCertificate | null;
  /** Tells whoever started this as a service. */
  readonly service: ServiceNotifier;
  /** Left out: it is the whole process. */
  readonly embedding?: Embedding;
  /** How this program is started again; `null`: it cannot start itself. */
  readonly image: Image | null;
  /** What the process has left to us whose place we take; `null`: we were started by ourselves. */
  readonly inheritance: Inheritance | null;
}

/** Declarations by provider and key: asked for every app whenever the file is read. */
export type Declared = ReadonlyMap<string, AppsConfig["apps"][number]>;

/** A running program. */
export interface Program extends Base {
  /** What `paastis.yml` says now. */
  apps: AppsConfig;
  /** The declarations of `apps`, as `byRef` has them; replaced together with it. */
  declared: Declared;
  readonly storage: Storage;
  readonly providers: readonly Provider[];
  readonly events: EventBus;
  readonly writer: EventWriter;
  readonly hooks: HookRunner;
  readonly webhooks: Webhooks;
  /** What pages look like; `null`: as Paastis' own. */
  readonly theme: WatchedTheme | null;
  readonly core: Core;
  readonly switching: Switching;
}

/** Stores the last uses of apps. Never rejects. */
export async function writeActivity({ storage, core, log }: Program): Promise<void> {
  const uses = core.activity.takeUses();
  if (uses.length === 0) return;
  try {
    await storage.registry.touch(uses);
  } catch (error) {
    // Of trouble with the whole registry the log has a line already.
    const level = storage.peers.state().trouble === null ? "warn" : "debug";
    log[level]({ reason: messageOf(error) }, "the last uses of apps could not be stored");
  }
}

/** Ends everything in the order of the arrows: who uses something ends before it. */
export async function close(program: Program, toldTwice: Promise<void>): Promise<void> {
  const { core, providers, hooks, storage, log } = program;
  void toldTwice.then(() => hurryUp(providers, log));
  endWatching(program);
  await program.switching.close();
  await handOver({ ...program, ...storage, table: core.table });
  const lifecycle = core.lifecycle.close();
  await Promise.all(providers.map((provider) => provider.close()));
  await lifecycle;
  await Promise.all([hooks.close(), program.webhooks.close(toldTwice)]);
  await closeStorage(program);
  program.inheritance?.end();
  log.info({}, "stopped");
}

/**
 * Ends all that decides and writes, and nothing that is still needed for what is under way. Apps that are children of this
 * process live on. What was decided and has not come to its end is for whoever opens the storage next.
 */
export async function closeDeciding(program: Program): Promise<void> {
  endWatching(program);
  await program.switching.close();
  await program.core.lifecycle.close();
  await closeStorage(program);
}

/** What is left when `closeDeciding` is done and nothing is under way any more. */
export async function closeRest(
  { providers, hooks, inheritance, webhooks }: Program,
  toldTwice: Promise<void>,
): Promise<void> {
  inheritance?.end();
  await Promise.all(providers.map((provider) => provider.close()));
  await Promise.all([hooks.close(), webhooks.close(toldTwice)]);
}

function endWatching({ core, theme }: Program): void {
  core.unwatch();
  theme?.end();
}

async function closeStorage(program: Program): Promise<void> {
  await writeActivity(program);
  await program.writer.close();
  await program.storage.close();
}

async function hurryUp(providers: readonly Provider[], log: Log): Promise<void> {
  try {
    await Promise.all(providers.map((provider) => provider.hurry?.()));
  } catch (error) {
    log.warn({ reason: messageOf(error) }, "could not cut short what is being stopped");
  }
}
