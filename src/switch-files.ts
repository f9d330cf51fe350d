/** Opens what switches are remembered in, and finds a place for the admin endpoints' socket. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

import { isListeningOn } from "./admin/listen.ts";
import { newSecret } from "./admin/secret.ts";
import { makeShelter, removeShelter, shelterFor } from "./admin-socket.ts";
import type { Clock } from "./clock.ts";
import type { AdminConfig, AppsConfig, Config } from "./config.ts";
import { messageOf, PaastisError } from "./errors.ts";
import type { FileLock } from "./file-lock.ts";
import type { Log } from "./log.ts";
import type { RedisConnection } from "./redis/connection.ts";
import { createRedisSwitchSpace } from "./redis/switch-space.ts";
import { fitsSocket, SOCKET_BYTES_MAX } from "./socket-path.ts";
import { lockStateFile, openStateFile, type StateFile } from "./state-file.ts";
import { switchPolicyFor } from "./switch-policy.ts";
import { openSharedSwitchStore, type SharedSwitchStore } from "./switch-shared-store.ts";
import { openSwitchStore, type SwitchFileStore, type SwitchStore } from "./switch-store.ts";

/** What a switchboard is remembered in, opened before anything that asks it. */
export interface SwitchFiles {
  readonly store: SwitchStore;
  /** With the place of the socket, and a token for this start where nobody has given one. */
  readonly admin: AdminConfig;
  /** Something that other instances have stored may have been missed, or lost. Never throws. */
  readonly resync: () => void;
  /** The token for this start was that of the process before this one: whoever needs it knows it. */
  readonly isTokenKnown: boolean;
  /** Somebody said where the socket is to be: it is there, or nowhere. */
  readonly isSocketNamed: boolean;
  /** Nothing is written, and nobody listens, any more. */
  close(): Promise<void>;
}

/** What they are opened with. */
export interface SwitchFilesDeps {
  readonly clock: Clock;
  readonly log: Log;
  /** `null`: it cannot be written. */
  readonly dataDir: string | null;
  /** What `paastis.yml` says now. */
  readonly live: { readonly apps: AppsConfig };
  /** The token of the process whose place this one takes. Left out or `null`: there is none. */
  readonly startToken?: string | null;
  /** What is shared with other instances is there; left out or `null`: there are none. */
  readonly redis?: RedisConnection | null;
}

/** @throws PaastisError `config_invalid` when the state file cannot be read, or another program has it */
export async function openSwitchFiles(config: Config, deps: SwitchFilesDeps): Promise<SwitchFiles> {
  const state = openState(config, deps);
  const shared = shareOver(state.store, config, deps);
  const place = await placeSocket(config, deps);
  await shared?.opened;
  const { startToken = null } = deps;
  return {
    store: shared ?? state.store,
    admin: { ...withStartToken(config.admin, startToken), socketPath: place.socketPath },
    isTokenKnown: startToken !== null,
    resync: () => shared?.resync(),
    isSocketNamed: config.named.adminSocket,
    async close() {
      await shared?.close();
      await state.file?.close();
      state.lock?.release();
      place.remove();
    },
  };
}

function withStartToken(admin: AdminConfig, known: string | null): AdminConfig {
  return admin.token === null ? { ...admin, startToken: known ?? newSecret() } : admin;
}

function openState(config: Config, deps: SwitchFilesDeps) {
  const { stateFile: path, named } = config;
  const isLasting = named.stateFile || deps.dataDir !== null;
  if (path === null || !isLasting) {
    const file = path === null ? null : forgetful(path, deps);
    return { file, lock: null, store: storeOver(file, config, deps) };
  }
  const lock = lockOf(path, deps.log);
  try {
    const file = openStateFile({ path, clock: deps.clock });
    return { file, lock, store: storeOver(file, config, deps) };
  } catch (error) {
    lock?.release();
    throw unusable(path, messageOf(error), error);
  }
}

/** @returns `null`: there are no other instances */
function shareOver(
  file: SwitchFileStore,
  config: Config,
  deps: SwitchFilesDeps,
): SharedSwitchStore | null {
  const { clock, live, log, redis = null } = deps;
  if (redis === null) return null;
  return openSharedSwitchStore({
    ...{ clock, file, log },
    space: createRedisSwitchSpace(redis),
    isLocal: (key) => live.apps.apps.some((app) => app.key === key && app.provider === "process"),
    mayLead: (key, address) => mayLead({ key, address }, config, deps),
  });
}

function storeOver(file: StateFile | null, config: Config, deps: SwitchFilesDeps): SwitchFileStore {
  return openSwitchStore({
    file,
    soleApp: config.admin.soleApp,
    mayLead: (key, address) => mayLead({ key, address }, config, deps),
    isDeclared: (key) => deps.live.apps.apps.some((app) => app.key === key),
    log: deps.log,
  });
}

