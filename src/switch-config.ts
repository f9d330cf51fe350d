/** The part of the configuration that is about switches and admin endpoints. */

import { type Stats, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { socketIn } from "./admin-socket.ts";
import { targetOf } from "./app.ts";
import type { Config, PortsDeclaration } from "./config.ts";
import type { EnvironmentValues } from "./environment.ts";
import type { AppsReading } from "./paastis-yml.ts";
import { fitsSocket, SOCKET_BYTES_MAX } from "./socket-path.ts";

/** @param workingDirectory absolute; relative paths count from there */
export function switchConfigOf(
  values: EnvironmentValues,
  workingDirectory: string,
): Pick<Config, "admin" | "insight" | "named" | "switches" | "stateFile"> {
  const dataDir = resolve(workingDirectory, values.dataDir);
  // Without a registry that lasts nothing else is written where nobody said so.
  const isLasting = values.registryType !== "in-memory";
  const inDataDir = (given: string | null, path: string) => {
    if (given !== null) return resolve(workingDirectory, given);
    return isLasting ? path : null;
  };
  return {
    admin: {
      token: values.adminToken,
      hosts: values.adminHosts,
      rateLimit: values.adminRateLimit,
      isTls: values.tlsCert !== null,
      allowlist: values.adminAllowlist,
      trustedProxies: values.trustedProxies,
      socketPath: inDataDir(values.adminUnixSocket, socketIn(dataDir)),
      soleApp: soleAppOf(values),
      systemToken: values.systemApiEnabled ? values.systemApiToken : null,
    },
    insight: {
      isFast: values.fastPath,
      showsUpstream: values.debugUpstream,
      logsRequests: values.accessLog,
      verboseErrors: values.verboseErrors,
    },
    switches: {
      healthPath: values.healthPath,
      healthTimeoutMs: values.healthTimeoutMs,
      drainMs: values.drainMs,
      windowMs: values.rollbackWindowMs,
      checkEveryMs: values.rollbackCheckEveryMs,
      failsMax: values.rollbackFailThreshold,
    },
    stateFile: inDataDir(values.stateFile, join(dataDir, "switches.json")),
    named: { adminSocket: values.adminUnixSocket !== null, stateFile: values.stateFile !== null },
  };
}

/** Places that were named and cannot be what they are to be. One sentence each. */
export function switchProblems(values: EnvironmentValues, workingDirectory: string): string[] {
  const { adminUnixSocket } = values;
  const { stateFile } = switchConfigOf(values, workingDirectory);
  const problems: string[] = [];
  if (adminUnixSocket !== null && !fitsSocket(resolve(workingDirectory, adminUnixSocket))) {
    const path = resolve(workingDirectory, adminUnixSocket);
    problems.push(
      `ADMIN_UNIX_SOCKET must have at most ${SOCKET_BYTES_MAX} bytes, as sockets' paths do: ${JSON.stringify(path)} has ${Buffer.byteLength(path)}`,
    );
  }
  const found = stateFile === null ? null : statusOf(stateFile);
  if (found !== null && !found.isFile()) {
    const what = found.isDirectory() ? "a folder" : "a device, a pipe or a socket";
    problems.push(
      `STATE_FILE must be a file, or nothing yet: ${JSON.stringify(stateFile)} is ${what}`,
    );
  }
  return problems;
}

/** `null`: there is nothing, or it cannot be looked at, which is said when it is opened. */
function statusOf(path: string): Stats | null {
  try {
    return statSync(path, { throwIfNoEntry: false }) ?? null;
  } catch {
    return null;
  }
}

/** Key of the app that needs no file; `null`: there is none. */
export function soleAppOf({ instanceName, initialTargetPort }: EnvironmentValues): string | null {
  return initialTargetPort === null ? null : instanceName;
}

/** The apps of the file, and the one that `INITIAL_TARGET_PORT` makes. */
export function withSoleApp<R extends AppsReading>(reading: R, values: EnvironmentValues): R {
  const key = soleAppOf(values);
  if (key === null) return reading;
  if (reading.apps.apps.some((app) => app.key === key)) {
    const problem = `apps.${key} has the key that INSTANCE_NAME gives to the app of INITIAL_TARGET_PORT: rename one of them`;
    return { ...reading, problems: [...reading.problems, problem] };
  }
  const target = targetOf(`http://127.0.0.1:${values.initialTargetPort}`);
  const sole: PortsDeclaration = { provider: "ports", key, target, settings: {} };
  return { ...reading, apps: { ...reading.apps, apps: [...reading.apps.apps, sole] } };
}
