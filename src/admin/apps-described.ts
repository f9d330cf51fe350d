/** The endpoints about apps as they are described: parameters, answers, and a sentence for each. */

import { t } from "elysia";
import {
  EVENTS_QUERY,
  EXPLAIN_QUERY,
  LIST_QUERY,
  SLEEP_QUERY,
  SPAN,
  SWEEP_QUERY,
  WAKE_QUERY,
} from "./apps-parameters.ts";
import {
  ACTION_ANSWER,
  APP_DETAILS,
  APP_PAGE,
  EVENT_LIST,
  EXPLAINED,
  PROBLEM,
  SAVINGS,
  SHOWN_CONFIG,
  SWEEP_ANSWER,
} from "./apps-shapes.ts";

const APPS = ["Apps"];
const ACTIONS = ["What operators can do"];
const INSIGHT = ["What happens, and why"];

/** The path's part that names an app. */
const APP = t.Object({ app: t.String({ minLength: 1, description: "The app's key." }) });

const noApp = { 404: PROBLEM };
const badRequest = { 400: PROBLEM };
const TEXT: { type: "string" } = { type: "string" };
const OBJECT: { type: "object" } = { type: "object" };
const spanBody = {
  content: {
    "application/json": {
      schema: { ...OBJECT, properties: { for: TEXT, until: TEXT } },
      example: { for: "2h" },
    },
  },
  description: "How long, where the query does not say it.",
};

const EVENT_STREAM = "text/event-stream";
const streamed = (description: string) => ({
  200: { description, content: { [EVENT_STREAM]: { schema: TEXT } } },
});
const ROWS = streamed("The stream; without an end.");
const FOLLOWED = streamed("A list, or the stream of what happens.");
const LAST_EVENT_IDS = [
  {
    name: "Last-Event-ID",
    in: "header",
    required: false,
    schema: TEXT,
    description: "The stream, or the list, goes on after the event with this id.",
  },
];

/** The hooks of each route. */
export const DESCRIBED = {
  list: {
    query: LIST_QUERY,
    response: { 200: APP_PAGE, ...badRequest },
    detail: { tags: APPS, summary: "A page of the list of apps" },
  },
  stream: {
    response: { 200: APP_DETAILS, 503: PROBLEM },
    detail: {
      tags: APPS,
      responses: ROWS,
      summary: "All apps as they change, as server-sent events",
      description:
        "One event `snapshot` with the rows of all apps, then `apps` with those that have changed, at most four times a second, and in `gone` those that are there no more (`provider/id`). An app with the key `stream` is told of as any other where no stream is asked for.",
    },
  },
  details: {
    params: APP,
    response: { 200: APP_DETAILS, ...badRequest, ...noApp },
    detail: { tags: APPS, summary: "All that is known of one app" },
  },
  wake: {
    parse: "none",
    params: APP,
    query: WAKE_QUERY,
    response: { 200: ACTION_ANSWER, 202: ACTION_ANSWER, ...badRequest, ...noApp, 503: PROBLEM },
    detail: { tags: ACTIONS, summary: "Wake an app", description: "202: its wake goes on." },
  },
  sleep: {
    parse: "none",
    params: APP,
    query: SLEEP_QUERY,
    response: { 200: ACTION_ANSWER, ...badRequest, ...noApp, 409: PROBLEM },
    detail: {
      tags: ACTIONS,
      summary: "Put an app to sleep",
      description:
        "At once, whatever its idle time and windows say; not while it is in use. Takes back an order to keep it awake.",
    },
  },
  pause: {
    parse: "none",
    params: APP,
    query: SPAN,
    response: { 200: ACTION_ANSWER, ...badRequest, ...noApp, 500: PROBLEM },
    detail: {
      tags: ACTIONS,
      summary: "Let an app's requests wait",
      description: "Without `for` and `until`: until it is resumed.",
      requestBody: spanBody,
    },
  },
  resume: {
    parse: "none",
    params: APP,
    response: { 200: ACTION_ANSWER, ...badRequest, ...noApp, 500: PROBLEM },
    detail: { tags: ACTIONS, summary: "End a pause, or maintenance" },
  },
  keepAwake: {
    parse: "none",
    params: APP,
    query: SPAN,
    response: { 200: ACTION_ANSWER, ...badRequest, ...noApp, 500: PROBLEM },
    detail: {
      tags: ACTIONS,
      summary: "Keep an app awake for a time",
      description:
        "At most 31 days, whatever its idle time and windows say. It is woken if it is asleep. `for=0` takes the order back.",
      requestBody: spanBody,
    },
  },
  events: {
    query: EVENTS_QUERY,
    response: { 200: EVENT_LIST, ...badRequest, 503: PROBLEM },
    detail: {
      tags: INSIGHT,
      parameters: LAST_EVENT_IDS,
      responses: FOLLOWED,
      summary: "What happened to apps",
      description:
        "With `Accept: text/event-stream` a stream that goes on with what happens; it goes on after the event that the header `Last-Event-ID` names.",
    },
  },
  explain: {
    query: EXPLAIN_QUERY,
    response: { 200: EXPLAINED, ...badRequest },
    detail: { tags: INSIGHT, summary: "What would become of a request, and why" },
  },
  plan: {
    query: SWEEP_QUERY,
    response: { 200: SWEEP_ANSWER, ...badRequest },
    detail: {
      tags: INSIGHT,
      summary: "What a sweep would do now",
      description: "Apps with `busy.url` that would sleep are asked whether they are busy.",
    },
  },
  sweep: {
    parse: "none",
    query: SWEEP_QUERY,
    response: { 200: SWEEP_ANSWER, ...badRequest },
    detail: {
      tags: ACTIONS,
      summary: "Sweep now",
      description:
        "Asks the platforms, decides, and begins to put to sleep what is idle. The answer does not wait for that.",
    },
  },
  config: {
    response: { 200: SHOWN_CONFIG },
    detail: { tags: INSIGHT, summary: "The configuration as it counts, without secrets" },
  },
  savings: {
    response: { 200: SAVINGS },
    detail: { tags: INSIGHT, summary: "What sleep has saved" },
  },
} as const;
