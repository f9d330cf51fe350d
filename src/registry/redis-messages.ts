/** What instances say to each other over Redis, as text and back. Anybody may write there, so that all of it is checked. */

import type { AppRef } from "../app.ts";
import type { PeerUse, StopQuestion } from "../peers.ts";

/** A record was stored. */
export interface ChangeMessage {
  readonly from: string;
  /** How many records were stored before, and this one. */
  readonly revision: number;
  /** The app's last use, ms since the epoch; `null`: never. */
  readonly used: number | null;
  /** Not checked. */
  readonly record: unknown;
}

/** With each heartbeat, and at the end. */
export interface UsesMessage {
  readonly from: string;
  /** Which run of that instance: what an earlier one said counts no more. */
  readonly run: string;
  readonly uses: readonly PeerUse[];
  /** It was the last one. */
  readonly leaves: boolean;
}

/** May an app be stopped? */
export interface QuestionMessage {
  readonly from: string;
  /** Of the question. */
  readonly id: string;
  readonly question: StopQuestion;
}

/** To a question. */
export interface AnswerMessage {
  readonly from: string;
  readonly id: string;
  /** Why it must not be stopped. */
  readonly why: string | null;
}

type Fields = Readonly<Record<string, unknown>>;

/** Short, as there may be thousands: `[[provider, id, leases, unusedMs], ...]`. */
export function writeUses({ from, run, leaves, uses }: UsesMessage): string {
  const rows = uses.map(({ ref, leases, unusedMs }) => [ref.provider, ref.id, leases, unusedMs]);
  return JSON.stringify({ from, run, uses: rows, ...(leaves && { leaves }) });
}

/** @returns `null`: it is no such message; so do all that follow */
export function readUses(text: string): UsesMessage | null {
  const { from, run, leaves, uses } = fieldsOf(text);
  if (!isText(from) || !isText(run) || !Array.isArray(uses)) return null;
  const read = uses.map(readUse);
  const known = read.filter((use) => use !== null);
  if (known.length < read.length) return null;
  return { from, run, uses: known, leaves: leaves === true };
}

function readUse(row: unknown): PeerUse | null {
  if (!Array.isArray(row)) return null;
  const [provider, id, leases, unusedMs]: unknown[] = row;
  if (!isText(provider) || !isText(id) || !isAmount(leases) || !isAmount(unusedMs)) return null;
  return { ref: { provider, id }, leases, unusedMs };
}

/** See `SAVE` of the scripts, which writes it. */
export function readChange(text: string): ChangeMessage | null {
  const { from, record, revision, used } = fieldsOf(text);
  if (!isText(from) || !isAmount(revision) || record === undefined) return null;
  if (used !== null && !isAmount(used)) return null;
  return { from, revision, used, record };
}

/** The other way: `readQuestion`. */
export function writeQuestion(message: QuestionMessage): string {
  return JSON.stringify(message);
}

/** The other way: `writeQuestion`. */
export function readQuestion(text: string): QuestionMessage | null {
  const { from, id, question } = fieldsOf(text);
  if (!isText(from) || !isText(id) || !isFields(question)) return null;
  const { fence, ref, unusedMs } = question;
  if (!isRef(ref) || !isAmount(fence) || !(unusedMs === null || isAmount(unusedMs))) return null;
  return { from, id, question: { ref, fence, unusedMs } };
}

/** The other way: `readAnswer`. */
export function writeAnswer(message: AnswerMessage): string {
  return JSON.stringify(message);
}

/** The other way: `writeAnswer`. */
export function readAnswer(text: string): AnswerMessage | null {
  const { from, id, why } = fieldsOf(text);
  if (!isText(from) || !isText(id) || !(why === null || isText(why))) return null;
  return { from, id, why };
}

/** None where it is no object of JSON. */
function fieldsOf(text: string): Fields {
  try {
    const value: unknown = JSON.parse(text);
    return isFields(value) ? value : {};
  } catch {
    return {};
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null;
}

function isRef(value: unknown): value is AppRef {
  return isFields(value) && isText(value.provider) && isText(value.id);
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value !== "";
}

function isAmount(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && Number.isFinite(value);
}
