/** The engine's events: lines of JSON out of a stream, and what each of them means. Pure, but for reading the stream. */

import { fieldsOf, textOf, textsOf } from "./docker-json.ts";

/** What has happened to a container. */
export interface ContainerEvent {
  readonly containerId: string;
  /**
   * - `told-to-end`: it was sent a signal that usually ends a program
   * - `listed`: it came, went or is called otherwise: only a new list tells what that means
   */
  readonly kind: "started" | "ended" | "told-to-end" | "changed" | "listed";
}

/** Longest line, in characters: an event repeats all labels of its container. */
export const LINE_CHARS_MAX = 1024 * 1024;

/**
 * The lines of a stream, as they become complete. Ends with the stream; what has no end by then is no line.
 * @throws Error when a line is longer than `LINE_CHARS_MAX`; what the connection dies of
 */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let begun: string[] = [];
  let chars = 0;
  for await (const piece of pieces) {
    const [first = "", ...others] = decoder.decode(piece, { stream: true }).split("\n");
    begun.push(first);
    chars += first.length;
    if (chars > LINE_CHARS_MAX) throw new Error("the engine sent a line without an end");
    const rest = others.pop();
    if (rest === undefined) continue;
    yield begun.join("");
    yield* others;
    begun = [rest];
    chars = rest.length;
  }
}

type Meaning = ContainerEvent["kind"];

/** Podman has names of its own for some. What is not named here changes nothing for us. */
const MEANINGS: ReadonlyMap<string, Meaning> = new Map([
  ["start", "started"],
  ["die", "ended"],
  ["died", "ended"],
  ["kill", "told-to-end"],
  ...same("changed", ["health_status", "oom", "pause", "restart", "stop", "unpause", "update"]),
  ...same("listed", ["create", "destroy", "remove", "rename"]),
]);

function same(meaning: Meaning, actions: readonly string[]): readonly [string, Meaning][] {
  return actions.map((action) => [action, meaning]);
}

/**
 * SIGINT, SIGQUIT, SIGKILL, SIGTERM, and what Apache and systemd are stopped by: SIGWINCH, SIGRTMIN+3. At others
 * programs read their settings anew, or open their logs, and go on.
 */
const ENDING_SIGNALS = ["2", "3", "9", "15", "28", "37"];

/** What a line says; `null`: nothing that matters, or nothing that makes sense. */
export function readEvent(line: string): ContainerEvent | null {
  const { Type: type, Action: action, Actor: actor } = fieldsOf(parsed(line));
  const { ID: id, Attributes: attributes } = fieldsOf(actor);
  if (type !== "container" || textOf(id) === "") return null;
  // Some say more after a colon: `health_status: healthy`.
  const kind = MEANINGS.get(textOf(action).split(":")[0]?.trim() ?? "");
  if (kind === undefined) return null;
  // Podman does not say which.
  const { signal } = textsOf(attributes);
  if (kind === "told-to-end" && signal !== undefined && !ENDING_SIGNALS.includes(signal)) {
    return null;
  }
  return { containerId: textOf(id), kind };
}

function parsed(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return null; // The next list finds out what it told.
  }
}
