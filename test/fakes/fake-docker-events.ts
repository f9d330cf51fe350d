/** The events of the fake Docker engine: what it remembers of them, who listens, and what filters let through. */

import type { Clock } from "../../src/clock.ts";
import type { LineStream } from "./fake-docker-exchange.ts";
import type { Filters } from "./fake-docker-filters.ts";
import type { NewEvent } from "./fake-docker-model.ts";

/** How many an engine remembers for `since`. Source: moby `daemon/events`, `eventsLimit`. */
const REMEMBERED_MAX = 256;

/** One event, as it is told. */
export interface EngineEvent extends NewEvent {
  /** Nanoseconds since the epoch, and text, as numbers lose some of it. */
  readonly timeNano: string;
  readonly timeMs: number;
}

/** One client of the stream. */
interface Listener {
  readonly lines: LineStream;
  readonly filters: Filters;
  readonly isLegacy: boolean;
}

/** What a client wants to hear. Times in ms; `null`: not said. */
export interface Wish {
  readonly filters: Filters;
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
  /** Before 1.52 events carry their fields of long ago too. */
  readonly isLegacy: boolean;
}

export interface EventHub {
  emit(event: NewEvent): void;
  listen(lines: LineStream, wish: Wish): void;
  /** Everything that has happened, also what nobody heard. */
  readonly all: readonly EngineEvent[];
  /** How many streams are open. */
  readonly listeners: number;
  /** The next `count` events are never told. */
  lose(count: number): void;
  /** Streams stay open and are silent from now on, as after a router forgot them; new ones are fine. */
  goSilent(): void;
  /** All connections break. */
  cut(): void;
  /** All streams come to a proper end. */
  end(): void;
  /** The engine was started again: it remembers nothing. */
  forget(): void;
  /** Writes text of a test's own to all streams. */
  write(text: string): void;
  /** Events are written in pieces of so many bytes from now on; `null`: whole. */
  chop(bytes: number | null): void;
}

export function createEventHub(clock: Clock): EventHub {
  const all: EngineEvent[] = [];
  let remembered: EngineEvent[] = [];
  const listeners = new Set<Listener>();
  let toLose = 0;
  let pieceBytes: number | null = null;
  let lastNano = 0n;
  function stamped(event: NewEvent): EngineEvent {
    const nowNano = BigInt(Math.trunc(clock.now())) * 1_000_000n;
    lastNano = nowNano > lastNano ? nowNano : lastNano + 1n;
    return { ...event, timeNano: String(lastNano), timeMs: Number(lastNano / 1_000_000n) };
  }
  const chopped = new WeakMap<LineStream, Promise<void>>();
  function write(lines: LineStream, text: string): void {
    const before = chopped.get(lines);
    if (pieceBytes === null && before === undefined) lines.write(text);
    else chopped.set(lines, writePieces(lines, text, { before, pieceBytes: pieceBytes ?? 65_536 }));
  }
  function open(): Listener[] {
    for (const listener of listeners) if (!listener.lines.isOpen) listeners.delete(listener);
    return [...listeners];
  }
  return {
    all,
    get listeners() {
      return open().length;
    },
    emit(newEvent) {
      const event = stamped(newEvent);
      all.push(event);
      remembered = [...remembered, event].slice(-REMEMBERED_MAX);
      if (toLose > 0) {
        toLose -= 1;
        return;
      }
      for (const { lines, filters, isLegacy } of open()) {
        if (passes(event, filters)) write(lines, lineOf(event, isLegacy));
      }
    },
    listen(lines, { filters, sinceMs, untilMs, isLegacy }) {
      const from = sinceMs ?? Number.POSITIVE_INFINITY;
      for (const event of remembered) {
        if (event.timeMs < from || event.timeMs > (untilMs ?? Number.POSITIVE_INFINITY)) continue;
        if (passes(event, filters)) write(lines, lineOf(event, isLegacy));
      }
      const restMs = untilMs === null ? null : untilMs - clock.now();
      if (restMs !== null && restMs <= 0) {
        lines.end();
        return;
      }
      const listener = { lines, filters, isLegacy };
      listeners.add(listener);
      if (restMs !== null)
        clock.after(restMs, () => void (listeners.delete(listener) && lines.end()));
    },
    lose(count) {
      toLose = count;
    },
    goSilent: () => listeners.clear(),
    cut() {
      for (const { lines } of listeners) lines.cut();
      listeners.clear();
    },
    end() {
      for (const { lines } of listeners) lines.end();
      listeners.clear();
    },
    forget() {
      remembered = [];
    },
    write(text) {
      for (const { lines } of open()) write(lines, text);
    },
    chop(bytes) {
      pieceBytes = bytes;
    },
  };
}

/** Packets of their own, so that the client sees halves of lines, and of characters. */
async function writePieces(
  lines: LineStream,
  text: string,
  how: { readonly before: Promise<void> | undefined; readonly pieceBytes: number },
): Promise<void> {
  await how.before;
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += how.pieceBytes) {
    lines.write(bytes.subarray(at, at + how.pieceBytes));
    await Bun.sleep(1);
  }
}

/** Source: moby `daemon/events/filter.go`, and an engine 20.10. */
function passes(event: EngineEvent, filters: Filters): boolean {
  const { type, action, id, attributes } = event;
  const { name = "" } = attributes;
  return (
    any(filters.type, (wanted) => wanted === type) &&
    any(filters.event, (wanted) => matchesAction(action, wanted, filters.event ?? [])) &&
    any(filters.container, (wanted) => wanted === id || wanted === name || id.startsWith(wanted)) &&
    any(filters.network, (wanted) => wanted === id || wanted === name) &&
    any(filters.image, (wanted) => wanted === attributes.image) &&
    (filters.label ?? []).every((wanted) => matchesLabel(attributes, wanted))
  );
}

function any(values: readonly string[] | undefined, matches: (value: string) => boolean): boolean {
  return values === undefined || values.length === 0 || values.some(matches);
}

/** With one of these without its colon among the wanted, beginnings are enough for all of them. */
const FUZZY = ["health_status", "exec_create", "exec_start"];

function matchesAction(action: string, wanted: string, all: readonly string[]): boolean {
  const isFuzzy = all.some((one) => FUZZY.includes(one));
  return isFuzzy ? action.startsWith(wanted) : action === wanted;
}

/** `name` or `name=value`. */
export function matchesLabel(labels: Readonly<Record<string, string>>, wanted: string): boolean {
  const [name = "", value] = wanted.split(/=(.*)/s);
  if (!Object.hasOwn(labels, name)) return false;
  return value === undefined || labels[name] === value;
}

function lineOf(event: EngineEvent, isLegacy: boolean): string {
  const { type, action, id, attributes, timeNano, timeMs } = event;
  const legacy =
    isLegacy && type === "container" ? { status: action, id, from: attributes.image ?? "" } : {};
  const fields = {
    ...legacy,
    Type: type,
    Action: action,
    Actor: { ID: id, Attributes: attributes },
    scope: "local",
    time: Math.floor(timeMs / 1000),
    timeNano: 0,
  };
  // Numbers as long as these do not survive being one.
  return `${JSON.stringify(fields).replace('"timeNano":0', `"timeNano":${timeNano}`)}\n`;
}
