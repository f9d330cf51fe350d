/** The part of `doctor` that looks at one instance. */

import { statSync } from "node:fs";
import { targetOf } from "../app.ts";
import { deadline, keepAlive } from "../clock.ts";
import { messageOf } from "../errors.ts";
import { createProbe } from "../health.ts";
import { codeOf } from "../text-file.ts";
import type { Instance } from "./instance-file.ts";
import { type Finding, type Findings, findingsOf } from "./instance-finding.ts";
import type { Machine } from "./instance-machine.ts";
import { type OwnPaths, ownPaths } from "./instance-paths.ts";
import { listeningPorts, ownersOf } from "./instance-ports.ts";
import { runningProcess } from "./instance-running.ts";
import { whyWeak } from "./instance-token.ts";

/** Longest to wait for an instance or its app, ms. */
const ANSWER_MS_MAX = 3000;
const HEALTH_PATH_DEFAULT = "/health";

interface Patient {
  readonly instance: Instance;
  readonly own: OwnPaths;
  /** systemd's word; `null`: unknown. */
  readonly state: string | null;
  readonly isSystemdThere: boolean;
  /** What runs it although systemd has not started it; `null`: nothing. */
  readonly outside: string | null;
  readonly machine: Machine;
  readonly found: Findings;
}

/** In the order of the report. @param all every instance of this machine */
export async function lookAtInstance(
  instance: Instance,
  {
    all,
    machine,
    isSystemdThere,
  }: {
    readonly all: readonly Instance[];
    readonly machine: Machine;
    readonly isSystemdThere: boolean;
  },
): Promise<readonly Finding[]> {
  const own = ownPaths(machine.paths, instance.name);
  const found = findingsOf(instance.name);
  if (instance.why !== null) {
    const advice = `Mend it, or make it again with \`paastis add ${instance.name} --force\``;
    return [found.wrong("settings", `${own.file} ${instance.why}`, advice)];
  }
  const { state } = await machine.systemd.unitState(instance.name);
  const outside = state === "active" ? null : await runningProcess(machine.paths, instance.name);
  const patient = { instance, own, state, isSystemdThere, outside, machine, found };
  return [
    lookAtFile(patient),
    lookAtToken(patient),
    lookAtState(patient),
    ...lookAtOwners(patient, all),
    ...lookAtService(patient),
    lookAtPort(patient),
    await lookAtTarget(patient),
  ];
}

function lookAtFile({ instance, own, found }: Patient): Finding {
  const { file } = own;
  const mode = statSync(file).mode & 0o777;
  if ((mode & 0o077) !== 0) {
    const saw = `${file} has mode ${mode.toString(8).padStart(4, "0")}: others can read its token`;
    const advice = `Run \`chmod 600 ${file}\`, then \`paastis add ${instance.name} --force\` for a new token`;
    return found.wrong("settings", saw, advice);
  }
  const missing = [
    instance.port === null ? "LISTEN_PORT" : null,
    instance.targetPort === null ? "INITIAL_TARGET_PORT" : null,
  ].filter((name) => name !== null);
  if (missing.length === 0) return found.fine("settings", file);
  const saw = `${file} has no port in ${missing.join(" and ")}`;
  return found.wrong("settings", saw, `Set it to a port from 1 to 65535`);
}

/** Nothing of the token itself is told. */
function lookAtToken({ instance, own, found }: Patient): Finding {
  const why = whyWeak(instance.token ?? "");
  if (why === null) return found.fine("token", "strong");
  const advice = `Put the output of \`openssl rand -hex 32\` into ADMIN_TOKEN of ${own.file}, then restart`;
  return found.wrong("token", why, advice);
}

function lookAtState({ instance, own, found }: Patient): Finding {
  const path = instance.variables.DATA_DIR ?? own.dataDir;
  try {
    const mode = statSync(path).mode & 0o777;
    if ((mode & 0o077) === 0) return found.fine("state", path);
    const saw = `${path} has mode ${mode.toString(8).padStart(4, "0")}: others can read it`;
    return found.wrong("state", saw, `Run \`chmod 700 ${path}\``);
  } catch (error) {
    const saw = codeOf(error) === "ENOENT" ? "is not there" : messageOf(error);
    const advice = `Run \`mkdir -m 700 -p ${path}\``;
    return found.wrong("state", `${path} ${saw}`, advice);
  }
}