/** Only apps of provider ports go where somebody has sent them. */
function mayLead(
  { key, address }: { readonly key: string; readonly address: string },
  { switches }: Config,
  { live }: SwitchFilesDeps,
): boolean {
  const { apps, rules } = live.apps;
  const entry = apps.find((app) => app.key === key);
  if (entry?.provider !== "ports" || entry.target.origin === address) return true;
  const declared = entry.settings.switching ?? null;
  const { hosts } = switchPolicyFor({ key, declared }, { rules, defaults: switches });
  const host = URL.parse(address)?.hostname ?? "";
  return host === "127.0.0.1" || hosts.includes(host);
}

/** @returns `null` when there can be no lock: then nothing can be written either, and each switch says so */
function lockOf(path: string, log: Log): FileLock | null {
  let lock: FileLock | null;
  try {
    lock = lockStateFile(path);
  } catch (error) {
    const next = "set STATE_FILE to a path that can be written";
    log.warn({ reason: messageOf(error), next }, "switches are refused: they cannot be stored");
    return null;
  }
  if (lock === null) throw unusable(path, "another Paastis is using it");
  return lock;
}

function unusable(path: string, why: string, cause?: unknown): PaastisError {
  return new PaastisError(
    "config_invalid",
    {
      what: `Cannot use the state file ${path}`,
      why,
      next: "Set STATE_FILE to a file of its own for this one, or mend it",
    },
    cause,
  );
}

/** What an earlier run has left is read, if that can be; nothing is written. */
function forgetful(path: string, { clock, log, redis = null }: SwitchFilesDeps): StateFile {
  const next = "set DATA_DIR or STATE_FILE to where something can be written";
  const which = redis === null ? "switches" : "switches of apps of provider process";
  const text = "are remembered in memory alone: after a restart apps are where they were before";
  log.warn({ file: path, next }, `${which} ${text}`);
  const file = openStateFile({ path, clock });
  return {
    ...file,
    read() {
      try {
        return file.read();
      } catch (error) {
        return { damaged: messageOf(error) };
      }
    },
    write: async () => undefined,
  };
}

interface SocketPlace {
  readonly socketPath: string | null;
  remove(): void;
}

const NOTHING_TO_REMOVE = () => undefined;

/** In the data folder where that can be, otherwise where the command line looks next, otherwise anywhere. */
async function placeSocket(
  { admin, dataDir: path, named }: Config,
  { dataDir, log }: SwitchFilesDeps,
): Promise<SocketPlace> {
  const wanted = admin.socketPath;
  if (named.adminSocket) return { socketPath: wanted, remove: NOTHING_TO_REMOVE };
  const why = whyNotThere(wanted, dataDir);
  if (wanted !== null && why === null) return { socketPath: wanted, remove: NOTHING_TO_REMOVE };
  const next = "ADMIN_UNIX_SOCKET names another place";
  try {
    const socketPath = shelterFor(path);
    makeShelter(socketPath);
    if (await isListeningOn(socketPath))
      throw new Error(`another program listens on ${socketPath}`);
    const fields = { socket: socketPath, ...(why === null ? {} : { reason: why, next }) };
    const text = "the admin endpoints have their socket in a temporary folder";
    log[why === null ? "info" : "warn"](fields, text);
    return { socketPath, remove: () => removeShelter(socketPath) };
  } catch (error) {
    return anywhere(messageOf(error), log);
  }
}

/** `null`: it can be there, or nobody wants it there. */
function whyNotThere(wanted: string | null, dataDir: string | null): string | null {
  if (wanted === null) return null;
  if (!fitsSocket(wanted)) return `${wanted} has more than ${SOCKET_BYTES_MAX} bytes`;
  return dataDir === null ? "DATA_DIR cannot be written" : null;
}

/** The command line does not find it by itself. */
function anywhere(why: string, log: Log): SocketPlace {
  try {
    const socketPath = join(mkdtempSync(join(tmpdir(), "paastis-")), "admin.sock");
    const next = `tell the commands where: --socket ${socketPath}`;
    const text = "the admin endpoints have their socket in a folder that no command looks in";
    log.warn({ socket: socketPath, reason: why, next }, text);
    const remove = () => rmSync(dirname(socketPath), { recursive: true, force: true });
    return { socketPath, remove };
  } catch (error) {
    const next = "set ADMIN_UNIX_SOCKET to a path where it can be made";
    log.warn(
      { reason: messageOf(error), next },
      "the admin endpoints cannot be reached: there is no place for their socket",
    );
    // Nothing listens there: whoever asks over TCP is told so, and the paths stay ours.
    return { socketPath: "/nonexistent/admin.sock", remove: NOTHING_TO_REMOVE };
  }
}
