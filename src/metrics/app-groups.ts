/** The values that the label `app` can have: never more than there is room for. */

import type { App } from "../app.ts";

/** Apps with a label of their own; a store of metrics keeps each for weeks. */
export const APPS_MAX = 5000;

/** What all others go by: no app has such a key. */
export const OTHER = "_other";

/** One value of the label, and the apps that it stands for: one, but for the last. */
export interface AppGroup {
  readonly label: string;
  readonly members: readonly App[];
}

/** @param apps as the table has them: an app that comes later takes nobody's label */
export function groupApps(apps: readonly App[], max = APPS_MAX): readonly AppGroup[] {
  const groups = apps.slice(0, max).map((app) => ({ label: app.key, members: [app] }));
  const others = apps.slice(max);
  return others.length === 0 ? groups : [...groups, { label: OTHER, members: others }];
}
