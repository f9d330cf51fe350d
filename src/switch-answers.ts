/** What the admin endpoints say about switches: the shapes that scripts rely on. Pure. */

import type { Pause } from "./app.ts";
import { durationText } from "./durations.ts";
import type { Desk, SwitchOutcome } from "./switch-context.ts";
import { activeAddress, NEW_VERSION } from "./switch-context.ts";
import type { SwitchPolicy } from "./switch-policy.ts";
import { drainUntilMs, type SwitchEntry } from "./switch-record.ts";

const LOCAL = /^http:\/\/127\.0\.0\.1(?::(\d+))?$/;
/** An origin leaves it out. */
const HTTP_PORT = 80;

/** The port of a target of this machine; its whole address for any other. */
export function portOf(address: string): number | string {
  const found = LOCAL.exec(address);
  if (found === null) return address;
  return found[1] === undefined ? HTTP_PORT : Number(found[1]);
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString();
}

/** One switch, as every answer shows it. */
export interface SwitchAnswer {
  readonly from: number | string | null;
  readonly to: number | string;
  readonly at: string;
  readonly reason: SwitchEntry["reason"];
  readonly id: string;
}

/** @returns the entry in the form of the answers */
export function switchAnswer({ from, to, atMs, reason, id }: SwitchEntry): SwitchAnswer {
  const before = from === null ? null : portOf(from);
  return { from: before, to: portOf(to), at: timeOf(atMs), reason, id };
}

/** `GET /__status` of the only app, in the form that scripts have always known. */
export function shortStatusAnswer(desk: Desk): Readonly<Record<string, unknown>> {
  const { activePort, drainUntil, lastSwitch } = statusAnswer(desk);
  return { activePort, drainUntil, lastSwitch };
}

/** `GET /__status` of one app among several, or with `details=1`. */
export function statusAnswer(desk: Desk): Readonly<Record<string, unknown>> {
  const { app, record, running } = desk;
  const active = activeAddress(desk);
  const untilMs = drainUntilMs(record);
  return {
    activePort: active === null ? null : portOf(active),
    drainUntil: untilMs === null ? null : timeOf(untilMs),
    lastSwitch: record.lastSwitch === null ? null : switchAnswer(record.lastSwitch),
    app: app.key,
    state: app.pause === null ? app.state.kind : app.pause.kind,
    pause: pauseAnswer(app.pause),
    rollback:
      record.window === null
        ? null
        : { to: portOf(record.window.back), until: timeOf(record.window.untilMs) },
    switching: running === null ? null : { to: portOf(running.to), id: running.id },
  };
}

function pauseAnswer(pause: Pause | null): Readonly<Record<string, unknown>> | null {
  if (pause === null) return null;
  const { kind, sinceMs } = pause;
  const message = pause.kind === "maintenance" ? { message: pause.message } : {};
  return { kind, since: timeOf(sinceMs), ...message };
}

/** An answer of an endpoint. */
export interface AdminAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

/** `GET /__metrics` of one app. */
export function metricsAnswer(
  desk: Desk,
  facts: {
    readonly startedMs: number;
    readonly rps60: number;
    readonly isFast: boolean;
    /** Connections made to apps; `null`: not to be told. */
    readonly upstreamSockets: number | null;
  },
): Readonly<Record<string, unknown>> {
  const { app, health } = desk;
  const { traffic } = app;
  const [, , s2 = 0, s3 = 0, s4 = 0, s5 = 0] = traffic.statuses;
  const last = traffic.lastProxyError;
  const essentials = {
    startedAt: timeOf(facts.startedMs),
    inflight: app.leases,
    totalRequests: traffic.requests,
    totalProxyErrors: traffic.proxyErrors,
  };
  const upstream =
    facts.upstreamSockets === null ? {} : { upstreamSocketsCreated: facts.upstreamSockets };
  if (facts.isFast) return { ...essentials, ...upstream };
  return {
    ...essentials,
    inflightMax: traffic.inFlightMax,
    statusCounters: { "2xx": s2, "3xx": s3, "4xx": s4, "5xx": s5 },
    rollingRps60: facts.rps60,
    health: {
      activePortOk: health.isOk,
      lastCheckedAt: health.checkedMs === null ? null : timeOf(health.checkedMs),
      consecutiveFails: health.fails,
    },
    lastProxyError:
      last === null
        ? null
        : {
            code: last.code,
            message: last.message,
            target: portOf(last.target),
            at: timeOf(last.atMs),
          },
    ...upstream,
  };
}

/** What keeps most new versions from becoming healthy. */
const START_REMEDY =
  "Everything is as it was. A version must listen on 127.0.0.1 and the port that the variable PORT says; HEALTH_PATH (or `switch.health_path` of the app) says what it is asked, HEALTH_TIMEOUT_MS for how long";

