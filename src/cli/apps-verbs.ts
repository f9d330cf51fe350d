/** The verbs about apps that ask a running Paastis: what each sends, and what it says of the answer. */

import { type AdminCall, ANSWER_MS_MAX, CHANGING, READING } from "./admin-verbs.ts";
import {
  actionText,
  appsText,
  appText,
  configText,
  eventsText,
  explainText,
  savingsText,
  sweepText,
} from "./apps-text.ts";
import { EXIT_USAGE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";

type Texts = Readonly<Record<string, string | undefined>>;

/** As long as a wake, or the last request of an app that is to sleep, may take. */
const WAIT_MS_MAX = 15 * 60_000;
/** Longer than the endpoint waits: it says what came of it. */
const SPARE_MS = 30_000;

/** `apps`. */
export function appsCall(flags: Texts): AdminCall {
  return {
    cannot: "Cannot list the apps",
    request: { ...READING, path: "/__apps", query: given(flags), timeoutMs: ANSWER_MS_MAX },
    sign: ["apps"],
    text: appsText,
  };
}

/** `app <key>`. */
export function appCall(app: string): AdminCall {
  return {
    cannot: `Cannot tell of ${app}`,
    request: { ...READING, path: pathOf(app), timeoutMs: ANSWER_MS_MAX },
    sign: ["phase"],
    text: appText,
  };
}

/** `wake`. @param wait whether to wait until it is awake */
export function wakeCall(app: string, wait: boolean): AdminCall {
  return action(app, "wake", wait ? { wait: `${WAIT_MS_MAX / 1000}s` } : {});
}

/** `sleep`. */
export function sleepCall(app: string, drain: string | undefined): AdminCall {
  return action(app, "sleep", { drain });
}

/** `keep-awake`. @throws InstanceFailure 64 when nobody says how long */
export function keepAwakeCall(
  app: string,
  span: { readonly for?: string; readonly until?: string; readonly off?: true },
): AdminCall {
  const { for: duration, off, until } = span;
  if (off === true) return action(app, "keep-awake", { for: "0" });
  if (duration === undefined && until === undefined) {
    const next = `Say it with --for or --until: paastis keep-awake ${app} --for 2h`;
    const what = `Cannot keep ${app} awake`;
    throw new InstanceFailure({ what, why: "nobody says how long", next }, EXIT_USAGE);
  }
  return action(app, "keep-awake", { for: duration, until });
}

const WORDS = { wake: "wake", sleep: "put to sleep", "keep-awake": "keep awake" } as const;

function action(app: string, verb: keyof typeof WORDS, query: Texts): AdminCall {
  return {
    cannot: `Cannot ${WORDS[verb]} ${app}`,
    request: {
      ...CHANGING,
      path: `${pathOf(app)}/${verb}`,
      query: given(query),
      timeoutMs: WAIT_MS_MAX + SPARE_MS,
    },
    sign: ["phase"],
    text: actionText,
  };
}

/** `events`. */
export function eventsCall(flags: Texts): AdminCall {
  return {
    cannot: "Cannot list the events",
    request: { ...READING, path: "/__events", query: given(flags), timeoutMs: ANSWER_MS_MAX },
    sign: ["events"],
    text: eventsText,
  };
}

/** `explain <url>`. */
export function explainCall(url: string, flags: Texts): AdminCall {
  const { method, userAgent, accept, prefetch } = flags;
  const query = given({ url, method, user_agent: userAgent, accept, prefetch });
  return {
    cannot: "Cannot explain it",
    request: { ...READING, path: "/__explain", query, timeoutMs: ANSWER_MS_MAX },
    sign: ["outcome"],
    text: explainText,
  };
}

/** `sweep`. Two of them do no harm: the second finds less to do. */
export function sweepCall(isDry: boolean): AdminCall {
  return {
    cannot: "Cannot sweep",
    request: {
      ...(isDry ? READING : CHANGING),
      path: "/__sweep",
      query: isDry ? { dry_run: "1" } : {},
      timeoutMs: WAIT_MS_MAX,
    },
    sign: ["entries"],
    text: sweepText,
  };
}

/** `config`. @param isAll whether what has its default is listed, too */
export function configCall(isAll: boolean): AdminCall {
  return {
    cannot: "Cannot tell the configuration",
    request: { ...READING, path: "/__config", timeoutMs: ANSWER_MS_MAX },
    sign: ["variables"],
    text: (body) => configText(body, isAll),
  };
}

/** `savings`. */
export function savingsCall(): AdminCall {
  return {
    cannot: "Cannot tell the savings",
    request: { ...READING, path: "/__savings", timeoutMs: ANSWER_MS_MAX },
    sign: ["share"],
    text: savingsText,
  };
}

function pathOf(app: string): string {
  return `/__apps/${encodeURIComponent(app)}`;
}

function given(texts: Texts): Readonly<Record<string, string>> {
  const pairs = Object.entries(texts).flatMap(([name, text]) =>
    text === undefined ? [] : [[name, text] as const],
  );
  return Object.fromEntries(pairs);
}
