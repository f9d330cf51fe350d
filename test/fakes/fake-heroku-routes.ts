/** The endpoints of the fake Heroku. */

import type { CancelTimer } from "../../src/clock.ts";
import { type FakeAnswer, json } from "./fake-answer.ts";
import { type Access, remaining } from "./fake-heroku-access.ts";
import { answerScale, type ScaleRules } from "./fake-heroku-formation.ts";
import {
  accountJson,
  appJson,
  buildJson,
  dateOf,
  domainJson,
  dynoJson,
  formationJson,
  notFound,
  refused,
  releaseJson,
  teamIdOf,
  uuidOf,
} from "./fake-heroku-json.ts";
import type { HerokuApp, World } from "./fake-heroku-model.ts";
import { answerRange, type SortFields } from "./fake-heroku-range.ts";
import { currentRelease } from "./fake-heroku-release.ts";
import type { JournalEntry } from "./fake-journal.ts";
import type { Call, Route } from "./fake-platform.ts";
import type { FakeRouter } from "./fake-router.ts";
import { checkQuery } from "./request-checks.ts";

/** Everything that the fake knows. */
export interface State {
  readonly rules: ScaleRules;
  /** Two reads of one app's dynos that are closer than this are a violation. */
  readonly dynosPollMinMs: number;
  readonly access: Access;
  readonly apps: Set<HerokuApp>;
  readonly answers: Map<HerokuApp, FakeAnswer>;
  readonly world: World;
  readonly timers: Set<CancelTimer>;
  /** The read of an app's dynos before this one, unless the app was scaled since. */
  readonly lastReads: Map<HerokuApp, JournalEntry>;
  /** The journal's entry for the call that is being answered. */
  readonly entryOfNow: () => JournalEntry | undefined;
}

const APP_FIELDS: SortFields<HerokuApp> = {
  id: ({ id }) => id,
  name: ({ name }) => name,
  updated_at: ({ updatedAtMs }) => dateOf(updatedAtMs),
};

interface Dated {
  readonly id: string;
  readonly createdAtMs: number;
}
const BY_ID: SortFields<Dated> = { id: ({ id }) => id };
const BY_ID_OR_DATE: SortFields<Dated> = {
  ...BY_ID,
  created_at: ({ createdAtMs }) => dateOf(createdAtMs),
};

/** All of them. */
export function herokuRoutes(state: State, router: FakeRouter): Route[] {
  const webUrlOf = ({ label }: HerokuApp) =>
    label === null ? null : `${router.addressOf(label)}/`;
  const toJson = (app: HerokuApp) => appJson(app, webUrlOf(app));
  return [
    listRoute("apps.list", "/apps", (call) =>
      answerRange(call, [...state.apps], { fields: APP_FIELDS, toJson }),
    ),
    listRoute("teams.apps", "/teams/:team/apps", (call) => {
      const isMeant = (team: string) => [team, teamIdOf(team)].includes(call.params.team ?? "");
      const apps = [...state.apps].filter(({ team }) => team !== null && isMeant(team));
      if (apps.length === 0) return notFound("that team");
      return answerRange(call, apps, { fields: APP_FIELDS, toJson });
    }),
    appRoute(state, "apps.read", "", (_, app) => json(toJson(app))),
    ...appRoutes(state, router),
    listRoute("account.read", "/account", () => json(accountJson())),
    listRoute("limits.read", "/account/rate-limits", (call) =>
      json({ remaining: remaining(state.access, call.atMs) }),
    ),
  ];
}

function appRoutes(state: State, router: FakeRouter): Route[] {
  return [
    appRoute(state, "formation.read", "/formation", (call, app) => {
      const toJson = (entry: Parameters<typeof formationJson>[1]) => formationJson(app, entry);
      return answerRange(call, [...app.processTypes.values()], { fields: BY_ID, toJson });
    }),
    {
      kind: "scale",
      method: "PATCH",
      path: "/apps/:app/formation",
      answer(call) {
        checkQuery(call);
        return withApp(state, call, (app) => {
          state.lastReads.delete(app);
          return answerScale(state.world, app, { call, rules: state.rules });
        });
      },
    },
    appRoute(state, "dynos.list", "/dynos", (call, app) => {
      notePace(state, call, app);
      const toJson = (dyno: Parameters<typeof dynoJson>[1]) => dynoJson(app, dyno);
      return answerRange(call, app.dynos, { fields: BY_ID, toJson });
    }),
    appRoute(state, "builds.list", "/builds", (call, app) => {
      const toJson = (build: Parameters<typeof buildJson>[1]) => buildJson(app, build);
      return answerRange(call, app.builds, { fields: BY_ID_OR_DATE, toJson });
    }),
    appRoute(state, "releases.list", "/releases", answerReleases),
    appRoute(state, "domains.list", "/domains", (call, app) => answerDomains(call, app, router)),
  ];
}

function answerReleases(call: Call, app: HerokuApp): FakeAnswer {
  const current = currentRelease(app);
  return answerRange(call, app.releases, {
    fields: { id: ({ id }) => id, version: ({ version }) => String(version) },
    toJson: (release) => releaseJson(app, release, current),
  });
}

function answerDomains(call: Call, app: HerokuApp, router: FakeRouter): FakeAnswer {
  const { label, domains } = app;
  const own = label === null ? [] : [{ id: uuidOf(label), hostname: router.hostOf(label) }];
  const all = [
    ...own.map((domain) => ({ ...domain, kind: "heroku" as const })),
    ...domains.map((domain) => ({ ...domain, kind: "custom" as const })),
  ];
  return answerRange(call, all, {
    fields: { id: ({ id }) => id, hostname: ({ hostname }) => hostname },
    toJson: (domain) => domainJson(app, domain),
  });
}

/** A read that came to nothing may be repeated at once. */
function notePace(state: State, call: Call, app: HerokuApp): void {
  const last = state.lastReads.get(app);
  const hasAnswer = last !== undefined && last.status !== null && last.status < 400;
  if (hasAnswer && call.atMs - last.atMs < state.dynosPollMinMs) {
    call.violation(`again after ${call.atMs - last.atMs} ms, not ${state.dynosPollMinMs}`);
  }
  const entry = state.entryOfNow();
  if (entry !== undefined) state.lastReads.set(app, entry);
}

function listRoute(kind: string, path: string, answer: (call: Call) => FakeAnswer): Route {
  return {
    kind,
    method: "GET",
    path,
    answer(call) {
      checkQuery(call);
      return answer(call);
    },
  };
}

function appRoute(
  state: State,
  kind: string,
  below: string,
  answer: (call: Call, app: HerokuApp) => FakeAnswer,
): Route {
  return listRoute(kind, `/apps/:app${below}`, (call) =>
    withApp(state, call, (app) => answer(call, app)),
  );
}

function withApp(state: State, call: Call, answer: (app: HerokuApp) => FakeAnswer): FakeAnswer {
  const app = findApp(state, call.params.app ?? "");
  if (app === null) return notFound("that app");
  return app.refusal?.calls === "all" ? refused(app.refusal.id) : answer(app);
}

/** `null`: there is none such. */
export function findApp(state: State, idOrName: string): HerokuApp | null {
  for (const app of state.apps) {
    if (app.id === idOrName || app.name === idOrName) return app;
  }
  return null;
}
