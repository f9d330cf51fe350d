/** The endpoints of the fake Clever Cloud: API v2, and the orchestration of v4. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import {
  appJson,
  deploymentJson,
  deploymentV4Json,
  forbidden,
  instanceJson,
  instanceV4Json,
  noFavourite,
  notFound,
  organisationJson,
  summaryAppJson,
  type User,
} from "./fake-clever-cloud-json.ts";
import type { CleverApp, Deployment, Organisation, World } from "./fake-clever-cloud-model.ts";
import {
  answerCancel,
  answerStart,
  answerStop,
  type Order,
  type Ordering,
} from "./fake-clever-cloud-orders.ts";
import type { Call, Route } from "./fake-platform.ts";
import { checkNoBody, checkQuery } from "./request-checks.ts";

/** Everything that the fake knows. */
export interface State {
  readonly rules: Ordering;
  readonly user: User;
  readonly organisations: Set<Organisation>;
  readonly apps: Set<CleverApp>;
  readonly world: World;
  /** `fqdn` of a vhost: with the port that leads to the fake's router. */
  readonly vhostOf: (vhost: string) => string;
}

/** Owners of apps, as paths of v2 name them. */
const V2_OWNERS = ["/v2/self", "/v2/organisations/:owner"];
const V4_OWNER = "/v4/orchestration/organisations/:owner";
const APP = "/applications/:app";

/** The same at the API and at the bridge. */
export function cleverRoutes(state: State): Route[] {
  const summary: Route = {
    kind: "summary",
    method: "GET",
    path: "/v2/summary",
    answer(call) {
      checkPlain(call);
      return json(summaryJson(state));
    },
  };
  return [summary, ...V2_OWNERS.flatMap((owner) => v2Routes(state, owner)), ...v4Routes(state)];
}

function v2Routes(state: State, owner: string): Route[] {
  const { user } = state;
  const app = `${owner}${APP}`;
  const read = (kind: string, below: string, bodyOf: (app: CleverApp) => unknown): Route => ({
    kind,
    method: "GET",
    path: `${app}${below}`,
    answer(call) {
      checkPlain(call);
      return withApp(state, call, (found) => json(bodyOf(found)));
    },
  });
  return [
    appsRoute(state, owner),
    read("apps.read", "", (found) => appJson(found, state.vhostOf)),
    read("instances.list", "/instances", (found) =>
      found.instances.filter(isThere).map((instance) => instanceJson(found, instance)),
    ),
    read("vhosts.list", "/vhosts", ({ vhosts }) => vhosts.map((one) => fqdn(state, one))),
    {
      kind: "vhosts.favourite",
      method: "GET",
      path: `${app}/vhosts/favourite`,
      answer(call) {
        checkPlain(call);
        return withApp(state, call, ({ favourite }) =>
          favourite === null ? noFavourite(call.path) : json(fqdn(state, favourite)),
        );
      },
    },
    {
      kind: "deployments.list",
      method: "GET",
      path: `${app}/deployments`,
      answer(call) {
        checkQuery(call, ["limit"]);
        checkNoBody(call);
        const count = limitOf(call, Number.POSITIVE_INFINITY);
        return withApp(state, call, (found) =>
          json(
            begun(found)
              .slice(0, count)
              .map((one) => deploymentJson(one, user)),
          ),
        );
      },
    },
    {
      kind: "deployments.read",
      method: "GET",
      path: `${app}/deployments/:deployment`,
      answer(call) {
        checkPlain(call);
        return withDeployment(state, call, (_, found) => json(deploymentJson(found, user)));
      },
    },
    ...orderRoutes(state, app),
  ];
}

function appsRoute(state: State, owner: string): Route {
  return {
    kind: "apps.list",
    method: "GET",
    path: `${owner}/applications`,
    answer(call) {
      checkPlain(call);
      return withOwner(state, call, (ownerId) =>
        json(appsOf(state, ownerId).map((app) => appJson(app, state.vhostOf))),
      );
    },
  };
}

function orderRoutes(state: State, app: string): Route[] {
  const order = (answer: (order: Order) => FakeAnswer) => (call: Call) => {
    const { world, rules } = state;
    return withApp(state, call, (found) =>
      found.forbidden === "writes"
        ? forbidden(call.path)
        : answer({ world, rules, call, app: found }),
    );
  };
  const instances = `${app}/instances`;
  return [
    { kind: "start", method: "POST", path: instances, answer: order(answerStart) },
    { kind: "stop", method: "DELETE", path: instances, answer: order(answerStop) },
    {
      kind: "deployments.cancel",
      method: "DELETE",
      path: `${app}/deployments/:deployment/instances`,
      answer: order(answerCancel),
    },
  ];
}

function v4Routes(state: State): Route[] {
  const { user } = state;
  const app = `${V4_OWNER}${APP}`;
  return [
    {
      kind: "v4.deployments.list",
      method: "GET",
      path: `${app}/deployments`,
      answer(call) {
        checkQuery(call, ["since", "until", "limit", "order"]);
        checkNoBody(call);
        return withApp(state, call, (found) => {
          const known = found.deployments.filter((one) => isKnown(state, one));
          return json(pageV4(call, known).map((one) => deploymentV4Json(found, one, user)));
        });
      },
    },
    {
      kind: "v4.deployments.read",
      method: "GET",
      path: `${app}/deployments/:deployment`,
      answer(call) {
        checkQuery(call, ["includeApplicationConfiguration"]);
        checkNoBody(call);
        return withDeployment(state, call, (found, one) =>
          isKnown(state, one)
            ? json(deploymentV4Json(found, one, user))
            : notFound(call.path, "deployment"),
        );
      },
    },
    {
      kind: "v4.instances.list",
      method: "GET",
      path: `${app}/instances`,
      answer(call) {
        checkInstancesQuery(call);
        return withApp(state, call, (found) => {
          const newestFirst = found.instances.toReversed().filter((one) => isWanted(call, one));
          return json(pageV4(call, newestFirst).map((one) => instanceV4Json(found, one)));
        });
      },
    },
  ];
}

