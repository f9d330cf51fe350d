/** Records in Redis: JSON in one hash, last uses in another, as they change far more often. */

import { type AppRef, refKey } from "../app.ts";
import { messageOf } from "../errors.ts";
import type { RedisConnection } from "../redis/connection.ts";
import { runScript, SAVE, TOUCH } from "./redis-scripts.ts";
import type { AppRecord, Loaded, Use } from "./registry.ts";
import type { RecordReading } from "./stored-record.ts";

/** Reads what is kept about one app: its JSON, and its last use; whatever they are. */
export type RecordParser = (json: unknown, used: unknown) => RecordReading;

/** @param readRecord see `createRecordReader` */
export function createRecordParser(readRecord: (value: unknown) => RecordReading): RecordParser {
  return function parseRecord(json, used) {
    if (typeof json !== "string") return { record: null, why: "nothing is stored" };
    try {
      return withUse(readRecord(JSON.parse(json)), used);
    } catch (error) {
      return { record: null, why: `it is not JSON: ${messageOf(error)}` };
    }
  };
}

/** The later of the two uses counts. */
export function withUse(reading: RecordReading, used: unknown): RecordReading {
  const usedMs = used === null || used === undefined ? Number.NaN : Number(used);
  const { record } = reading;
  if (record === null || !(usedMs > (record.lastUsedMs ?? -1))) return reading;
  return { record: { ...record, lastUsedMs: usedMs } };
}

/** See `Registry.load`. */
export async function loadRecords(
  { client, key }: RedisConnection,
  parseRecord: RecordParser,
): Promise<Loaded> {
  const [apps, uses] = await Promise.all([
    client.hgetall(key("apps")),
    client.hgetall(key("uses")),
  ]);
  const records: AppRecord[] = [];
  const unreadable: { what: string; why: string }[] = [];
  for (const [app, json] of Object.entries(apps)) {
    const reading = parseRecord(json, uses[app]);
    if (reading.record === null) unreadable.push({ what: `app ${app}`, why: reading.why });
    else if (refKey(reading.record.ref) === app) records.push(reading.record);
    else unreadable.push({ what: `app ${app}`, why: "it is the record of another app" });
  }
  return { records, unreadable };
}

/** See `Registry.save`; the others are told. */
export async function saveRecord(
  connection: RedisConnection,
  self: string,
  record: AppRecord,
): Promise<boolean> {
  const { key } = connection;
  const app = refKey(record.ref);
  const names = [`lock:${app}`, "apps", "uses", "fences", "revision"];
  const json = JSON.stringify(record);
  const [used, channel] = [record.lastUsedMs ?? "", key("changes")];
  const reply = await runScript(connection, SAVE, {
    keys: names.map((name) => key(name)),
    words: [app, json, record.fence, used, self, JSON.stringify(self), channel],
  });
  return reply === 1;
}

/** See `Registry.remove`. */
export async function removeRecord({ client, key }: RedisConnection, ref: AppRef): Promise<void> {
  await Promise.all(["apps", "uses"].map((name) => client.hdel(key(name), refKey(ref))));
}

/** A script call that notes last uses, see `Registry.touch`. */
export function touchCall({ key }: Pick<RedisConnection, "key">, uses: readonly Use[]) {
  return {
    keys: [key("apps"), key("uses")],
    words: uses.flatMap(({ ref, lastUsedMs }) => [refKey(ref), lastUsedMs]),
  };
}

/** See `Registry.touch`: at once. */
export async function touchRecords(
  connection: RedisConnection,
  uses: readonly Use[],
): Promise<void> {
  if (uses.length > 0) await runScript(connection, TOUCH, touchCall(connection, uses));
}