/** The answer to a switch, and its status. @param asked.gate what the target was asked for, and had to answer */
export function outcomeAnswer(
  outcome: SwitchOutcome,
  asked: { readonly to: string; readonly gate: Pick<SwitchPolicy["gate"], "path" | "statuses"> },
): AdminAnswer {
  const port = portOf(asked.to);
  const name = typeof port === "number" ? `Port ${port}` : port;
  switch (outcome.kind) {
    case "switched":
      return {
        status: 200,
        body: {
          success: true,
          message: `Switched to ${lower(name)}`,
          switch: switchAnswer(outcome.entry),
          ...(outcome.look !== null && { health: lookAnswer(outcome.look) }),
        },
      };
    case "already":
      return {
        status: 200,
        body: {
          success: true,
          message: `${name} is active already`,
          switch: outcome.lastSwitch === null ? null : switchAnswer(outcome.lastSwitch),
        },
      };
    case "unhealthy":
      return refusal(
        409,
        "Health check failed",
        `${name} did not respond with ${statusesText(asked.gate.statuses)} at ${asked.gate.path}`,
        {
          health: { ...lookAnswer(outcome.look), attempts: outcome.looks },
        },
      );
    case "start-failed":
      return refusal(409, "Deploy failed", outcome.why, {
        output: outcome.output,
        remedy: START_REMEDY,
        ...(outcome.gate !== null && {
          health: { ...lookAnswer(outcome.gate.last), attempts: outcome.gate.looks },
        }),
      });
    case "impossible":
      return refusal(409, "Cannot be deployed", outcome.why);
    case "busy": {
      const { id, to, sinceMs } = outcome.running;
      const what = { to: portOf(to), id, since: timeOf(sinceMs) };
      const where = outcome.isElsewhere ? " on another instance" : "";
      const message = `A switch to ${lower(nameOf(to))} (${id}) is under way${where} since ${what.since}: wait for it to end`;
      return refusal(409, "Switch in progress", message, { switch: what });
    }
    case "key-reused":
      return refusal(
        422,
        "Idempotency-Key already used",
        `This Idempotency-Key was used for a switch to ${lower(nameOf(outcome.to))}: use a new one`,
      );
    case "not-saved":
      return notSavedAnswer(outcome.why, outcome.isUncertain);
    case "refused":
      return refusal(503, "Not switched", outcome.why);
  }
}

/** The answer to a deployment, and its status. */
export function deployAnswer(
  outcome: SwitchOutcome,
  { windowMs, gate }: SwitchPolicy,
): AdminAnswer {
  const to = outcome.kind === "switched" ? outcome.entry.to : NEW_VERSION;
  const answer = outcomeAnswer(outcome, { to, gate });
  if (outcome.kind !== "switched") return answer;
  const { from } = outcome.entry;
  const back =
    from === null
      ? "; it was not awake, so there is no way back"
      : windowMs === 0
        ? ""
        : `; the old version is kept for ${durationText(windowMs)}, as the way back`;
  const message = `Deployed: the new version is active on ${lower(nameOf(to))}${back}`;
  return { ...answer, body: { ...answer.body, message } };
}

/** `2xx`, `204`, `200-204 or 301`. */
export function statusesText(statuses: SwitchPolicy["gate"]["statuses"]): string {
  const names = statuses.map(([from, to]) => {
    if (from === to) return String(from);
    return from % 100 === 0 && to === from + 99 ? `${from / 100}xx` : `${from}-${to}`;
  });
  return names.join(" or ");
}

/** What could not be stored is not done; of what may have been, the status will tell. */
export function notSavedAnswer(why: string, isUncertain: boolean): AdminAnswer {
  const rest = isUncertain
    ? "It may have been stored all the same: ask for the status before you try again"
    : "Nothing has changed";
  return refusal(500, "State not saved", `${why}. ${rest}`);
}

function nameOf(address: string): string {
  const port = portOf(address);
  return typeof port === "number" ? `Port ${port}` : port;
}

function lower(name: string): string {
  return name.replace(/^Port/, "port");
}

function lookAnswer(look: {
  readonly status: number | null;
  readonly body: string;
  readonly why: string | null;
  readonly ms: number;
}) {
  const { status, body, why, ms } = look;
  return { status, ...(why === null ? {} : { error: why }), ...(body === "" ? {} : { body }), ms };
}

/** A "no", for scripts and people. */
export function refusal(
  status: number,
  error: string,
  message: string,
  more: Readonly<Record<string, unknown>> = {},
): AdminAnswer {
  return { status, body: { error, message, ...more } };
}
