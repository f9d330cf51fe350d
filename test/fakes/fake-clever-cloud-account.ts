/**
 * Who owns what on the fake Clever Cloud: organisations, new apps, and which app a host leads to.
 */

import { putDown, putUp } from "./fake-clever-cloud-app.ts";
import type { CleverApp, Organisation } from "./fake-clever-cloud-model.ts";
import type { State } from "./fake-clever-cloud-routes.ts";

export interface NewApp {
  /** Id of an organisation, or of the user: a personal app. Default the first organisation. */
  readonly ownerId?: string;
  /**
   * - `up` (default), `down`: deployed, and at rest
   * - `never-deployed`: `SHOULD_BE_DOWN`, and cannot be started
   */
  readonly is?: "up" | "down" | "never-deployed";
  /** Default 1. */
  readonly minInstances?: number;
  /** Default one more. */
  readonly maxInstances?: number;
  /** The old instances go before the new ones come; default false. */
  readonly homogeneous?: boolean;
  /** Default `REGULAR`. */
  readonly lifetime?: "REGULAR" | "TASK";
  /** Default the app's own of `cleverapps.localhost`. */
  readonly vhosts?: readonly string[];
}

/** @returns its id */
export function addOrganisation({ organisations, world }: State, name: string): string {
  const organisation: Organisation = {
    id: `orga_${world.nextUuid()}`,
    name,
    role: "DEVELOPER",
    isHidden: false,
  };
  organisations.add(organisation);
  return organisation.id;
}

/** @throws when there is no such owner */
export function addApp(
  { apps, world, organisations, user }: State,
  name: string,
  newApp: NewApp & { readonly ownerId: string },
): CleverApp {
  const { ownerId, is = "up", minInstances = 1 } = newApp;
  const isOwner = ownerId === user.id || [...organisations].some(({ id }) => id === ownerId);
  if (!isOwner) throw new Error(`there is no owner ${ownerId}`);
  const id = `app_${world.nextUuid()}`;
  const app: CleverApp = {
    id,
    name,
    ownerId,
    createdAtMs: world.clock.now(),
    homogeneous: newApp.homogeneous ?? false,
    lifetime: newApp.lifetime ?? "REGULAR",
    minInstances,
    maxInstances: newApp.maxInstances ?? minInstances + 1,
    deployments: [],
    vhosts: [...(newApp.vhosts ?? [`${id.replaceAll("_", "-")}.cleverapps.localhost/`])],
    favourite: null,
    instances: [],
    state: "SHOULD_BE_DOWN",
    shownState: null,
    isArchived: false,
    isDeployed: false,
    isStopping: false,
    lostStartAtMs: null,
    nextStarts: [],
    startMs: null,
    endHang: null,
    forbidden: null,
  };
  apps.add(app);
  if (is === "up") putUp(world, app);
  else if (is === "down") putDown(world, app);
  return app;
}

/**
 * Whose host this is; `*.` counts where nobody has it exactly. Paths are not looked at. `null`:
 * nobody's.
 */
export function appOfHost(apps: Iterable<CleverApp>, host: string): CleverApp | null {
  const all = [...apps];
  const found =
    all.find(({ vhosts }) => vhosts.some((vhost) => hostOf(vhost) === host)) ??
    all.find(({ vhosts }) => vhosts.some((vhost) => isBelow(hostOf(vhost), host)));
  return found ?? null;
}

function isBelow(named: string, host: string): boolean {
  return named.startsWith("*.") && host.endsWith(named.slice(1));
}

/** Without its path. */
export function hostOf(vhost: string): string {
  return vhost.replace(/\/.*$/, "").toLowerCase();
}
