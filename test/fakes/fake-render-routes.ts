/** The endpoints of the fake Render. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type { Call, Route } from "./fake-platform.ts";
import type { Access } from "./fake-render-access.ts";
import { deployJson, domainJson, refused, serviceJson } from "./fake-render-json.ts";
import { isUnderWay, resume, type Service, suspend, type World } from "./fake-render-model.ts";
import type { FakeRouter } from "./fake-router.ts";
import { checkNoBody, checkQuery } from "./request-checks.ts";

/** What the platform leaves open. */
export interface RenderRules {
  /** Longest page, whatever is asked for. */
  readonly pageMax: number;
  /** A suspend of what is suspended, or a resume of what is not: 202 or 400. */
  readonly repeats: "accepted" | "refused";
  /** So long after a suspend a resume is refused with 400; ms. */
  readonly resumeRefusedMs: number;
}

/** Everything that the fake knows. */
export interface State {
  readonly rules: RenderRules;
  readonly access: Access;
  readonly services: Set<Service>;
  readonly world: World;
}

/** Filters and pages of the list. */
const LIST_QUERY = ["type", "limit", "cursor", "includePreviews", "suspended", "ownerId"];
const PAGE_USUAL = 20;
/** No document says more. */
const LIMIT_MAX = 100;

/** All of them. */
export function renderRoutes(state: State, router: FakeRouter): Route[] {
  const toJson = (service: Service) => serviceJson(service, addressOf(service, router));
  return [
    {
      kind: "services.list",
      method: "GET",
      path: "/v1/services",
      answer(call) {
        checkQuery(call, LIST_QUERY);
        const services = [...state.services].filter((service) => isAskedFor(call, service));
        return page(state, call, services, (service) => ({ service: toJson(service) }));
      },
    },
    serviceRoute(state, "services.read", "", (call, service) => {
      checkQuery(call);
      return json(toJson(service));
    }),
    serviceRoute(state, "deploys.list", "/deploys", (call, { deploys }) => {
      checkQuery(call, ["limit", "cursor", "status"]);
      return page(state, call, deploys, (deploy) => ({ deploy: deployJson(deploy) }));
    }),
    serviceRoute(state, "domains.list", "/custom-domains", (call, service) => {
      checkQuery(call, ["limit", "cursor", "verificationStatus"]);
      return page(state, call, service.domains, (domain) => ({
        customDomain: domainJson(service, domain),
      }));
    }),
    changeRoute(state, "suspend", answerSuspend),
    changeRoute(state, "resume", answerResume),
  ];
}

function isAskedFor({ query }: Call, { type, parent }: Service): boolean {
  const wanted = query.get("type");
  if (wanted !== null && wanted !== type) return false;
  return parent === null || query.get("includePreviews") !== "false";
}

/** `null`: its name on Render is switched off. */
function addressOf(service: Service, router: FakeRouter): string | null {
  return service.hasRenderSubdomain ? router.addressOf(service.slug) : null;
}

interface WithId {
  readonly id: string;
}

/** The cursor of an element stands for its place: the next page begins behind it. */
function page<T extends WithId>(
  { rules }: State,
  call: Call,
  all: readonly T[],
  toJson: (one: T) => Record<string, unknown>,
): FakeAnswer {
  const limit = limitOf(call);
  const cursor = call.query.get("cursor");
  const before = cursor === null ? -1 : all.findIndex((one) => cursorOf(one) === cursor);
  if (cursor !== null && before < 0) call.violation(`the cursor ${cursor} is none`);
  const shown = all.slice(before + 1, before + 1 + Math.min(limit, rules.pageMax));
  return json(shown.map((one) => ({ ...toJson(one), cursor: cursorOf(one) })));
}

function limitOf(call: Call): number {
  const text = call.query.get("limit");
  if (text === null) return PAGE_USUAL;
  const limit = Number(text);
  if (!/^[1-9]\d*$/.test(text) || limit > LIMIT_MAX) call.violation(`limit=${text}`);
  return Math.min(limit || PAGE_USUAL, LIMIT_MAX);
}

function cursorOf({ id }: WithId): string {
  return btoa(`at ${id}`);
}

function serviceRoute(
  state: State,
  kind: string,
  below: string,
  answer: (call: Call, service: Service) => FakeAnswer,
): Route {
  return {
    kind,
    method: "GET",
    path: `/v1/services/:service${below}`,
    answer: (call) => withService(state, call, (service) => answer(call, service)),
  };
}

function changeRoute(
  state: State,
  kind: "suspend" | "resume",
  answer: (state: State, call: Call, service: Service) => FakeAnswer,
): Route {
  return {
    kind,
    method: "POST",
    path: `/v1/services/:service/${kind}`,
    answer(call) {
      checkQuery(call);
      checkNoBody(call);
      return withService(state, call, (service) => answer(state, call, service));
    },
  };
}

function withService(
  { services }: State,
  call: Call,
  answer: (service: Service) => FakeAnswer,
): FakeAnswer {
  for (const service of services) if (service.id === call.params.service) return answer(service);
  return refused(404, `not found: ${call.params.service}`);
}

function answerSuspend({ world, rules }: State, call: Call, service: Service): FakeAnswer {
  if (service.plan === "free") call.violation("Render stops free services by itself");
  if (service.deploys[0] !== undefined && isUnderWay(service.deploys[0])) {
    call.violation("it is being deployed: a suspend cancels that");
  }
  if (service.suspenders.size > 0 && rules.repeats === "refused") {
    return refused(400, "service is already suspended");
  }
  suspend(world, service, "user");
  return { status: 202 };
}

function answerResume({ world, rules }: State, call: Call, service: Service): FakeAnswer {
  const others = [...service.suspenders].filter((who) => who !== "user");
  if (others.length > 0) {
    call.violation(`a resume does not end a suspension by ${others.join(", ")}`);
    return refused(400, "service cannot be resumed");
  }
  if (service.suspenders.size === 0) {
    call.violation("it is not suspended: that would deploy it once more");
    if (rules.repeats === "refused") return refused(400, "service is not suspended");
  }
  if (call.atMs - service.suspendedAtMs < rules.resumeRefusedMs) {
    return refused(400, "service is still being suspended");
  }
  resume(world, service);
  return { status: 202 };
}
