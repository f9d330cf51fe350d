/** What the older admin endpoints are described with: their routes take what they are given and check it themselves. */

/** One operation of the description. */
export interface Operation {
  readonly summary: string;
  readonly [field: string]: unknown;
}

const tags = ["Switches and health"];
const TEXT = { type: "string" } as const;

const app = {
  name: "app",
  in: "query",
  required: false,
  schema: TEXT,
  description: "Key of the app; needed where there are several.",
};
const key = {
  name: "Idempotency-Key",
  in: "header",
  required: false,
  schema: { ...TEXT, maxLength: 255 },
  description: "The same one is not done twice.",
};

const OBJECT = { "application/json": { schema: { type: "object" } } };
const ERROR = {
  "application/json": {
    schema: {
      type: "object",
      required: ["error", "message"],
      properties: { error: TEXT, message: TEXT },
    },
  },
};

const ok = (description: string) => ({ 200: { description, content: OBJECT } });
const no = (statuses: Readonly<Record<number, string>>) =>
  Object.fromEntries(
    Object.entries(statuses).map(([status, description]) => [
      status,
      { description, content: ERROR },
    ]),
  );
const NO_APP = { 400: "Which app is meant?", 404: "There is no such app." };

/** By method and path. */
export const OLD_ENDPOINTS: Readonly<Record<string, Operation>> = {
  "GET /__status": {
    tags,
    summary: "Where an app is, and its last switch",
    parameters: [
      app,
      {
        name: "details",
        in: "query",
        required: false,
        schema: { ...TEXT, enum: ["1"] },
        description: "Also of an only app all that is known, and how stores and platforms are.",
      },
    ],
    responses: {
      ...ok("Its active port, its last switch, what drains, its state."),
      ...no(NO_APP),
    },
  },
  "GET /__metrics": {
    tags,
    summary: "What Paastis counts",
    description:
      "JSON of one app; or the text that Prometheus reads, of all of them, with `format=prometheus` or `Accept: text/plain`.",
    parameters: [
      app,
      {
        name: "format",
        in: "query",
        required: false,
        schema: { ...TEXT, enum: ["json", "prometheus"] },
        description: "Default: what the header `Accept` likes best.",
      },
    ],
    responses: { ...ok("Requests, errors, statuses, health."), ...no(NO_APP) },
  },
  "GET /__health": {
    tags,
    summary: "A fresh look at an app's active target",
    parameters: [app],
    responses: {
      ...ok("It is healthy."),
      503: { description: "It is not.", content: OBJECT },
      ...no(NO_APP),
    },
  },
  "POST /__switch": {
    tags,
    summary: "Move an app of provider ports to another port, once it is healthy there",
    parameters: [
      app,
      key,
      {
        name: "port",
        in: "query",
        required: true,
        schema: { type: "integer", minimum: 1, maximum: 65_535 },
      },
      {
        name: "host",
        in: "query",
        required: false,
        schema: TEXT,
        description: "Another host than 127.0.0.1, where `switch.hosts` names it.",
      },
    ],
    responses: {
      ...ok("It was switched."),
      ...no({
        ...NO_APP,
        409: "It is not healthy there, or another switch is under way.",
        422: "The Idempotency-Key was used for another port.",
        500: "It could not be stored: nothing has changed.",
        503: "Not now.",
      }),
    },
  },
  "POST /__deploy": {
    tags,
    summary: "Start an app anew as it is declared now, and move it there",
    parameters: [app, key],
    responses: {
      ...ok("The new version is active."),
      ...no({ ...NO_APP, 409: "It did not become healthy.", 500: "It could not be stored." }),
    },
  },
  "POST /__pause": {
    tags,
    summary: "Let an app's requests wait",
    parameters: [app],
    responses: { ...ok("It is paused."), ...no({ ...NO_APP, 500: "It could not be stored." }) },
  },
  "POST /__resume": {
    tags,
    summary: "End a pause, or maintenance",
    parameters: [app],
    responses: {
      ...ok("It takes requests."),
      ...no({ ...NO_APP, 500: "It could not be stored." }),
    },
  },
  "POST /__maintenance": {
    tags,
    summary: "Answer an app's requests with 503 and a message",
    parameters: [app],
    requestBody: {
      content: {
        "application/json": {
          schema: { type: "object", properties: { message: { ...TEXT, maxLength: 2000 } } },
          example: { message: "Back at noon" },
        },
      },
    },
    responses: {
      ...ok("It is in maintenance."),
      ...no({ ...NO_APP, 500: "It could not be stored." }),
    },
  },
};
