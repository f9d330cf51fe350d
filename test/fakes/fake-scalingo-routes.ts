/** The endpoints of the fake Scalingo. */

import type { CancelTimer } from "../../src/clock.ts";
import { type FakeAnswer, json } from "./fake-answer.ts";
import type { Call, Route } from "./fake-platform.ts";
import type { FakeRouter } from "./fake-router.ts";
import { type Access, exchange } from "./fake-scalingo-access.ts";
import {
  type Addresses,
  appJson,
  autoscalerJson,
  containerJson,
  deploymentJson,
  forbidden,
  formationJson,
  notFound,
  operationJson,
} from "./fake-scalingo-json.ts";
import type { ScalingoApp, World } from "./fake-scalingo-model.ts";
import { answerRestart } from "./fake-scalingo-restart.ts";
import { answerScale } from "./fake-scalingo-scale.ts";
import { checkQuery } from "./request-checks.ts";

/** What the platform leaves open, and what a test allows. */
export interface Answering {
  /** Scaling a type with an enabled autoscaler is no violation; default false. */
  readonly mayDisableAutoscalers?: boolean;
  /** To a busy app: 400 "no change" goes before 422 "is scaling"; default false. */
  readonly saysNoChangeFirst?: boolean;
  /** Without the fields that examples of the documents lack: `region`, `base_url`, an empty `error`, … Default false. */
  readonly isTerse?: boolean;
  /** Changes the `Location` of operations: to a relative one, or another origin. */
  readonly rewriteLocation?: (url: string) => string;
}

/** Everything that the fake knows. */
export interface State {
  readonly options: Answering;
  readonly regions: readonly string[];
  readonly restrictedRegions: readonly string[];
  readonly access: Access;
  readonly apps: Set<ScalingoApp>;
  readonly world: World;
  readonly timers: Set<CancelTimer>;
  scalesInFlightPeak: number;
}

/** The authentication API. */
export function authRoutes(state: State, apiPort: number): Route[] {
  return [
    {
      kind: "tokens.exchange",
      method: "POST",
      path: "/v1/tokens/exchange",
      answer: (call) => exchange(state.access, call),
    },
    {
      kind: "regions.list",
      method: "GET",
      path: "/v1/regions",
      answer(call) {
        checkQuery(call);
        return json({ regions: state.regions.map((name) => regionJson(name, apiPort)) });
      },
    },
  ];
}

function regionJson(name: string, apiPort: number): Record<string, unknown> {
  return {
    name,
    display_name: `Fake - ${name}`,
    api: apiUrlOf(name, apiPort),
    dashboard: `http://my.${name}.localhost`,
    database_api: `http://db-api.${name}.localhost`,
    ssh: `ssh.${name}.localhost:22`,
  };
}

/** The API of the regions. */
export function apiRoutes(state: State, router: FakeRouter): Route[] {
  const isTerse = state.options.isTerse ?? false;
  const addresses = (app: ScalingoApp) => addressesOf(app, router);
  return [
    {
      kind: "apps.list",
      method: "GET",
      path: "/v1/apps",
      answer(call) {
        checkQuery(call);
        const region = regionOf(state, call);
        const apps = [...state.apps].filter((app) => app.region === region);
        return json({ apps: apps.map((app) => appJson(app, addresses(app), isTerse)) });
      },
    },
    appRoute(state, "apps.read", "", (app) => ({ app: appJson(app, addresses(app), isTerse) })),
    appRoute(state, "formation.read", "/containers", formationJson),
    appRoute(state, "containers.read", "/ps", ({ containers }) => ({
      containers: containers.map(containerJson),
    })),
    appRoute(state, "domains.list", "/domains", ({ domains }) => ({
      domains: domains.map(({ id, name, canonical }) => ({ id, name, ssl: false, canonical })),
    })),
    appRoute(state, "autoscalers.list", "/autoscalers", (app) => ({
      autoscalers: app.autoscalers.map((one) => autoscalerJson(app, one, isTerse)),
    })),
    ...operationRoutes(state),
    {
      kind: "deployments.list",
      method: "GET",
      path: "/v1/apps/:app/deployments",
      answer(call) {
        checkQuery(call, ["page", "per_page"]);
        return withApp(state, call, (app) => deploymentsPage(call, app));
      },
    },
  ];
}

