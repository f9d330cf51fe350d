/** What the dashboard knows. Views hear of changes at most once a frame. */

import type { AppSummary, Savings } from "../../admin/views.ts";
import type { InstanceStatus } from "./admin-calls.ts";
import type { Connection, StreamFollower } from "./live-stream.ts";

/** Everything that is known, and who wants to hear of it. */
export interface Model extends StreamFollower {
  readonly apps: ReadonlyMap<string, AppSummary>;
  byKey(key: string): AppSummary | null;
  connection(): Connection;
  savings(): Savings | null;
  status(): InstanceStatus | null;
  onSavings(savings: Savings): void;
  onStatus(status: InstanceStatus): void;
  /** Whether an order for the app is under way is another thing now; what became of it the stream says, in order. */
  onOrdered(key: string): void;
  subscribe(listener: () => void): void;
}

/** @param nextFrame calls back before the page is drawn the next time */
export function createModel(nextFrame: (draw: () => void) => void): Model {
  const apps = new Map<string, AppSummary>();
  const ids = new Map<string, string>();
  const listeners: (() => void)[] = [];
  let connection: Connection = { kind: "connecting" };
  let savings: Savings | null = null;
  let status: InstanceStatus | null = null;
  let isPlanned = false;
  const changed = () => {
    if (isPlanned) return;
    isPlanned = true;
    nextFrame(() => {
      isPlanned = false;
      for (const listener of listeners) listener();
    });
  };
  const put = (app: AppSummary) => {
    const id = idOf(app);
    apps.set(id, app);
    ids.set(app.key, id);
  };
  const drop = (id: string) => {
    const key = apps.get(id)?.key;
    apps.delete(id);
    if (key !== undefined && ids.get(key) === id) ids.delete(key);
  };
  const byKey = (key: string) => apps.get(ids.get(key) ?? "") ?? null;
  return {
    apps,
    byKey,
    connection: () => connection,
    savings: () => savings,
    status: () => status,
    subscribe: (listener) => void listeners.push(listener),
    onSnapshot(all) {
      apps.clear();
      ids.clear();
      for (const app of all) put(app);
      changed();
    },
    onChange(some, gone) {
      for (const id of gone) drop(id);
      for (const app of some) put(app);
      changed();
    },
    onConnection(next) {
      connection = next;
      changed();
    },
    onSavings(next) {
      savings = next;
      changed();
    },
    onStatus(next) {
      status = next;
      changed();
    },
    onOrdered(key) {
      const app = byKey(key);
      if (app === null) return;
      put({ ...app });
      changed();
    },
  };
}

/** As the stream names apps: `docker/shop`. */
export function idOf({ provider, id }: AppSummary): string {
  return `${provider}/${id}`;
}
