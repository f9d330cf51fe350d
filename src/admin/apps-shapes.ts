/** The shapes of `views.ts` for the description of the admin endpoints: the compiler sees to it that they are the same. */

import { type Static, type TSchema, t } from "elysia";
import type {
  ActionAnswer,
  AppDetails,
  AppPage,
  AppSummary,
  EventList,
  Explained,
  NextDecision,
  Problem,
  Savings,
  ShownConfig,
  ShownEvent,
  ShownSetting,
  SweepAnswer,
} from "./views.ts";

type ReadOnly<T> = T extends readonly (infer E)[]
  ? readonly ReadOnly<E>[]
  : T extends object
    ? { readonly [K in keyof T]: ReadOnly<T[K]> }
    : T;

type Same<T, S> = T extends S ? (S extends T ? unknown : "it allows more") : "it allows less";

/** A schema that says what the type says; anything else does not compile. */
function shapeOf<T>() {
  return <S extends TSchema>(schema: S & Same<T, ReadOnly<Static<S>>>): S => schema;
}

const time = (description: string) => t.String({ format: "date-time", description });
const orNull = <S extends TSchema>(schema: S) => t.Union([schema, t.Null()]);
const count = (description: string) => t.Integer({ minimum: 0, description });

/** The phases of an app. */
export const PHASES = t.Union(
  [
    t.Literal("unknown"),
    t.Literal("asleep"),
    t.Literal("waking"),
    t.Literal("awake"),
    t.Literal("draining"),
    t.Literal("stopping"),
    t.Literal("failed"),
  ],
  { description: "Where the app is in its life." },
);

const pause = orNull(
  t.Object(
    {
      kind: t.Union([t.Literal("maintenance"), t.Literal("paused")]),
      since: time("When it began."),
      until: orNull(time("When it ends by itself; null: when somebody says so.")),
      message: orNull(t.String({ description: "What visitors read." })),
    },
    { description: "What keeps requests from the app on purpose." },
  ),
);

const next = shapeOf<NextDecision>()(
  t.Object(
    {
      sleep: t.Boolean({ description: "Whether a sweep would put it to sleep now." }),
      why: t.String({ description: "For people, to follow the app's name." }),
      sleepsAt: orNull(
        time("When it may be put to sleep if nobody uses it until then; null: not by itself."),
      ),
    },
    { description: "What a sweep would do with the app now." },
  ),
);

const summaryFields = {
  key: t.String({ description: "What the Host's first label is compared with." }),
  provider: t.String({ description: "The provider it lives on." }),
  id: t.String({ description: "That provider's own id for it." }),
  phase: PHASES,
  since: time("Since when it is in this phase."),
  failure: orNull(t.String({ description: "Why it is failed." })),
  pause,
  leases: count("Requests and sockets that use it now, at this instance."),
  waiting: count("Those of them that are held."),
  leasesElsewhere: count("The same at other instances."),
  idleSince: orNull(time("Since when nobody uses it; null: somebody does.")),
  lastUsed: orNull(time("When a client last used it.")),
  next,
  keptAwakeUntil: orNull(time("Until when an operator wants it awake.")),
  sleepsByItself: t.Boolean({ description: "Its platform puts it to sleep: Paastis cannot." }),
  target: orNull(t.String({ description: "Where its requests go, or went last." })),
  lastWake: orNull(
    t.Object(
      {
        at: time("When it began."),
        cause: t.String({ description: "Who or what wanted it." }),
        durationMs: orNull(t.Number({ description: "null: it goes on, or failed." })),
        failure: orNull(t.String({ description: "Why it failed; null: it did not." })),
      },
      { description: "How the newest wake went." },
    ),
  ),
  activity: t.Array(count("Requests in half an hour."), {
    description: "48 half hours, oldest first, as far as this program has run.",
  }),
};

/** One row of the list of apps. */
export const APP_SUMMARY = shapeOf<AppSummary>()(t.Object(summaryFields));

const setting = shapeOf<ShownSetting>()(
  t.Object({
    name: t.String({ description: "As `paastis.yml` calls it." }),
    value: t.Union([t.String(), t.Number(), t.Boolean(), t.Null(), t.Array(t.String())]),
    from: t.String({
      description:
        "`default`, a variable, `rules[2] (^pr-)`, `label`, or `apps`: the app's own entry.",
    }),
  }),
);

const event = shapeOf<ShownEvent>()(
  t.Object({
    id: t.String({ description: "Sorts by time; for `Last-Event-ID`." }),
    at: time("When it happened."),
    name: t.String(),
    app: t.String({ description: "The app's key at that time." }),
    cause: t.String({ description: "Who or what made it happen." }),
    reason: orNull(t.String({ description: "Why it came out like this." })),
    details: t.Record(t.String(), t.Unknown()),
  }),
);

const address = t.Union([t.Integer(), t.String()], {
  description: "A port of this machine; of any other target its whole address.",
});

