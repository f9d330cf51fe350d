/** Answers that may be the platform's rather than the app's: whether the app is up is asked, and seldom. */

import type { App, AppState } from "./app.ts";
import { type Clock, deadline } from "./clock.ts";
import type { Admission, Decision, Held } from "./engines/engine.ts";
import { messageOf } from "./errors.ts";
import type { Log } from "./log.ts";
import type { Phase, Provider } from "./providers/provider.ts";

/** Looks at apps whose answers are in doubt. */
export interface Doubts {
  /**
   * @returns `null`: the answer is the app's, or the app was looked at lately. Otherwise whether its platform says that
   *   it is not up; never rejects, and takes five seconds at most
   */
  look(app: App, status: number): Promise<boolean> | null;
}

/** What looking needs from outside. */
export interface DoubtsDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly providerOf: (app: App) => Provider;
}

/** Longest that a look may take, ms: a request waits for it. */
const LOOK_MS = 5_000;
/** Between two looks at one app, ms; doubles as long as it is up, whose answers are its own then. */
const GAP_FIRST_MS = 5_000;
const GAP_LAST_MS = 30_000;

/** A platform that says so of an app does not send requests to it. */
const NOT_UP: ReadonlySet<Phase> = new Set<Phase>(["asleep", "failed", "stopping", "waking"]);

interface Doubt {
  /** One that was woken anew is looked at at once. */
  readonly since: AppState;
  /** `null` when it is over. */
  looking: Promise<boolean> | null;
  gapMs: number;
  nextMs: number;
}

/** Nothing was looked at yet. */
export function createDoubts(deps: DoubtsDeps): Doubts {
  const { clock, providerOf } = deps;
  const doubts = new WeakMap<App, Doubt>();
  return {
    look(app, status) {
      if (providerOf(app).mayBeDownAnswer?.(status) !== true) return null;
      const known = doubts.get(app);
      const doubt =
        known?.since === app.state
          ? known
          : { since: app.state, looking: null, gapMs: GAP_FIRST_MS, nextMs: 0 };
      doubts.set(app, doubt);
      if (doubt.looking !== null || clock.now() < doubt.nextMs) return doubt.looking;
      doubt.looking = isNotUp(deps, app).finally(() => {
        doubt.looking = null;
        doubt.nextMs = clock.now() + doubt.gapMs;
        doubt.gapMs = Math.min(GAP_LAST_MS, doubt.gapMs * 2);
      });
      return doubt.looking;
    },
  };
}

async function isNotUp({ clock, log, providerOf }: DoubtsDeps, app: App): Promise<boolean> {
  const limit = deadline(clock, LOOK_MS, { reason: new Error("its platform took too long") });
  try {
    const { phase } = await providerOf(app).observe(app.ref.id, limit.signal, true);
    return NOT_UP.has(phase);
  } catch (error) {
    // What is known to be up stays so while nobody can say otherwise.
    log.debug({ app: app.key, reason: messageOf(error) }, "could not be observed");
    return false;
  } finally {
    limit.end();
  }
}

/** What a request does that waits for a look. */
export interface Waiting {
  /** The look is over. */
  readonly admit: () => Admission;
  /** Its client has left: gives its lease back. */
  readonly leave: () => void;
}

/** Keeps a request until `looking` is over, which never rejects. */
export function afterwards(looking: Promise<void>, { admit, leave }: Waiting): Held {
  const { promise, resolve } = Promise.withResolvers<Decision>();
  let settled: Admission | "open" | "abandoned" = "open";
  void looking.then(() => {
    if (settled !== "open") return;
    settled = admit();
    // It may have to wait once more, for its app to wake.
    resolve(settled.kind === "held" ? settled.decision : settled);
  });
  return {
    kind: "held",
    decision: promise,
    abandon() {
      if (settled === "open" || (settled !== "abandoned" && settled.kind === "forward")) leave();
      else if (settled !== "abandoned" && settled.kind === "held") settled.abandon();
      settled = "abandoned";
    },
  };
}