function operationRoutes(state: State): Route[] {
  const isTerse = state.options.isTerse ?? false;
  return [
    {
      kind: "operations.read",
      method: "GET",
      path: "/v1/apps/:app/operations/:operation",
      answer(call) {
        checkQuery(call);
        return withApp(state, call, (app) => {
          const operation = app.operations.get(call.params.operation ?? "");
          if (operation === undefined) return notFound("operation");
          return json({ operation: operationJson(operation, isTerse) });
        });
      },
    },
    {
      kind: "scale",
      method: "POST",
      path: "/v1/apps/:app/scale",
      answer(call) {
        checkQuery(call);
        return withApp(state, call, (app) => answerScaleCall(state, app, call));
      },
    },
    {
      kind: "restart",
      method: "POST",
      path: "/v1/apps/:app/restart",
      answer(call) {
        checkQuery(call);
        return withApp(state, call, (app) =>
          answerRestart(state.world, app, { call, locationOf: locationOf(state, app, call) }),
        );
      },
    },
  ];
}

/** A read of one thing of an app, without query. */
function appRoute(
  state: State,
  kind: string,
  below: string,
  bodyOf: (app: ScalingoApp) => unknown,
): Route {
  return {
    kind,
    method: "GET",
    path: `/v1/apps/:app${below}`,
    answer(call) {
      checkQuery(call);
      return withApp(state, call, (app) => json(bodyOf(app)));
    },
  };
}

function withApp(state: State, call: Call, answer: (app: ScalingoApp) => FakeAnswer): FakeAnswer {
  const app = findApp(state, regionOf(state, call), call.params.app ?? "");
  if (app === null) return notFound("app");
  return app.isForbidden ? forbidden() : answer(app);
}

function answerScaleCall(state: State, app: ScalingoApp, call: Call): FakeAnswer {
  const { mayDisableAutoscalers = false, saysNoChangeFirst = false } = state.options;
  const rules = {
    mayDisableAutoscalers,
    saysNoChangeFirst,
    locationOf: locationOf(state, app, call),
  };
  const answer = answerScale(state.world, app, { call, rules });
  state.scalesInFlightPeak = Math.max(state.scalesInFlightPeak, state.world.scalesInFlight());
  return answer;
}

/** What the `Location` of an operation of this app is. */
function locationOf(
  { options: { rewriteLocation = (url) => url } }: State,
  app: ScalingoApp,
  call: Call,
): (operationId: string) => string {
  const { origin } = new URL(call.url);
  return (id) => rewriteLocation(`${origin}/v1/apps/${app.name}/operations/${id}`);
}

function deploymentsPage(call: Call, app: ScalingoApp): FakeAnswer {
  const page = wholeNumber(call, "page", 1);
  const perPage = wholeNumber(call, "per_page", 20);
  const total = app.deployments.length;
  const pages = Math.max(1, Math.ceil(total / perPage));
  const shown = app.deployments.slice((page - 1) * perPage, page * perPage);
  return json({
    deployments: shown.map((deployment) => deploymentJson(app, deployment)),
    meta: {
      pagination: {
        current_page: page,
        prev_page: page > 1 ? page - 1 : null,
        next_page: page < pages ? page + 1 : null,
        total_pages: pages,
        total_count: total,
      },
    },
  });
}

function wholeNumber(call: Call, name: string, otherwise: number): number {
  const text = call.query.get(name);
  if (text === null) return otherwise;
  if (/^[1-9]\d{0,2}$/.test(text)) return Number(text);
  call.violation(`${name} must be a number from 1: "${text}"`);
  return otherwise;
}

/** By id or name; `null`: the region has none such. */
export function findApp(state: State, region: string, idOrName: string): ScalingoApp | null {
  for (const app of state.apps) {
    if (app.region === region && (app.id === idOrName || app.name === idOrName)) return app;
  }
  return null;
}

/** The API of a region, when all of them listen on this port. */
export function apiUrlOf(region: string, port: number): string {
  return `http://api.${region}.localhost:${port}`;
}

/** Of the host that was called: `api.<region>.localhost`, or a bare address for the first region. */
export function regionOf(state: State, { host }: Call): string {
  const [, region] = /^api\.(.+)\.localhost$/.exec(host) ?? [];
  return region ?? state.regions[0] ?? "";
}

/** How the app is called from outside. */
export function addressesOf(app: ScalingoApp, router: FakeRouter): Addresses {
  const baseUrl = router.addressOf(`${app.name}.${app.region}`);
  const canonical = app.domains.find((domain) => domain.canonical);
  const url = canonical === undefined ? baseUrl : `http://${canonical.name}:${router.port}`;
  return { baseUrl, url };
}
