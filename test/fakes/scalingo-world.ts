/** A well-behaved client of the fake Scalingo, for tests of the fake itself. */

import { createVirtualClock, type VirtualClock } from "../support/virtual-clock.ts";
import { type FakeScalingo, type FakeScalingoOptions, startFakeScalingo } from "./fake-scalingo.ts";

/** What every call says that it sends and takes. */
export const JSON_HEADERS = { accept: "application/json", "content-type": "application/json" };

/** What a client of one region sees. */
export interface Seen {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what was read, as it is; each test says what it expects of it
  readonly body: any;
}

/** A fake, its clock, and a well-behaved client with a bearer. */
export interface ScalingoWorld extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly scalingo: FakeScalingo;
  /** A call to the first region, or to an absolute URL, with a good bearer. */
  call(path: string, body?: unknown): Promise<Seen>;
  /** A scale of one app. */
  scale(app: string, amounts: Record<string, number>): Promise<Seen>;
  statusOf(app: string): Promise<string>;
}

/** Over a virtual clock, and with a rate limit that is out of the way unless it is given. */
export async function startWorld(
  options: Partial<FakeScalingoOptions> = {},
): Promise<ScalingoWorld> {
  const clock = createVirtualClock();
  const scalingo = await startFakeScalingo({ clock, requestsPerWindow: 10_000, ...options });
  const bearer = await exchange(scalingo);
  async function call(path: string, body?: unknown): Promise<Seen> {
    const url = path.startsWith("/") ? scalingo.api.origin + path : path;
    return seen(url, { bearer, ...(body === undefined ? {} : { body }) });
  }
  return {
    clock,
    scalingo,
    call,
    scale(app, amounts) {
      const containers = Object.entries(amounts).map(([name, amount]) => ({ name, amount }));
      return call(`/v1/apps/${app}/scale`, { containers });
    },
    statusOf: async (app) => (await call(`/v1/apps/${app}`)).body.app.status,
    [Symbol.asyncDispose]: () => scalingo[Symbol.asyncDispose](),
  };
}

/** A call with a bearer: GET, or POST when there is a body. */
export async function seen(
  url: string,
  { bearer, body }: { readonly bearer: string; readonly body?: unknown },
): Promise<Seen> {
  const answer = await fetch(url, {
    headers: { ...JSON_HEADERS, authorization: `Bearer ${bearer}` },
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  });
  const text = await answer.text();
  const isJson = answer.headers.get("content-type")?.startsWith("application/json") === true;
  const read = isJson ? JSON.parse(text) : null;
  return { status: answer.status, headers: answer.headers, text, body: read };
}

/** A token exchange. @param credentials `user:password` */
export function askForBearer(scalingo: FakeScalingo, credentials: string): Promise<Response> {
  return fetch(`${scalingo.authUrl}/v1/tokens/exchange`, {
    method: "POST",
    headers: { ...JSON_HEADERS, authorization: `Basic ${btoa(credentials)}` },
    body: "{}",
  });
}

/** A token exchange that succeeds. */
export async function exchange(scalingo: FakeScalingo): Promise<string> {
  const answer = await askForBearer(scalingo, `:${scalingo.apiToken}`);
  const { token } = (await answer.json()) as { token: string }; // What this fake answers.
  return token;
}
