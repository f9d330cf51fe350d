/** The shape of `paastis.yml`: what is checked, and the JSON Schema that editors complete it with. */

import { type Static, Type } from "typebox";
import { PROVIDER_NAMES } from "./config.ts";
import { SWITCH_SCHEMA } from "./paastis-yml-switch.ts";
import { BUSY_SCHEMA, HOOKS_SCHEMA, WAKE_SCHEMA } from "./paastis-yml-wake.ts";
import { FORCE_SLEEP_SCHEMA, KEEP_AWAKE_SCHEMA } from "./paastis-yml-windows.ts";
import { IDLE_MINUTES_MAX, KEY_ALLOWED } from "./setting-parsers.ts";

/** Providers whose apps stand in the file; those of others are listed by their platform. */
const DECLARED_PROVIDERS = ["process", "ports", "http"] as const;

/** Signals an app may be asked to stop with; all but `SIGKILL` can be caught. */
const STOP_SIGNALS = [
  ...(["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGWINCH"] as const),
  "SIGKILL",
] as const;
/** Longest a wake or a stop may take: a day. */
const TIMEOUT_SECONDS_MAX = 86_400;

/** As `keyOf` accepts them, in any case. */
const APP_KEY = "^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$";
const ENV_NAME = "^[A-Za-z_][A-Za-z0-9_]*$";

/** `$comment` completes the sentence "must be …" in messages; `description` is shown by editors. */
const settings = {
  app_max_idle_time: Type.Optional(
    Type.Union([Type.Number({ minimum: 0, maximum: IDLE_MINUTES_MAX }), Type.Literal("never")], {
      $comment: `a number of minutes from 0 to ${IDLE_MINUTES_MAX}, or never`,
      description:
        "Minutes without use after which the app is put to sleep; 0: as soon as a sweep finds it unused; never: never.",
    }),
  ),
  linked_apps: Type.Optional(
    Type.Array(Type.String({ minLength: 1 }), {
      $comment: "a list of keys of apps",
      description: "Keys of apps that are woken with this one; its use counts as their use.",
    }),
  ),
  health: Type.Optional(
    Type.String({
      pattern: "^/[^\\s#]*$",
      $comment: "a path that begins with /",
      description: "Path that must answer 2xx before the app counts as ready.",
    }),
  ),
  wake_timeout: Type.Optional(
    Type.Number({
      exclusiveMinimum: 0,
      maximum: TIMEOUT_SECONDS_MAX,
      $comment: `a number of seconds above 0, at most ${TIMEOUT_SECONDS_MAX}`,
      description: "Longest a wake may take, in seconds.",
    }),
  ),
  preserve_host: Type.Optional(
    Type.Boolean({
      $comment: "true or false",
      description: "Send the client's Host to the app instead of the target's own.",
    }),
  ),
  tls_verify: Type.Optional(
    Type.Boolean({
      $comment: "true or false",
      description:
        "Whether the certificate of an https target must be good; false accepts any, which anybody on the way can abuse.",
      default: true,
    }),
  ),
  tls_ca: Type.Optional(
    Type.String({
      minLength: 1,
      $comment: "a path",
      description:
        "PEM file with the certificates that vouch for an https target besides the system's; a relative path " +
        "counts from this file's folder. Read again when this file changes or on SIGHUP, not when it changes itself.",
    }),
  ),
  switch: Type.Optional(SWITCH_SCHEMA),
  wake: Type.Optional(WAKE_SCHEMA),
  keep_awake: Type.Optional(KEEP_AWAKE_SCHEMA),
  force_sleep: Type.Optional(FORCE_SLEEP_SCHEMA),
  busy: Type.Optional(BUSY_SCHEMA),
  websocket_max_quiet_time: Type.Optional(
    Type.Union(
      [Type.Number({ exclusiveMinimum: 0, maximum: IDLE_MINUTES_MAX }), Type.Literal("never")],
      {
        $comment: `a number of minutes above 0, at most ${IDLE_MINUTES_MAX}, or never`,
        description:
          "Minutes without a message, pings aside, after which an open WebSocket no longer counts as use of the app; it " +
          "stays open until the app is put to sleep. Without it, or never: it counts as long as it is open.",
      },
    ),
  ),
  hooks: Type.Optional(HOOKS_SCHEMA),
};

