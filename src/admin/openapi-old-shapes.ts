/** What the older admin endpoints answer, as JSON Schema: the shapes that scripts rely on. */

type Json = Readonly<Record<string, unknown>>;

const TEXT = { type: "string" } as const;
const NUMBER = { type: "number" } as const;

const text = (description: string) => ({ ...TEXT, description });
const time = (description: string) => ({ ...TEXT, format: "date-time", description });
const count = (description: string) => ({ type: "integer", minimum: 0, description });
const flag = (description: string) => ({ type: "boolean", description });
const orNull = (schema: Json) => ({ anyOf: [schema, { type: "null" }] });
const list = (items: Json, description: string) => ({ type: "array", items, description });

/** An object that has all of the fields `always`, and perhaps those of `sometimes`. */
const object = (always: Json, sometimes: Json = {}, description?: string) => ({
  type: "object",
  required: Object.keys(always),
  properties: { ...always, ...sometimes },
  ...(description !== undefined && { description }),
});

const port = (description: string) => ({
  anyOf: [{ type: "integer", minimum: 1, maximum: 65_535 }, TEXT],
  description: `${description} A port of this machine; of any other target its whole address.`,
});

const DONE = object({
  from: orNull(port("Where requests went before; null: the app was not up.")),
  to: port("Where they go since."),
  at: time("When it was."),
  reason: { ...TEXT, enum: ["manual", "deploy", "rollback"] },
  id: text("The switch's own name, in the log and among the events."),
});

const LOOK = {
  ms: { ...NUMBER, description: "How long it took, ms." },
  body: text("How the answer's body begins."),
};

const LOOKS = object(
  { status: orNull({ type: "integer" }), ms: LOOK.ms },
  {
    body: LOOK.body,
    error: text("Why there was no answer."),
    attempts: count("How often it was asked."),
  },
  "What its health check saw last.",
);

const store = {
  type: text("What it is kept in now."),
  reachable: flag("Whether it can be reached and written."),
  trouble: orNull(text("Why it cannot.")),
  since: orNull(time("Since when it cannot.")),
};

const STORES = object(
  {
    registry: object({
      ...store,
      instance: text("What other instances call this one."),
      otherInstances: list(TEXT, "Other instances that were heard of lately."),
      leader: flag("Whether this instance puts apps to sleep."),
      leaderInstance: orNull(text("The instance that does; null: nobody knows.")),
    }),
    events: object({
      ...store,
      waiting: count("Events that are not stored yet."),
      dropped: count("Events lost since the program started."),
    }),
  },
  {},
  "What the program keeps its knowledge in.",
);

const PROVIDERS = {
  type: "object",
  additionalProperties: object({
    reachable: flag("Whether the latest list of its apps could be had."),
    trouble: orNull(text("Why it could not.")),
  }),
  description: "The platforms by name. While one has trouble, none of its apps is put to sleep.",
};

const WEBHOOKS = list(
  object({
    webhook: text("The origin that it goes to; of several with its number."),
    waiting: count("Events that wait for their turn, or for another try."),
    delivered: count("Events that it has taken."),
    refused: count("Events that it refused, and that are not sent again."),
    givenUp: count("Events that were not taken in time."),
    dropped: count("Events that found no room, or were left as the program ended."),
    attempts: count("Requests that were sent."),
    lastFailure: orNull(object({ at: time("When it was."), why: text("Why it was not taken.") })),
  }),
  "Receivers of events, in their order in WEBHOOK_URLS.",
);

const SURROUNDINGS = { stores: STORES, providers: PROVIDERS, webhooks: WEBHOOKS };

