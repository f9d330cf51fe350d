/** Talks to systemd through the `systemctl` and `journalctl` that are found on the PATH. */

import { messageOf } from "../errors.ts";
import { EXIT_UNAVAILABLE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { PREFIX_VARIABLE, unitOf } from "./instance-paths.ts";

/** What came of a call. */
export type SystemdAnswer =
  | { readonly kind: "done"; readonly out: string }
  | { readonly kind: "refused"; readonly out: string; readonly why: string }
  /** Not there, or it does not run this machine. */
  | { readonly kind: "unavailable"; readonly why: string };

/** How systemd sees an instance. */
export interface UnitState {
  /** `active`, `inactive`, `failed`, `activating`, …; `null`: systemd does not say. */
  readonly state: string | null;
  /** Whether it is started with the machine; `null`: systemd does not say. */
  readonly isEnabled: boolean | null;
}

/** systemd, as verbs use it. */
export interface Systemd {
  /** Runs `systemctl`. Never throws. */
  call(...args: readonly string[]): Promise<SystemdAnswer>;
  unitState(name: string): Promise<UnitState>;
  /** Absolute; `null`: it is not on the PATH. */
  find(program: "systemctl" | "journalctl"): string | null;
  /** What its programs are run with: they are told the prefix, so that a stand-in can follow it. */
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** Longest for one call, ms: a start or a stop may take as long as the unit allows. */
const CALL_MS_MAX = 150_000;

/** Makes one. Nothing is run yet. */
export function createSystemd(given: {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly prefix: string | null;
}): Systemd {
  const prefix = given.prefix === null ? {} : { [PREFIX_VARIABLE]: given.prefix };
  const environment: Systemd["environment"] = {
    ...given.environment,
    ...prefix,
    LC_ALL: "C",
    SYSTEMD_COLORS: "0",
  };
  const find: Systemd["find"] = (program) => Bun.which(program, { PATH: environment.PATH ?? "" });
  async function call(...args: readonly string[]): Promise<SystemdAnswer> {
    const program = find("systemctl");
    if (program === null) return { kind: "unavailable", why: "there is no systemctl on the PATH" };
    return await run([program, ...args], environment);
  }
  return {
    call,
    find,
    environment,
    async unitState(name) {
      const [active, enabled] = await Promise.all([
        call("is-active", unitOf(name)),
        call("is-enabled", unitOf(name)),
      ]);
      const file = firstLineOf(enabled);
      return {
        state: firstLineOf(active),
        isEnabled: file === null ? null : file.startsWith("enabled"),
      };
    },
  };
}

/** The failure for an answer that is none. */
export function systemdUnavailable(what: string, why: string): InstanceFailure {
  const next = "Run it on a machine that systemd has started, with systemctl on the PATH";
  return new InstanceFailure({ what, why, next }, EXIT_UNAVAILABLE);
}

async function run(
  argv: readonly string[],
  environment: Systemd["environment"],
): Promise<SystemdAnswer> {
  try {
    const child = Bun.spawn([...argv], {
      env: { ...environment },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      timeout: CALL_MS_MAX,
    });
    const [out, err, status] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ]);
    const why = err.trim() || `systemctl ended with status ${status}`;
    if (isElsewhere(err)) return { kind: "unavailable", why };
    return status === 0 ? { kind: "done", out } : { kind: "refused", out, why };
  } catch (error) {
    return { kind: "unavailable", why: messageOf(error) };
  }
}

/** What systemctl 252 says where systemd is not process 1, or its bus is not there. */
function isElsewhere(err: string): boolean {
  return /not been booted with systemd|Failed to connect to .*bus/.test(err);
}

/** `is-active` and `is-enabled` print their answer whatever their status. */
function firstLineOf(answer: SystemdAnswer): string | null {
  if (answer.kind === "unavailable") return null;
  const [line = ""] = answer.out.trim().split("\n");
  return line === "" || line === "unknown" ? null : line;
}