const rule = Type.Object(
  {
    pattern: Type.String({
      minLength: 1,
      $comment: "a regular expression",
      description:
        "Regular expression over the app's key. It matches when found anywhere in it, unless anchored by ^ and $.",
    }),
    app_name: Type.Optional(
      Type.String({
        minLength: 1,
        $comment: "the key of an app",
        description: "Key of the app that answers for the host labels that match.",
      }),
    ),
    provider: Type.Optional(
      Type.Enum([...PROVIDER_NAMES], {
        $comment: `one of ${PROVIDER_NAMES.join(", ")}`,
        description:
          "Whose app has the key where apps of several providers claim it. Without it: an app of this file, " +
          "then the order of PROVIDER_NAME.",
      }),
    ),
    ...settings,
  },
  { additionalProperties: false, $comment: "a rule with a pattern and settings" },
);

const app = Type.Object(
  {
    provider: Type.Optional(
      Type.Enum([...DECLARED_PROVIDERS], {
        $comment: `one of ${DECLARED_PROVIDERS.join(", ")}`,
        description:
          "process: Paastis starts and stops it. ports: somebody else starts it, on a port of this machine; a switch " +
          "moves it to another. http: it sleeps and wakes by itself.",
      }),
    ),
    command: Type.Optional(
      Type.String({
        minLength: 1,
        $comment: "a shell command",
        description: "Run by sh to wake the app; it must listen on the port in PORT.",
      }),
    ),
    cwd: Type.Optional(
      Type.String({
        minLength: 1,
        $comment: "a path",
        description: "Folder the command runs in; a relative path counts from this file's folder.",
      }),
    ),
    env: Type.Optional(
      Type.Record(
        Type.String({ pattern: ENV_NAME }),
        Type.Union([Type.String(), Type.Number(), Type.Boolean()], {
          $comment: "a text, a number, true or false",
        }),
        {
          $comment: "a map of environment variables",
          description: "Environment variables of the app.",
          propertyNames: { pattern: ENV_NAME, $comment: "letters, digits and _, no digit first" },
        },
      ),
    ),
    port: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 65_535,
        $comment: "a whole number from 1 to 65535",
        description:
          "Port the app listens on; without it, a free one is chosen at each wake (process). " +
          "Port it is at until the first switch (ports).",
      }),
    ),
    stop_signal: Type.Optional(
      Type.Enum([...STOP_SIGNALS], {
        $comment: `one of ${STOP_SIGNALS.join(", ")}`,
        description: "Signal that asks the app to stop.",
        default: "SIGTERM",
      }),
    ),
    stop_timeout: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: TIMEOUT_SECONDS_MAX,
        $comment: `a number of seconds from 0 to ${TIMEOUT_SECONDS_MAX}`,
        description: "How long the app may take to stop before it is killed, in seconds.",
        default: 10,
      }),
    ),
    targets: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 1,
        $comment:
          "a list of at least one origin or socket, such as http://10.0.0.5:8080 or unix:/run/app.sock",
        description:
          "Where the app answers; the first is the active one. A relative socket path counts from this file's folder.",
      }),
    ),
    ...settings,
  },
  { additionalProperties: false, $comment: "an app with a command or targets" },
);

/** The keys that an app's entry may have. */
export const APP_KEYS: readonly string[] = Object.keys(app.properties);

/** The whole file. */
export const PAASTIS_YML_SCHEMA = Type.Object(
  {
    apps: Type.Optional(
      Type.Record(Type.String({ pattern: APP_KEY }), app, {
        $comment: "a map from keys to apps",
        description: "Apps that no platform lists, by key.",
        propertyNames: { pattern: APP_KEY, $comment: KEY_ALLOWED },
      }),
    ),
    rules: Type.Optional(
      Type.Array(rule, {
        $comment: "a list of rules",
        description:
          "Settings for apps by pattern. All matching rules apply in order, later ones win.",
      }),
    ),
  },
  {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "paastis.yml",
    additionalProperties: false,
    $comment: "a map with apps and rules",
  },
);

/** An entry of `rules` as it stands in the file. */
export type RuleEntry = Static<typeof rule>;

/** An entry of `apps` as it stands in the file. */
export type AppEntry = Static<typeof app>;
