/** Wakes apps ahead of their windows of `keep_awake`, so that they are warm when these open, and those that an operator ordered awake. */

import type { App } from "./app.ts";
import { decideWarmAhead, type ScheduleAt, type WarmedBefore } from "./app-schedule.ts";
import type { Clock } from "./clock.ts";
import type { Cause } from "./events.ts";
import type { Lifecycle } from "./lifecycle.ts";

/** How often apps are looked at, ms. */
const LOOK_EVERY_MS = 5000;
/** Wakes by the clock that are under way at once: windows of many apps open at the same time. */
const AT_ONCE_MAX = 5;

/** Everything it needs from outside. */
export interface WarmAheadDeps {
  readonly clock: Clock;
  readonly apps: () => readonly App[];
  readonly lifecycle: Pick<Lifecycle, "wake">;
  readonly scheduleAt: ScheduleAt;
  /** Why this instance leaves an app to others; `null`: it does not. */
  readonly whyNotOurs: (app: App) => string | null;
}

interface Context extends WarmAheadDeps {
  readonly before: WeakMap<App, WarmedBefore>;
  readonly underWay: Set<App>;
}

/** Looks at the apps now and then, until the returned function is called. */
export function warmAhead(deps: WarmAheadDeps): () => void {
  const context: Context = { ...deps, before: new WeakMap(), underWay: new Set() };
  let cancel = plan();
  function plan() {
    return deps.clock.after(LOOK_EVERY_MS, () => {
      cancel = plan();
      for (const app of deps.apps()) look(context, app);
    });
  }
  return () => cancel();
}

function look(context: Context, app: App): void {
  const { clock, before, underWay, scheduleAt } = context;
  if ((app.policy.keepAwake === null && app.keepAwake === null) || underWay.has(app)) return;
  const facts = { nowMs: clock.now(), wallMs: clock.wallMs(), scheduleAt };
  const known = before.get(app) ?? null;
  const decision = decideWarmAhead(app, facts, known);
  if (decision.kind === "nothing") return;
  const { windowMs } = decision;
  if (decision.kind === "done") {
    before.set(app, { windowMs, isDone: true, tries: 0 });
    return;
  }
  if (underWay.size >= AT_ONCE_MAX || context.whyNotOurs(app) !== null) return;
  const tries = known?.windowMs === windowMs ? known.tries : 0;
  before.set(app, { windowMs, isDone: false, tries: tries + 1 });
  void wake(context, app, { kind: "sweep", detail: decision.why });
}

/** A wake never rejects; one that fails is looked at again with the rest. */
async function wake({ lifecycle, underWay }: Context, app: App, cause: Cause): Promise<void> {
  underWay.add(app);
  await lifecycle.wake(app, cause);
  underWay.delete(app);
}
