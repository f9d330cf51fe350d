/** The settings of rules and apps about what wakes an app and keeps it awake: their shapes, and what they say. */

import { type Static, Type } from "typebox";
import { show } from "./check-shape.ts";
import type { AppHooks } from "./hooks.ts";
import type { Reader } from "./paastis-yml.ts";
import { IDLE_MINUTES_MAX } from "./setting-parsers.ts";
import { IGNORED_STATUS, type IgnoreRule } from "./wake-policy.ts";
import type { YamlPath } from "./yaml-source.ts";

const LIST_MAX = 100;

const ignoreEntry = Type.Object(
  {
    user_agents: Type.Optional(
      Type.Array(Type.String({ minLength: 1, pattern: "[^*]" }), {
        minItems: 1,
        maxItems: LIST_MAX,
        $comment:
          "a list of texts to be found in User-Agent, such as UptimeRobot; * stands for anything",
        description:
          "One of these stands somewhere in User-Agent; case does not matter, and * stands for anything.",
      }),
    ),
    paths: Type.Optional(
      Type.Array(Type.String({ pattern: "^/[^\\s?#]*$" }), {
        minItems: 1,
        maxItems: LIST_MAX,
        $comment: "a list of paths that begin with /, without a query; * stands for anything",
        description: "The path is one of these; * stands for anything, as in /static/*.",
      }),
    ),
    methods: Type.Optional(
      Type.Array(Type.String({ pattern: "^[A-Za-z][A-Za-z-]*$" }), {
        minItems: 1,
        maxItems: LIST_MAX,
        $comment: "a list of methods, such as HEAD",
        description: "The method is one of these.",
      }),
    ),
    bots: Type.Optional(
      Type.Boolean({
        $comment: "true or false",
        description:
          "By its User-Agent it is a program: crawlers, monitors and link previews, but curl and the HTTP clients of " +
          "programming languages, too.",
      }),
    ),
    prefetch: Type.Optional(
      Type.Boolean({
        $comment: "true or false",
        description: "A browser asks ahead of its user (Sec-Purpose, Purpose or X-Moz).",
      }),
    ),
    status: Type.Optional(
      Type.Integer({
        minimum: 200,
        maximum: 599,
        not: { enum: [204, 205, 304] },
        $comment: "a status from 200 to 599 that has a body (not 204, 205 or 304)",
        description:
          "Status of the answer while the app is not awake. A monitor that is not to raise an alarm can be given 200.",
        default: IGNORED_STATUS,
      }),
    ),
  },
  {
    additionalProperties: false,
    $comment: "what a request is to be ignored for, such as bots: true",
  },
);

/** The shape of `wake`. `$comment` completes "must be …"; `description` is shown by editors. */
export const WAKE_SCHEMA = Type.Object(
  {
    ignore: Type.Optional(
      Type.Array(ignoreEntry, {
        maxItems: LIST_MAX,
        $comment: "a list, such as - bots: true",
        description:
          "Requests that neither wake the app nor count as its use. Those to which all that an entry says applies; one " +
          "entry is enough.",
      }),
    ),
  },
  {
    additionalProperties: false,
    $comment: "a map with ignore",
    description: "Which requests do not wake the app.",
  },
);

/** Longest that an app may stay awake by its own header, in minutes, where nothing else is said: a day. */
const HEADER_MINUTES = 1440;

/** The shape of `busy`. */
export const BUSY_SCHEMA = Type.Object(
  {
    url: Type.Optional(
      Type.String({
        pattern: "^(/[^\\s#]*|https?://[^\\s#/?@$]+(/[^\\s#]*)?)$",
        $comment: "a path of the app that begins with /, or a URL with http or https",
        description:
          "Asked before the app is put to sleep: status 200 says that it is busy, and keeps it awake for a minute, every " +
          "other that it is not. No answer within 5 s counts as busy, three times in a row.",
      }),
    ),
    header: Type.Optional(
      Type.Boolean({
        $comment: "true or false",
        description:
          "Whether the app's answers may say Keep-Awake: 20m, which keeps it awake for so long from then on; 0 takes it " +
          "back.",
        default: false,
      }),
    ),
    header_max: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: IDLE_MINUTES_MAX,
        $comment: `a number of minutes above 0, at most ${IDLE_MINUTES_MAX}`,
        description: "Longest that such an answer keeps it awake, in minutes.",
        default: HEADER_MINUTES,
      }),
    ),
  },
  {
    additionalProperties: false,
    $comment: "a map with url, header or header_max",
    description: "How the app says that it has something to do although nobody uses it.",
  },
);