const APP_STATUS = object(
  {
    activePort: orNull(port("Where requests go; null: nobody knows.")),
    drainUntil: orNull(time("When the last old target is cut; null: none drains.")),
    lastSwitch: orNull(DONE),
  },
  {
    app: text("The app's key."),
    state: {
      ...TEXT,
      enum: [
        ...["unknown", "asleep", "waking", "awake", "draining", "stopping", "failed"],
        ...["paused", "maintenance"],
      ],
      description: "Its phase; a pause or maintenance goes first.",
    },
    pause: orNull(
      object(
        {
          kind: { ...TEXT, enum: ["paused", "maintenance"] },
          since: time("When it began."),
        },
        { message: text("What visitors read while it is in maintenance.") },
      ),
    ),
    rollback: orNull(
      object(
        { to: port("Where it would go back to."), until: time("So long there is a way back.") },
        {},
        "The way back after a switch.",
      ),
    ),
    switching: orNull(
      object(
        { to: port("Where it is going."), id: text("The switch's own name.") },
        {},
        "A switch under way.",
      ),
    ),
    ...SURROUNDINGS,
  },
);

/** `GET /__status`: of one app, or of several. */
export const STATUS = {
  anyOf: [APP_STATUS, object({ apps: list(APP_STATUS, "All apps.") }, SURROUNDINGS)],
};

/** `GET /__metrics`, as JSON. */
export const METRICS = object(
  {
    startedAt: time("When the program started."),
    inflight: count("Requests and sockets that use the app now."),
    totalRequests: count("Requests since the program started."),
    totalProxyErrors: count("Those of them that could not be forwarded."),
  },
  {
    inflightMax: count("The most at one time."),
    statusCounters: object({
      "2xx": count("Answers with such a status."),
      "3xx": count("Answers with such a status."),
      "4xx": count("Answers with such a status."),
      "5xx": count("Answers with such a status."),
    }),
    rollingRps60: { ...NUMBER, description: "Requests a second, over the last minute." },
    health: object(
      {
        activePortOk: orNull(flag("Whether the newest look was good; null: there was none.")),
        lastCheckedAt: orNull(time("When that was.")),
        consecutiveFails: count("Looks in a row that failed."),
      },
      {},
      "What was seen of the active target.",
    ),
    lastProxyError: orNull(
      object({
        code: text("As in the header `paastis-error`."),
        message: TEXT,
        target: port("Where it was to go."),
        at: time("When it was."),
      }),
    ),
    upstreamSocketsCreated: count("Connections made to apps; with `DEBUG_UPSTREAM`."),
    ...SURROUNDINGS,
  },
);

/** `GET /__health`. */
export const HEALTH = object({
  status: { ...TEXT, enum: ["healthy", "unhealthy"] },
  activePort: orNull(port("What was asked.")),
  checkedAt: orNull(time("When it was asked.")),
  consecutiveFails: count("Looks in a row that failed."),
  seen: orNull(
    object({
      status: orNull({ type: "integer", description: "null: there was no answer." }),
      why: orNull(text("Why there was none.")),
      ...LOOK,
    }),
  ),
});

/** `POST /__switch` and `POST /__deploy` that came off. */
export const SWITCHED = object(
  {
    success: flag("true"),
    message: text("For people."),
    switch: orNull(DONE),
  },
  { health: LOOKS },
);

/** `POST /__pause`, `POST /__resume`, `POST /__maintenance`. */
export const PAUSED = object({
  success: flag("true"),
  app: text("The app's key."),
  paused: orNull({ ...TEXT, enum: ["paused", "maintenance"] }),
});

/** A "no" of the older endpoints. */
export const OLD_ERROR = object({
  error: text("What kind of refusal it is."),
  message: text("For people."),
});

/** A "no" to a switch. */
export const SWITCH_ERROR = object(
  { error: text("What kind of refusal it is."), message: text("For people.") },
  {
    health: LOOKS,
    output: text("The last lines that the new version printed."),
    remedy: text("What to do."),
    switch: object(
      {
        to: { anyOf: [{ type: "integer" }, TEXT] },
        id: TEXT,
        since: time("When it began."),
      },
      {},
      "The switch that is under way.",
    ),
  },
);
