/** What the older admin endpoints are described with: their routes take what they are given and check it themselves. */

import { file } from "./openapi-answers.ts";
import {
  HEALTH,
  METRICS,
  OLD_ERROR,
  PAUSED,
  STATUS,
  SWITCH_ERROR,
  SWITCHED,
} from "./openapi-old-shapes.ts";

/** One operation of the description. */
export interface Operation {
  readonly summary: string;
  readonly [field: string]: unknown;
}

type Json = Readonly<Record<string, unknown>>;

const tags = ["Switches and health"];
const TEXT = { type: "string" } as const;

/** Without `ADMIN_TOKEN` this machine may read them without any. */
const OPEN_TO_READERS = [{ token: [] }, { bearer: [] }, { session: [] }, {}];

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

const answered = (description: string, schema: Json) => ({
  description,
  content: { "application/json": { schema } },
});
const refused = (statuses: Readonly<Record<number, string>>, schema: Json = OLD_ERROR) =>
  Object.fromEntries(
    Object.entries(statuses).map(([status, description]) => [
      status,
      answered(description, schema),
    ]),
  );

const ASKED_WRONGLY = {
  400: "Which app is meant, or something else in the request cannot be used.",
  404: "There is no such app.",
};
const NOT_STORED = { 500: "It could not be stored." };

const METRICS_ANSWER = {
  description: "Of one app as JSON; of all of them, or of the one that is named, for Prometheus.",
  content: {
    ...answered("", METRICS).content,
    ...file("", "text/plain", "application/openmetrics-text").content,
  },
};

/** By method and path. */
export const OLD_ENDPOINTS: Readonly<Record<string, Operation>> = {
  "GET /__status": {
    tags,
    summary: "Where an app is, and its last switch",
    security: OPEN_TO_READERS,
    parameters: [
      app,
      {
        name: "details",
        in: "query",
        required: false,
        schema: { ...TEXT, enum: ["0", "1"] },
        description:
          "1: also of an only app all that is known, and how stores, platforms and webhooks are.",
      },
    ],
    responses: {
      200: answered("Its active port, its last switch, what drains, its state.", STATUS),
      ...refused(ASKED_WRONGLY),
    },
  },
  "GET /__metrics": {
    tags,
    summary: "What Paastis counts",
    description:
      "JSON of one app; or the text that Prometheus reads, of all of them, with `format=prometheus` or `Accept: text/plain`.",
    security: OPEN_TO_READERS,
    parameters: [
      app,
      {
        name: "format",
        in: "query",
        required: false,
        schema: { ...TEXT, enum: ["json", "prometheus", "openmetrics"] },
        description: "Default: what the header `Accept` likes best.",
      },
    ],
    responses: { 200: METRICS_ANSWER, ...refused(ASKED_WRONGLY) },
  },
  "GET /__health": {
    tags,
    summary: "A fresh look at an app's active target",
    security: OPEN_TO_READERS,
    parameters: [app],
    responses: {
      200: answered("It is healthy.", HEALTH),
      503: answered("It is not.", HEALTH),
      ...refused(ASKED_WRONGLY),
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
      200: answered("It was switched, or is there already.", SWITCHED),
      ...refused(ASKED_WRONGLY),
      ...refused(
        {
          409: "It is not healthy there, cannot be switched, or another switch is under way.",
          422: "The Idempotency-Key was used for another port.",
          500: "It could not be stored: nothing has changed.",
          503: "Not now.",
        },
        SWITCH_ERROR,
      ),
    },
  },
  "POST /__deploy": {
    tags,
    summary: "Start an app anew as it is declared now, and move it there",
    parameters: [app, key],
    responses: {
      200: answered("The new version is active.", SWITCHED),
      ...refused(ASKED_WRONGLY),
      ...refused(
        {
          409: "It did not become healthy, nobody starts versions of it, or another switch is under way.",
          500: "It could not be stored: nothing has changed.",
          503: "Not now.",
        },
        SWITCH_ERROR,
      ),
    },
  },
  "POST /__pause": {
    tags,
    summary: "Let an app's requests wait",
    parameters: [app],
    responses: {
      200: answered("It is paused.", PAUSED),
      ...refused({ ...ASKED_WRONGLY, ...NOT_STORED }),
    },
  },
  "POST /__resume": {
    tags,
    summary: "End a pause, or maintenance",
    parameters: [app],
    responses: {
      200: answered("It takes requests.", PAUSED),
      ...refused({ ...ASKED_WRONGLY, ...NOT_STORED }),
    },
  },
  "POST /__maintenance": {
    tags,
    summary: "Answer an app's requests with 503 and a message",
    parameters: [app],
    requestBody: {
      description: "Left out: without a message.",
      required: false,
      content: {
        "application/json": {
          schema: {
            type: "object",
            required: ["message"],
            properties: { message: { ...TEXT, maxLength: 2000 } },
          },
          example: { message: "Back at noon" },
        },
      },
    },
    responses: {
      200: answered("It is in maintenance.", PAUSED),
      ...refused({ ...ASKED_WRONGLY, ...NOT_STORED }),
    },
  },
};
