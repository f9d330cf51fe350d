/** What a person reads of a log line: a mark, a word, a sentence, and what stands below it. */

import { durationText } from "./durations.ts";

/** One line of the log, already cleaned. */
export interface LogLine {
  readonly level: string;
  readonly timeMs: number;
  readonly message: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

/** What a mark means; the colour follows from it. */
export type Tone = "plain" | "quiet" | "busy" | "good" | "rest" | "bad";

/** A log line, taken apart for layout. */
export interface Entry {
  /** The app's key; empty: Paastis itself. */
  readonly app: string;
  /** One character that tells at a glance. */
  readonly mark: string;
  /** The word beside the mark; empty for lines that are no event. */
  readonly word: string;
  readonly tone: Tone;
  readonly text: string;
  /** Figures that belong to the text, shown dim after it. */
  readonly aside: string;
  /** Lines below, behind a bar. */
  readonly below: readonly string[];
}

type Look = readonly [mark: string, word: string, tone: Tone];

/** Marks and words of the events. An event that is not here is shown like any other message. */
const EVENT_LOOKS: Readonly<Record<string, Look>> = {
  APP_DISCOVERED: ["+", "found", "quiet"],
  APP_REGISTERED: ["+", "registered", "quiet"],
  APP_UNREGISTERED: ["-", "gone", "quiet"],
  APP_WAKING: ["◐", "waking", "busy"],
  APP_STARTED: ["●", "awake", "good"],
  APP_START_FAILED: ["✖", "not woken", "bad"],
  APP_STOPPING: ["◑", "to sleep", "rest"],
  APP_STOPPED: ["○", "asleep", "rest"],
  APP_STOP_FAILED: ["✖", "not asleep", "bad"],
  APP_STOP_CANCELLED: ["●", "stays awake", "good"],
  APP_STOP_VETOED: ["●", "stays awake", "busy"],
  APP_CRASHED: ["✖", "crashed", "bad"],
  APP_SWITCHED: ["⇄", "switched", "good"],
  APP_SWITCH_REFUSED: ["✖", "not switched", "bad"],
  APP_ROLLED_BACK: ["⇄", "switched back", "bad"],
  APP_ROLLBACK_FAILED: ["✖", "no return", "bad"],
  APP_DRAINED: ["○", "drained", "quiet"],
  APP_UNHEALTHY: ["▲", "not healthy", "bad"],
  APP_HEALTHY: ["●", "healthy", "good"],
  APP_PAUSED: ["‖", "paused", "busy"],
  APP_RESUMED: ["●", "resumed", "good"],
  APP_KEPT_AWAKE: ["●", "kept awake", "good"],
  APP_KEPT_AWAKE_ENDED: ["○", "not kept", "quiet"],
  HOOK_FAILED: ["▲", "hook failed", "busy"],
};

/** Events that end what another event began with a cause: here the time it took says more. */
const SAY_HOW_LONG = new Set(["APP_STARTED", "APP_STOPPED"]);

/** Fields with a place of their own; the others follow a message as `name=value`. */
const PLACED_FIELDS = new Set(["app", "error", "err", "next", "reason", "stream", "what", "why"]);

/** Pure. Takes a log line apart. */
export function entryOf(line: LogLine): Entry {
  const app = textOf(line.fields.app);
  if (textOf(line.fields.stream) !== "") {
    const mark = line.fields.stream === "stderr" ? "┃" : "│";
    return { app, mark, word: "", tone: "quiet", text: line.message, aside: "", below: [] };
  }
  if (textOf(line.fields.hook) !== "" && line.fields.event === undefined && line.level === "info") {
    const aside = `hook ${textOf(line.fields.hook)}`;
    return { app, mark: "│", word: "", tone: "quiet", text: line.message, aside, below: [] };
  }
  const look = EVENT_LOOKS[textOf(line.fields.event)];
  return look === undefined ? messageEntry(line, app) : eventEntry(line, app, look);
}

function eventEntry(line: LogLine, app: string, [mark, word, tone]: Look): Entry {
  const { fields } = line;
  const cause = causeOf(fields.cause);
  const reason = textOf(fields.reason);
  const sentence = SAY_HOW_LONG.has(textOf(fields.event)) ? durationSentence(fields) : "";
  const [text = "", ...below] = (reason || sentence || cause || line.message).split("\n");
  const explanation = explained(line, tone === "bad");
  return { app, mark, word, tone, text, aside: "", below: [...below, ...explanation] };
}

function messageEntry(line: LogLine, app: string): Entry {
  const { fields, level } = line;
  const grave = level === "error" || level === "fatal";
  const [mark, tone]: readonly [string, Tone] = grave
    ? ["✖", "bad"]
    : level === "warn"
      ? ["▲", "busy"]
      : ["·", level === "info" ? "plain" : "quiet"];
  const [text = "", ...below] = [line.message, textOf(fields.reason)]
    .filter((part) => part !== "")
    .join(": ")
    .split("\n");
  const aside = asideOf(line);
  return { app, mark, word: "", tone, text, aside, below: [...below, ...explained(line, grave)] };
}

function durationSentence(fields: LogLine["fields"]): string {
  const after = typeof fields.durationMs === "number" && `after ${durationText(fields.durationMs)}`;
  const target = fields.event === "APP_STARTED" ? textOf(fields.target) : "";
  return [after, target && `at ${target}`].filter(Boolean).join(" ");
}

/** The explanation of a failure, or what an error that was not expected said of itself. */
function explained({ fields, message }: LogLine, withStack: boolean): string[] {
  const error = recordOf(fields.error ?? fields.err);
  const explanation = recordOf(error.explanation);
  const what = textOf(fields.what) || textOf(explanation.what);
  const why = textOf(fields.why) || textOf(explanation.why) || errorText(fields, withStack);
  const next = textOf(fields.next) || textOf(explanation.next);
  const parts = [what === message ? "" : what, why, next && `→ ${next}`];
  return parts.filter((part) => part !== "").flatMap((part) => part.split("\n"));
}

function errorText(fields: LogLine["fields"], withStack: boolean): string {
  const thrown = fields.error ?? fields.err;
  const error = recordOf(thrown);
  return textOf(thrown) || (withStack && textOf(error.stack)) || textOf(error.message);
}

/** What the message says already is not said again. */
function asideOf({ fields, message }: LogLine): string {
  return Object.entries(fields)
    .filter(([name, value]) => !PLACED_FIELDS.has(name) && !message.includes(shown(value)))
    .map(([name, value]) => `${name}=${name === "cause" ? causeOf(value) : shown(value)}`)
    .join("  ");
}

function shown(value: unknown): string {
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** A cause is a text, or `{ kind, detail }` as in an event. */
function causeOf(cause: unknown): string {
  return textOf(cause) || textOf(recordOf(cause).detail) || textOf(recordOf(cause).kind);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> {
  // An object without known shape may be read as a record: every property is then `unknown`.
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
