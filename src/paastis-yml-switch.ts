/** The `switch` setting of rules and apps: its shape, and what it says. */

import { type Static, Type } from "typebox";
import { show } from "./check-shape.ts";
import type { Reader } from "./paastis-yml.ts";
import { DRAIN_MANNERS, type SwitchSettings } from "./switch-policy.ts";
import type { YamlPath } from "./yaml-source.ts";

/** A day. */
const SECONDS_MAX = 86_400;
const COUNT_MAX = 1_000_000;
const STATUS_FORM = "^[1-5][0-9][0-9](-[1-5][0-9][0-9])?$";
const HOST_FORM = "^([A-Za-z0-9.-]+|\\[[0-9A-Fa-f:.]+\\])$";

/** `$comment` completes "must be …"; `description` is shown by editors. */
export const SWITCH_SCHEMA = Type.Object(
  {
    hosts: Type.Optional(
      Type.Array(Type.String({ pattern: HOST_FORM }), {
        $comment: "a list of host names or addresses, such as 10.0.0.5",
        description: "Hosts that the app may be switched to, besides 127.0.0.1.",
      }),
    ),
    drain: Type.Optional(
      Type.Enum([...DRAIN_MANNERS], {
        $comment: `one of ${DRAIN_MANNERS.join(", ")}`,
        description:
          "WebSockets and event streams of the old target: spread, closed one after the other over the drain time; " +
          "keep, left until its end; immediate, closed at once.",
        default: "spread",
      }),
    ),
    drain_time: seconds("How long what is under way on the old target may go on.", "DRAIN_MS"),
    rollback_window: seconds(
      "How long a switch is taken back by itself when the new target fails; 0: never.",
      "ROLLBACK_WINDOW_MS",
    ),
    health_path: Type.Optional(
      Type.String({
        pattern: "^/[^\\s#]*$",
        $comment: "a path that begins with /",
        description: "Path that a new target must answer, instead of HEALTH_PATH.",
      }),
    ),
    health_method: Type.Optional(
      Type.Enum(["GET", "HEAD"], {
        $comment: "GET or HEAD",
        description: "Method of that request.",
        default: "GET",
      }),
    ),
    health_host: Type.Optional(
      Type.String({
        minLength: 1,
        pattern: "^[^\\s/]+$",
        $comment: "a host, such as shop.example",
        description: "Host header of that request, instead of the target's own.",
      }),
    ),
    health_status: Type.Optional(
      Type.Array(
        Type.Union([
          Type.Integer({ minimum: 100, maximum: 599 }),
          Type.String({ pattern: STATUS_FORM }),
        ]),
        {
          minItems: 1,
          $comment: "a list of statuses, such as 200 or 200-299",
          description: "Statuses that count as healthy; without it 200-299.",
        },
      ),
    ),
    health_successes: count("Healthy answers in a row that it takes; without it 1.", 100),
    health_timeout: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: SECONDS_MAX,
        $comment: `a number of seconds above 0, at most ${SECONDS_MAX}`,
        description: "How long all of that may take. In seconds, instead of HEALTH_TIMEOUT_MS.",
      }),
    ),
    error_requests: count(
      "Requests to the new target before its errors can take a switch back; without it 20.",
      COUNT_MAX,
    ),
    error_rate: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: 1,
        $comment: "a number above 0, at most 1",
        description: "Share of failed requests below which nothing is taken back; without it 0.1.",
      }),
    ),
    error_times_worse: Type.Optional(
      Type.Number({
        minimum: 1,
        maximum: COUNT_MAX,
        $comment: "a number from 1",
        description:
          "How many times as often as the old target's requests the new one's must fail; without it 2.",
      }),
    ),
  },
  {
    additionalProperties: false,
    $comment: "a map with settings of switches",
    description:
      "How the app's target is switched: its health gate, its drain, and what takes it back.",
  },
);

function seconds(description: string, instead: string) {
  return Type.Optional(
    Type.Number({
      minimum: 0,
      maximum: SECONDS_MAX,
      $comment: `a number of seconds from 0 to ${SECONDS_MAX}`,
      description: `${description} In seconds, instead of ${instead}.`,
    }),
  );
}

function count(description: string, maximum: number) {
  return Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum,
      $comment: `a whole number from 1 to ${maximum}`,
      description,
    }),
  );
}

/** Reads it; what is wrong is reported and left out. */
export function readSwitch(
  entry: Static<typeof SWITCH_SCHEMA>,
  at: YamlPath,
  reader: Reader,
): SwitchSettings {
  const statuses = entry.health_status?.flatMap((given, index) => {
    const [from = 0, to = from] = String(given).split("-").map(Number);
    if (from <= to) return [[from, to] as const];
    reader.problem([...at, "health_status", index], `must not go down: it is ${show(given)}`);
    return [];
  });
  return withoutGaps({
    hosts: entry.hosts?.map((host) => host.toLowerCase()),
    drain: entry.drain,
    drainSeconds: entry.drain_time,
    windowSeconds: entry.rollback_window,
    healthPath: entry.health_path,
    healthMethod: entry.health_method,
    healthHost: entry.health_host,
    healthStatuses: statuses,
    healthSuccesses: entry.health_successes,
    healthTimeoutSeconds: entry.health_timeout,
    errorRequestsMin: entry.error_requests,
    errorRateMin: entry.error_rate,
    errorTimesWorse: entry.error_times_worse,
  });
}

/** A field that says nothing must not hide what an earlier rule said. */
function withoutGaps(
  settings: {
    readonly [K in keyof SwitchSettings]: SwitchSettings[K] | undefined;
  },
): SwitchSettings {
  const said = Object.entries(settings).filter(([, value]) => value !== undefined);
  return Object.fromEntries(said);
}
