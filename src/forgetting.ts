/** Forgets what is known of apps, on request, as far as it can be found again. */

import type { Activity } from "./activity.ts";
import type { App } from "./app.ts";
import type { AppTable } from "./app-table.ts";
import type { Cause, EventBus } from "./events.ts";
import type { Registry } from "./registry/registry.ts";

/** Who was forgotten, until a list has them again. */
export interface Forgetting {
  /**
   * Forgets apps that are awake, those of platforms that cannot be asked at the moment excepted: their stored record and
   * when they were last used. Their idle clocks start anew, and the next list finds them anew. Requests go on: they stay
   * in the table meanwhile, with their targets and switches.
   *
   * All others stay as they are: what is asleep, failed or in between may need its snapshot to come back as it was.
   * Events are what has happened, and stay as well. Safe to repeat.
   * @throws Error when the registry cannot be written: what was reached until then is forgotten
   */
  forget(cause: Cause): Promise<void>;
  /** Why the app was forgotten, once: it is found anew. `null`: it was not. */
  takeBack(app: App): Cause | null;
}

/** What forgetting needs from outside. */
export interface ForgettingDeps {
  readonly table: AppTable;
  readonly activity: Activity;
  readonly registry: Registry;
  readonly events: EventBus;
  /** Whether its platform would tell of the app if it were asked now, as far as we know. */
  readonly canBeFound: (app: App) => boolean;
  /** Stores what is known of an app. */
  readonly save: (app: App) => Promise<void>;
}

/** Nobody was forgotten yet. */
export function createForgetting(deps: ForgettingDeps): Forgetting {
  const forgotten = new WeakMap<App, Cause>();
  const mayForget = (app: App) =>
    app.state.kind === "awake" && deps.canBeFound(app) && !forgotten.has(app);
  return {
    async forget(cause) {
      for (const app of deps.table.known().filter(mayForget)) {
        await deps.registry.remove(app.ref);
        if (deps.table.byRef(app.ref) !== app) continue;
        // What began to go to sleep meanwhile has stored its snapshot already.
        if (!mayForget(app)) {
          await deps.save(app);
          continue;
        }
        forgotten.set(app, cause);
        deps.activity.forget(app);
        if (app.policy.ignored) continue;
        deps.events.emit({ name: "APP_UNREGISTERED", app: app.key, ref: app.ref, cause });
      }
    },
    takeBack(app) {
      const cause = forgotten.get(app) ?? null;
      forgotten.delete(app);
      return cause;
    },
  };
}