function lookAtOwners({ instance, own, found }: Patient, all: readonly Instance[]): Finding[] {
  const owners = ownersOf(all.filter((other) => other !== instance));
  return [instance.port, instance.targetPort].flatMap((port) => {
    const owner = port === null ? undefined : owners.get(port);
    if (owner === undefined) return [];
    const advice = `Change it in ${own.file}, then \`paastis restart ${instance.name}\``;
    return [found.wrong("ports", `port ${port} belongs to the instance ${owner}, too`, advice)];
  });
}

/** Nothing about systemd that was said of the machine already. */
function lookAtService({ instance, state, outside, isSystemdThere, found }: Patient): Finding[] {
  const { name } = instance;
  if (outside !== null) {
    const saw = `runs outside systemd, as ${outside}`;
    return [found.doubtful("service", saw, `Stop that process, then \`paastis start ${name}\``)];
  }
  if (!isSystemdThere) return [];
  if (state === "active") return [found.fine("service", state)];
  if (state === null) {
    return [found.doubtful("service", "systemd does not say", "See what it says about systemctl")];
  }
  if (state === "failed") {
    return [found.wrong("service", state, `\`paastis logs ${name}\` says why`)];
  }
  return [found.doubtful("service", state, `\`paastis start ${name}\` starts it`)];
}

function lookAtPort({ instance, state, outside, found }: Patient): Finding {
  const { name, port } = instance;
  if (port === null) return found.wrong("port", "none", "Set LISTEN_PORT");
  const isUsed = listeningPorts().has(port);
  if (outside !== null && isUsed) return found.fine("port", `listens on ${port}`);
  if (state === "active") {
    if (isUsed) return found.fine("port", `listens on ${port}`);
    const advice = `\`paastis restart ${name}\`; \`paastis logs ${name}\` says why`;
    return found.wrong("port", `nothing listens on ${port}`, advice);
  }
  if (!isUsed) return found.fine("port", `${port} is free`);
  const advice = `Stop that program (\`ss -ltnp 'sport = :${port}'\` names it), or change LISTEN_PORT`;
  return found.wrong("port", `another program listens on ${port}`, advice);
}

async function lookAtTarget(patient: Patient): Promise<Finding> {
  const { instance, machine, found } = patient;
  const letGo = keepAlive();
  const limit = deadline(machine.clock, ANSWER_MS_MAX, {
    reason: new Error(`no answer within ${ANSWER_MS_MAX / 1000} s`),
  });
  try {
    const port = (await activePort(patient, limit.signal)) ?? instance.targetPort;
    if (port === null) return found.wrong("target", "none", "Set INITIAL_TARGET_PORT");
    const path = instance.healthPath ?? HEALTH_PATH_DEFAULT;
    const saw = await lookAtHealth(port, { path, signal: limit.signal });
    if (saw === null) return found.fine("target", `port ${port} answers at ${path}`);
    const advice = `Start the app on port ${port} of 127.0.0.1, and let ${path} answer 2xx there`;
    return found.wrong("target", `port ${port}: ${saw}`, advice);
  } finally {
    limit.end();
    letGo();
  }
}

/** What is wrong; `null`: nothing. */
async function lookAtHealth(
  port: number,
  { path, signal }: { readonly path: string; readonly signal: AbortSignal },
): Promise<string | null> {
  try {
    const result = await createProbe(fetch)({
      target: targetOf(`http://127.0.0.1:${port}`),
      check: { path },
      trust: { tlsVerify: true, tlsCa: null },
      isDownAnswer: null,
      signal,
    });
    return result.healthy ? null : result.saw;
  } catch (error) {
    return messageOf(error);
  }
}

/** Where a switch has led it; `null`: the instance cannot be asked. */
async function activePort(
  { instance, own, state, outside }: Patient,
  signal: AbortSignal,
): Promise<number | null> {
  if (state !== "active" && outside === null) return null;
  try {
    const answer = await fetch("http://localhost/__status", {
      unix: instance.socket ?? own.socket,
      proxy: false,
      headers: { "x-admin-token": instance.token ?? "" },
      signal,
    });
    const status: unknown = await answer.json();
    if (typeof status !== "object" || status === null || !("activePort" in status)) return null;
    return typeof status.activePort === "number" ? status.activePort : null;
  } catch {
    // Its port is looked at anyway.
    return null;
  }
}