/** All that is known of one app. */
export const APP_DETAILS = shapeOf<AppDetails>()(
  t.Object({
    ...summaryFields,
    holders: t.Array(t.Object({ kind: t.String(), count: count("How many.") }), {
      description: "Who keeps it awake.",
    }),
    settings: t.Array(setting, { description: "Its settings, and where each comes from." }),
    snapshot: t.Unknown({ description: "What brings it back as it was." }),
    targets: t.Object({
      active: orNull(t.String()),
      draining: t.Array(t.Object({ address: t.String(), until: time("When it is cut.") })),
      rollback: orNull(t.Object({ to: t.String(), until: time("So long there is a way back.") })),
    }),
    lastSwitch: orNull(
      t.Object(
        {
          from: orNull(address),
          to: address,
          at: time("When it was."),
          reason: t.Union([t.Literal("manual"), t.Literal("deploy"), t.Literal("rollback")]),
          id: t.String({ description: "The switch's own name, in the log and among the events." }),
        },
        { description: "The newest switch; null: there was none." },
      ),
    ),
    wakes: t.Object({
      historyMs: t.Array(t.Number(), { description: "Durations that are known, newest last." }),
      medianMs: orNull(t.Number()),
      p95Ms: orNull(t.Number()),
    }),
    links: t.Array(t.String(), { description: "Keys of apps that are woken with it." }),
    linkedFrom: t.Array(t.String(), { description: "Keys of apps whose use counts as its use." }),
    runsAt: orNull(t.String({ description: "The instance that it runs at, as its child." })),
    requests: count("Requests since the program started."),
    statuses: t.Object({
      "2xx": count("Answers with such a status."),
      "3xx": count("Answers with such a status."),
      "4xx": count("Answers with such a status."),
      "5xx": count("Answers with such a status."),
    }),
    events: t.Array(event, { description: "The newest events, newest first." }),
  }),
);

/** A page of apps. */
export const APP_PAGE = shapeOf<AppPage>()(
  t.Object({
    apps: t.Array(APP_SUMMARY),
    page: t.Integer({ minimum: 1 }),
    pages: count("How many pages there are."),
    total: count("How many apps fit."),
  }),
);

/** What an action came to. */
export const ACTION_ANSWER = shapeOf<ActionAnswer>()(
  t.Object({
    app: t.String(),
    phase: PHASES,
    message: t.String({ description: "For people." }),
    keptAwakeUntil: orNull(time("Until when an operator wants it awake.")),
    pause,
  }),
);

/** Events. */
export const EVENT_LIST = shapeOf<EventList>()(
  t.Object({ events: t.Array(event, { description: "Oldest first." }) }),
);

/** What becomes of a request. */
export const EXPLAINED = shapeOf<Explained>()(
  t.Object({
    request: t.Object({ method: t.String(), host: t.String(), path: t.String() }),
    label: orNull(t.String({ description: "The host's first label." })),
    app: orNull(t.String({ description: "Key of the app that it leads to." })),
    rules: t.Array(t.Object({ index: count("As in paastis.yml, from 0."), pattern: t.String() })),
    outcome: t.Union([
      t.Literal("admin"),
      t.Literal("forward"),
      t.Literal("hold"),
      t.Literal("ignored"),
      t.Literal("page"),
      t.Literal("refused"),
    ]),
    status: orNull(t.Integer({ description: "What Paastis would answer by itself." })),
    code: orNull(t.String({ description: "Its `paastis-error`." })),
    wakes: t.Boolean({ description: "Whether it wakes the app." }),
    countsAsUse: t.Boolean({ description: "Whether it keeps the app awake." }),
    why: t.String({ description: "For people." }),
    settings: t.Array(setting),
    next: orNull(next),
  }),
);

/** What a sweep would do, or has begun to do. */
export const SWEEP_ANSWER = shapeOf<SweepAnswer>()(
  t.Object({
    dryRun: t.Boolean({ description: "Whether nothing was done." }),
    entries: t.Array(
      t.Object({
        app: t.String(),
        provider: t.String(),
        sleep: t.Boolean({ description: "Whether it is put to sleep." }),
        why: t.String({ description: "To follow the app's name." }),
      }),
    ),
  }),
);

/** The configuration. */
export const SHOWN_CONFIG = shapeOf<ShownConfig>()(
  t.Object({
    variables: t.Array(
      t.Object({
        name: t.String(),
        value: orNull(t.String({ description: "Secrets are `(secret)`." })),
        from: t.Union([t.Literal("default"), t.Literal("given")]),
        doc: t.String(),
      }),
    ),
    file: orNull(t.String({ description: "The file with apps and rules." })),
    apps: t.Array(t.Object({ key: t.String(), provider: t.String(), settings: t.Array(setting) })),
    rules: t.Array(
      t.Object({
        index: count("From 0."),
        pattern: t.String(),
        says: t.Array(t.String(), { description: "Names of what it says." }),
      }),
    ),
  }),
);

/** What sleep has saved. */
export const SAVINGS = shapeOf<Savings>()(
  t.Object({
    since: time("Since when it is counted."),
    asleepHours: t.Number({ description: "Hours that apps were asleep, all together." }),
    awakeHours: t.Number(),
    share: t.Number({ minimum: 0, maximum: 1, description: "Asleep of all." }),
    money: orNull(
      t.Object(
        { amount: t.Number(), currency: t.String() },
        { description: "What was not paid for; null: no price per hour is configured." },
      ),
    ),
  }),
);

/** A refusal. */
export const PROBLEM = shapeOf<Problem>()(
  t.Object(
    {
      type: t.String({ description: "Where the code is explained." }),
      title: t.String({ description: "What the code means." }),
      status: t.Integer(),
      detail: t.String({ description: "What is the case here." }),
      code: t.String({ description: "As in the header `paastis-error`." }),
      app: t.Optional(t.String({ description: "Key of the app that it is about." })),
      remedy: t.Optional(t.String({ description: "What to do." })),
    },
    { description: "Problem details (RFC 9457)." },
  ),
);