function summaryJson({ user, organisations, apps }: State): Record<string, unknown> {
  const of = (ownerId: string) => [...apps].filter((app) => app.ownerId === ownerId);
  return {
    user: { id: user.id, name: user.name, applications: of(user.id).map(summaryAppJson) },
    organisations: [...organisations]
      .filter(({ isHidden }) => !isHidden)
      .map((organisation) => organisationJson(organisation, of(organisation.id))),
  };
}

function fqdn(state: State, vhost: string): Record<string, unknown> {
  return { fqdn: state.vhostOf(vhost) };
}

function checkPlain(call: Call): void {
  checkQuery(call);
  checkNoBody(call);
}

function checkInstancesQuery(call: Call): void {
  const repeatable = ["includeState", "excludeState"];
  const once = ["since", "until", "deploymentId", "limit", "order"];
  for (const name of new Set(call.query.keys())) {
    if (![...repeatable, ...once].includes(name))
      call.violation(`unknown query parameter "${name}"`);
    if (once.includes(name) && call.query.getAll(name).length > 1) {
      call.violation(`query parameter "${name}" more than once`);
    }
  }
  checkNoBody(call);
}

function isWanted(
  { query }: Call,
  { state, deploymentId }: CleverApp["instances"][number],
): boolean {
  const included = query.getAll("includeState");
  const wanted = query.get("deploymentId");
  return (
    (included.length === 0 || included.includes(state)) &&
    !query.getAll("excludeState").includes(state) &&
    (wanted === null || wanted === deploymentId)
  );
}

/** Without `order=DESC` the oldest come first. */
function pageV4<T>(call: Call, newestFirst: readonly T[]): T[] {
  const order = call.query.get("order") ?? "ASC";
  if (order !== "ASC" && order !== "DESC") call.violation(`order must be ASC or DESC: "${order}"`);
  const sorted = order === "DESC" ? [...newestFirst] : newestFirst.toReversed();
  return sorted.slice(0, limitOf(call, 100));
}

function limitOf(call: Call, otherwise: number): number {
  const text = call.query.get("limit");
  if (text === null) return otherwise;
  if (/^[1-9]\d{0,2}$|^1000$/.test(text)) return Number(text);
  call.violation(`limit must be a number from 1 to 1000: "${text}"`);
  return otherwise;
}

function isThere({ state }: CleverApp["instances"][number]): boolean {
  return state !== "DELETED";
}

/** What v2 lists: a deployment that is only queued is not there yet. */
function begun(app: CleverApp): Deployment[] {
  return app.deployments.filter(({ state }) => state !== "QUEUED");
}

function isKnown({ world }: State, { knownFromMs }: Deployment): boolean {
  return knownFromMs <= world.clock.now();
}

/** Whom the path means: `/v2/self` is the user. */
function withOwner(state: State, call: Call, answer: (ownerId: string) => FakeAnswer): FakeAnswer {
  const ownerId = call.params.owner ?? state.user.id;
  if (ownerId === state.user.id) return answer(ownerId);
  const organisation = [...state.organisations].find(({ id }) => id === ownerId);
  if (organisation === undefined) return notFound(call.path, "organisation");
  return isHidden(state, ownerId) ? forbidden(call.path) : answer(ownerId);
}

function isHidden({ organisations }: State, ownerId: string): boolean {
  return [...organisations].some((one) => one.id === ownerId && one.isHidden);
}

/**
 * `/v2/self/applications/:app` alone finds apps of organisations as well; what is below it does
 * not.
 */
function withApp(state: State, call: Call, answer: (app: CleverApp) => FakeAnswer): FakeAnswer {
  return withOwner(state, call, (ownerId) => {
    const app = [...state.apps].find(({ id }) => id === call.params.app);
    const isEverywhere = call.params.owner === undefined && call.kind === "apps.read";
    if (app === undefined || (app.ownerId !== ownerId && !isEverywhere)) {
      return notFound(call.path, "application");
    }
    const isForbidden = app.forbidden === "all" || isHidden(state, app.ownerId);
    return isForbidden ? forbidden(call.path) : answer(app);
  });
}

function withDeployment(
  state: State,
  call: Call,
  answer: (app: CleverApp, deployment: Deployment) => FakeAnswer,
): FakeAnswer {
  return withApp(state, call, (app) => {
    const wanted = call.params.deployment;
    const isV4 = call.path.startsWith("/v4/");
    const known = isV4 ? app.deployments : begun(app);
    const deployment = known.find(({ uuid }) => uuid === wanted);
    return deployment === undefined ? notFound(call.path, "deployment") : answer(app, deployment);
  });
}

function appsOf(state: State, ownerId: string): CleverApp[] {
  return [...state.apps].filter((app) => app.ownerId === ownerId);
}
