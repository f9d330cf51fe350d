/** A restart without a gap: another process takes the place of this one, which finishes what is under way. */

import type { CancelTimer, Clock } from "../clock.ts";
import { sleep } from "../clock.ts";
import type { Config } from "../config.ts";
import type { Engine, Succession } from "../engines/engine.ts";
import { messageOf, PaastisError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { PeerUse } from "../peers.ts";
import { closeDeciding, closeRest, type Program } from "../program.ts";
import type { Child } from "../providers/process-child.ts";
import type { Signals } from "../signals.ts";
import { listenAsKeeper } from "./keeper-socket.ts";
import { keepChildren } from "./kept-children.ts";
import type { Estate } from "./messages.ts";
import { noteOutcome } from "./outcome.ts";
import { privateSocket, removePrivateSocket } from "./private-socket.ts";
import { type Image, launchSuccessor, type Successor, whyNotStarted } from "./successor.ts";

/** What a second signal leaves for answers on their way, ms. */
export const HURRY_MS = 100;

/** So long apps that are being stopped are waited for before anything is held, and looked at so often; ms. */
const STOPS_MS = 60_000;
const LOOK_MS = 20;

/** The other process learns so often what is still under way here, ms. */
const REPORT_EVERY_MS = 250;

/** A process that listens, and may give way to another one. */
export interface Incumbent {
  readonly program: Program;
  readonly engine: Engine;
  readonly signals: Signals;
  /** Ends what is done now and then. */
  readonly ends: readonly (() => void)[];
}

/**
 * Starts the executable anew, as it is on disk now, and waits until it could begin.
 * @returns `null`: it could not, which the log says; nothing has changed
 */
export async function prepareSuccessor({ program, engine }: Incumbent): Promise<Successor | null> {
  const { log, clock, image } = program;
  const why = whyNot(program, engine);
  if (why !== null || image === null || engine.succession === null) {
    log.error({ reason: why }, "cannot restart without a gap: this process goes on");
    noteFailure(program, why);
    return null;
  }
  log.info(
    { executable: image.executable },
    "restarting: another process is to take this one's place",
  );
  const launched = await tryToLaunch(image, engine.succession, { clock, log });
  if (!("why" in launched)) {
    await untilNothingStops(program);
    return launched;
  }
  noteFailure(program, launched.why);
  return null;
}

/**
 * The platform's word on an app that is being stopped has to be waited for, and whoever decides waits for it: meanwhile
 * nobody else's requests should.
 */
async function untilNothingStops({ clock, core, isStopping }: Program): Promise<void> {
  const untilMs = clock.now() + STOPS_MS;
  const isOne = () => core.table.all().some(({ state }) => state.kind === "stopping");
  while (isOne() && !isStopping() && clock.now() < untilMs) await sleep(clock, LOOK_MS);
}

function noteFailure({ image, storage }: Program, why: string | null): void {
  noteOutcome(storage.dataDir, { from: image?.pid ?? 0, to: null, why });
}

function whyNot({ image, core, switching }: Program, { name, succession }: Engine): string | null {
  if (image === null) return "Paastis is a part of another program, which has to restart it";
  if (process.platform === "win32") return "Windows does not hand on what listens";
  if (succession === null)
    return `the ${name} engine cannot hand on its connections: ENGINE=socket can`;
  if (image.pid === 1) {
    return "it is process 1 of its container, which ends with it: replace the container instead";
  }
  if (isWatchedBySystemd(image)) {
    return "systemd would take the service for dead: its unit needs Type=notify";
  }
  const moving = core.table.all().filter((app) => switching.board.isSwitching(app));
  if (moving.length === 0) return null;
  const keys = moving.map(({ key }) => key).join(", ");
  return `${keys} ${moving.length === 1 ? "is" : "are"} being switched: try again when that is done`;
}

/** Source: systemd.exec(5), SYSTEMD_EXEC_PID: the process that systemd has started itself. */
function isWatchedBySystemd({ environment, pid }: Image): boolean {
  const { NOTIFY_SOCKET = "", SYSTEMD_EXEC_PID } = environment;
  return SYSTEMD_EXEC_PID === String(pid) && NOTIFY_SOCKET === "";
}

async function tryToLaunch(
  image: Image,
  { fd }: Succession,
  { clock, log }: { readonly clock: Clock; readonly log: Log },
): Promise<Successor | { readonly why: string }> {
  let successor: Successor | null = null;
  try {
    successor = launchSuccessor(image, fd, clock);
    await successor.prepared();
    return successor;
  } catch (error) {
    successor?.kill();
    const why = successor === null ? whyNotStarted(image, error) : messageOf(error);
    log.error({ reason: why }, "another process cannot take this one's place");
    return { why };
  }
}

/**
 * Lets go of everything but what is under way, which may take its time. Resolves when nothing is left of this process.
 * @throws PaastisError `restart_failed` when nobody could take its place, neither the new program nor the one that is
 *   running: it has let go of everything, and has to end
 */
export async function giveWay(incumbent: Incumbent, prepared: Successor): Promise<void> {
  const { program, engine, signals, ends } = incumbent;
  const { succession } = engine;
  if (succession === null) throw new Error("nobody can take the place of this engine");
  const { config, log, service } = program;
  succession.hold();
  for (const end of ends) end();
  await closeDeciding(program);
  // What they say from here on is for the other process.
  program.inheritance?.handOnChildren();
  const kept = program.providers.flatMap((provider) => provider.keep?.() ?? []);
  const own = kept.filter(({ keeper }) => keeper === undefined);
  const keeper = privateSocket(program.storage.dataDir);
  const channel = listenAsKeeper(keeper, program.clock);
  try {
    const { successor, socketPath, why } = await begin(program, {
      prepared,
      succession,
      estate: () => estateOf(incumbent, kept, keeper),
    });
    service.handOn(successor.pid);
    const from = program.image?.pid ?? 0;
    noteOutcome(program.storage.dataDir, { from, to: successor.pid, why });
    log.info(
      { process: successor.pid, inFlight: engine.inFlight, apps: kept.length },
      "another process has taken this one's place: what is under way here may finish",
    );
    // Both are told to by a service manager: what is under way has the time that a stop always leaves it.
    void signals.toldToStop.then(() => engine.stop(config.shutdownTimeoutMs));
    void signals.toldTwice.then(() => engine.stop(HURRY_MS));
    successor.onMessage((message) => {
      if (message.kind === "stop") void engine.stop(message.limitMs);
    });
    const giveUp = signals.toldToStop.then(() => sleep(program.clock, config.shutdownTimeoutMs));
    const children = keepChildren(own, { channel, giveUp });
    const endReports = reportUses(incumbent, successor);
    await succession.leave(socketPath, config.restartTimeoutMs);
    endReports();
    successor.send({ kind: "drained" });
    await Promise.all([closeRest(program, signals.toldTwice), children]);
    log.info({}, "nothing is left to do for this process: it ends");
  } catch (error) {
    noteFailure(program, messageOf(error));
    // The others end by themselves when nobody takes command of them.
    await Promise.allSettled(own.map((child) => child.end()));
    throw error;
  } finally {
    channel.close();
    removePrivateSocket(keeper);
  }
}

/** The new program first; should it fail now, the one that is running, which has its image still. */
async function begin(
  { clock, image, log }: Program,
  given: {
    readonly prepared: Successor;
    readonly succession: Succession;
    readonly estate: () => Estate;
  },
): Promise<{
  readonly successor: Successor;
  readonly socketPath: string;
  /** Why it is not the new program; `null`: it is. */
  readonly why: string | null;
}> {
  const { prepared, succession, estate } = given;
  let reason: string;
  try {
    return { successor: prepared, socketPath: await prepared.begin(estate()), why: null };
  } catch (error) {
    prepared.kill();
    reason = messageOf(error);
    log.error(
      { reason },
      "the new process cannot take over: the program that runs is started again",
    );
  }
  // Linux keeps what runs, whatever is under its name by now (proc(5)).
  const own = image === null ? null : { ...image, executable: `/proc/${image.pid}/exe` };
  if (own === null) throw noWayBack("nobody can start it again");
  const successor = await tryToLaunch(own, succession, { clock, log });
  if ("why" in successor) throw noWayBack(successor.why);
  try {
    return { successor, socketPath: await successor.begin(estate()), why: reason };
  } catch (error) {
    successor.kill();
    throw noWayBack(messageOf(error), error);
  }
}

function noWayBack(why: string, cause?: unknown): PaastisError {
  return new PaastisError(
    "restart_failed",
    {
      what: "The restart has failed, and there is no way back",
      why,
      next: "Start Paastis again; the lines above say what kept the new process from beginning",
    },
    cause,
  );
}

function estateOf({ program, engine }: Incumbent, kept: readonly Child[], keeper: string): Estate {
  const { config } = program;
  return {
    host: config.host,
    askedPort: config.port,
    port: engine.port,
    startToken: program.switching.admin.startToken ?? null,
    apps: kept.map(({ pid, port, declaration, keeper: known = keeper }) => {
      return { pid, port, declaration, keeper: known };
    }),
    uses: usesOf(program),
  };
}

function usesOf({ core }: Program): readonly PeerUse[] {
  return core.table
    .known()
    .filter(({ leases }) => leases > 0)
    .map(({ ref, leases }) => ({ ref, leases, unusedMs: 0 }));
}

/** What is under way keeps its app awake there. @returns how to stop that */
function reportUses({ program }: Incumbent, successor: Successor): () => void {
  const { clock } = program;
  let cancel: CancelTimer = () => undefined;
  const plan = () => {
    cancel = clock.after(REPORT_EVERY_MS, () => {
      successor.send({ kind: "uses", uses: usesOf(program) });
      plan();
    });
  };
  plan();
  return () => cancel();
}

/** Where an instance listens is inherited: what the configuration says of it now counts from its next start on. */
export function sayOtherPlace(
  config: Pick<Config, "host" | "port">,
  estate: Estate,
  log: Log,
): void {
  if (config.host === estate.host && config.port === estate.askedPort) return;
  const { host, port } = config;
  log.warn(
    { host, port, kept: { host: estate.host, port: estate.port } },
    "HOST or PORT has changed: it counts when Paastis is stopped and started",
  );
}