const command = (when: string) =>
  Type.Optional(
    Type.String({
      minLength: 1,
      $comment: "a shell command",
      description: `Run by sh ${when}, after the one of the variable.`,
    }),
  );

const HOOK_SECONDS_MAX = 86_400;

/** The shape of `hooks`. */
export const HOOKS_SCHEMA = Type.Object(
  {
    before_start: command("before the app is woken; when it fails, so does the wake"),
    after_start: command("after the app was woken"),
    before_stop: command("before the app is put to sleep; when it fails, the app stays awake"),
    after_stop: command("after the app was put to sleep"),
    timeout: Type.Optional(
      Type.Number({
        exclusiveMinimum: 0,
        maximum: HOOK_SECONDS_MAX,
        $comment: `a number of seconds above 0, at most ${HOOK_SECONDS_MAX}`,
        description: "Longest each of these may run, in seconds, instead of HOOKS_TIMEOUT_MS.",
      }),
    ),
  },
  {
    additionalProperties: false,
    $comment: "a map with hooks",
    description:
      "Shell commands around the wakes and sleeps of the app; they are told the same as HOOKS_*.",
  },
);

/** Reads `wake.ignore`; what is wrong is reported and left out. Entries that were wrong already are `undefined`. */
export function readIgnore(
  entries: readonly (Static<typeof ignoreEntry> | undefined)[],
  at: YamlPath,
  reader: Reader,
): readonly IgnoreRule[] {
  return entries.flatMap((entry, index) => {
    const rule: IgnoreRule = {
      userAgents: entry?.user_agents?.map((text) => text.toLowerCase()) ?? null,
      paths: entry?.paths ?? null,
      methods: entry?.methods?.map((text) => text.toUpperCase()) ?? null,
      bots: entry?.bots ?? false,
      prefetch: entry?.prefetch ?? false,
      status: entry?.status ?? IGNORED_STATUS,
    };
    if (saysSomething(rule)) return rule;
    const needed = "user_agents, paths, methods, bots: true or prefetch: true";
    // What was wrong in it was reported, and may have been what it was to say.
    if (Object.keys(entry ?? {}).length > 0)
      reader.problem([...at, index], `needs one of ${needed}`);
    return [];
  });
}

function saysSomething({ userAgents, paths, methods, bots, prefetch }: IgnoreRule): boolean {
  return userAgents !== null || paths !== null || methods !== null || bots || prefetch;
}

/** What `busy` says, as settings. */
export function readBusy(
  { url, header, header_max: headerMax }: Static<typeof BUSY_SCHEMA>,
  at: YamlPath,
  reader: Reader,
): { readonly busyUrl?: string; readonly keepAwakeHeaderMaxMinutes?: number | "never" } {
  if (headerMax !== undefined && header !== true) {
    reader.warning([...at, "header_max"], "has no effect without header: true");
  }
  const isGood = url === undefined || url.startsWith("/") || URL.canParse(url);
  if (!isGood) reader.problem([...at, "url"], `must be a URL: it is ${show(url)}`);
  return {
    ...(url !== undefined && isGood && { busyUrl: url }),
    ...(header !== undefined && {
      keepAwakeHeaderMaxMinutes: header ? (headerMax ?? HEADER_MINUTES) : ("never" as const),
    }),
  };
}

/** What `hooks` says. */
export function readHooks(entry: Static<typeof HOOKS_SCHEMA>): AppHooks {
  return {
    ...(entry.before_start !== undefined && { beforeStart: entry.before_start }),
    ...(entry.after_start !== undefined && { afterStart: entry.after_start }),
    ...(entry.before_stop !== undefined && { beforeStop: entry.before_stop }),
    ...(entry.after_stop !== undefined && { afterStop: entry.after_stop }),
    ...(entry.timeout !== undefined && { timeoutMs: Math.round(entry.timeout * 1000) }),
  };
}
