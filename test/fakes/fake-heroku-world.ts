/** A well-behaved client of the fake Heroku, for tests of the fake itself. */

import { createVirtualClock, type VirtualClock } from "../support/virtual-clock.ts";
import { type FakeHeroku, type FakeHerokuOptions, startFakeHeroku } from "./fake-heroku.ts";
import type { HerokuControl } from "./fake-heroku-control.ts";
import type { Boot } from "./fake-heroku-model.ts";

/** What every call says that it takes. */
export const ACCEPT = "application/vnd.heroku+json; version=3";

/** What a client sees. */
export interface Seen {
  readonly status: number;
  readonly headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what was read, as it is; each test says what it expects of it
  readonly body: any;
}

/** A fake, its clock, and a well-behaved client. */
export interface HerokuWorld extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly heroku: FakeHeroku;
  /** A GET, or with a body a PATCH; headers beyond the usual, which `null` takes away. */
  call(path: string, more?: CallMore): Promise<Seen>;
  /** A scale of one app. */
  scale(app: string, quantities: Record<string, number>): Promise<Seen>;
  /** `web.1 up`, sorted by name; what is about to end is there as well. */
  dynosOf(app: string): Promise<string[]>;
  /** What a visitor gets at the app's own address. */
  visit(app: { readonly webUrl: string | null }): Promise<number>;
}

export interface CallMore {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string | null>>;
}

/**
 * Over a virtual clock. Reads of dynos may follow each other at once, unless a test says otherwise.
 */
export async function startWorld(options: Partial<FakeHerokuOptions> = {}): Promise<HerokuWorld> {
  const clock = createVirtualClock();
  const heroku = await startFakeHeroku({ clock, dynosPollMinMs: 0, ...options });
  const call = (path: string, more: CallMore = {}) => seen(heroku, path, more);
  return {
    clock,
    heroku,
    call,
    scale(app, quantities) {
      const updates = Object.entries(quantities).map(([type, quantity]) => ({ type, quantity }));
      return call(`/apps/${app}/formation`, { body: { updates } });
    },
    async dynosOf(app) {
      const dynos: Record<string, string>[] = (await call(`/apps/${app}/dynos`)).body;
      return dynos.map(({ name, state }) => `${name} ${state}`).toSorted();
    },
    async visit({ webUrl }) {
      if (webUrl === null) throw new Error("it cannot be reached from outside");
      return (await fetch(webUrl)).status;
    },
    [Symbol.asyncDispose]: () => heroku[Symbol.asyncDispose](),
  };
}

/** A new app `demo`, scaled to 1 from 0: its dyno is listed, and not up yet. */
export async function wakeDemo(
  world: HerokuWorld,
  ...boots: readonly Boot[]
): Promise<HerokuControl> {
  const app = world.heroku.addApp("demo", { formation: { web: 0 } });
  app.nextBoots(...boots);
  await world.scale("demo", { web: 1 });
  await world.clock.advance(300);
  return app;
}

async function seen(heroku: FakeHeroku, path: string, more: CallMore): Promise<Seen> {
  const headers = new Headers({ accept: ACCEPT, authorization: `Bearer ${heroku.token}` });
  if (more.body !== undefined) headers.set("content-type", "application/json");
  for (const [name, value] of Object.entries(more.headers ?? {})) {
    if (value === null) headers.delete(name);
    else headers.set(name, value);
  }
  const write = { method: "PATCH", body: textOf(more.body) };
  const answer = await fetch(heroku.apiUrl + path, {
    headers,
    ...(more.body === undefined ? {} : write),
  });
  const text = await answer.text();
  return { status: answer.status, headers: answer.headers, body: JSON.parse(text) };
}

/** A string goes as it is, be it JSON or not. */
function textOf(body: unknown): string {
  return typeof body === "string" ? body : JSON.stringify(body);
}
