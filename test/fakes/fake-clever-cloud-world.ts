/** A well-behaved client of the fake Clever Cloud, for tests of the fake itself. */

import { createHmac } from "node:crypto";
import { createVirtualClock, type VirtualClock } from "../support/virtual-clock.ts";
import {
  type FakeCleverCloud,
  type FakeCleverCloudOptions,
  startFakeCleverCloud,
} from "./fake-clever-cloud.ts";
import type { CleverControl } from "./fake-clever-cloud-control.ts";
import type { OAuthCredentials } from "./fake-clever-cloud-oauth1.ts";

/** What a client sees. */
export interface Seen {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // biome-ignore lint/suspicious/noExplicitAny: what was read, as it is; each test says what it expects of it
  readonly body: any;
}

/** A fake, its clock, and a well-behaved client with an API token. */
export interface CleverWorld extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly clever: FakeCleverCloud;
  /** A call to the bridge. */
  call(path: string, method?: string): Promise<Seen>;
  /**
   * A call to the API, or wherever `path` leads as an absolute URL. @param changes of what is
   * signed with
   */
  signed(path: string, changes?: Partial<Signing>): Promise<Seen>;
  start(app: CleverControl): Promise<Seen>;
  stop(app: CleverControl): Promise<Seen>;
  /** State, newest deployment as `DEPLOY WIP`, and states of instances, as API v2 says. */
  look(app: CleverControl): Promise<[state: string, deployment: string, instances: string]>;
  /** What the router answers. */
  visit(app: CleverControl): Promise<Seen>;
}

/** What one call is signed with. */
export interface Signing {
  readonly method: string;
  readonly credentials: OAuthCredentials;
  readonly nonce: string;
  readonly timestamp: string;
  readonly signatureMethod: string;
  /** Instead of the right one. */
  readonly signature: string;
  /** Fields that are not sent, and not signed. */
  readonly without: readonly string[];
}

/** The path of an app's things. */
export function pathOf(app: CleverControl, below = ""): string {
  return `/v2/organisations/${app.ownerId}/applications/${app.id}${below}`;
}

/** The same in API v4. */
export function pathV4Of(app: CleverControl, below: string): string {
  return `/v4/orchestration/organisations/${app.ownerId}/applications/${app.id}${below}`;
}

/** Over a virtual clock. */
export async function startWorld(
  options: Partial<FakeCleverCloudOptions> = {},
): Promise<CleverWorld> {
  const clock = createVirtualClock();
  const clever = await startFakeCleverCloud({ clock, ...options });
  const authorization = `Bearer ${clever.apiToken}`;
  let calls = 0;
  async function call(path: string, method = "GET"): Promise<Seen> {
    return seen(await fetch(clever.bridge.origin + path, { method, headers: { authorization } }));
  }
  return {
    clock,
    clever,
    call,
    async signed(path, changes = {}) {
      calls += 1;
      const signing: Omit<Signing, "signature"> & Partial<Signing> = {
        method: "GET",
        credentials: clever.oauth,
        nonce: `nonce-${calls}`,
        timestamp: String(Math.floor(clock.wallMs() / 1_000)),
        signatureMethod: "HMAC-SHA512",
        without: [],
        ...changes,
      };
      const url = path.startsWith("/") ? clever.api.origin + path : path;
      const headers = { authorization: headerOf(url, signing) };
      return seen(await fetch(url, { method: signing.method, headers }));
    },
    start: (app) => call(pathOf(app, "/instances"), "POST"),
    stop: (app) => call(pathOf(app, "/instances"), "DELETE"),
    async look(app) {
      const { state } = (await call(pathOf(app))).body;
      const [deployment] = (await call(pathOf(app, "/deployments?limit=1"))).body;
      const instances = (await call(pathOf(app, "/instances"))).body;
      return [
        state,
        deployment === undefined ? "none" : `${deployment.action} ${deployment.state}`,
        instances.map((one: Record<string, string>) => one.state).join(" "),
      ];
    },
    visit: async (app) => seen(await fetch(clever.addressOf(app), { keepalive: false })),
    [Symbol.asyncDispose]: () => clever[Symbol.asyncDispose](),
  };
}

/** Reads an answer. */
export async function seen(answer: Response): Promise<Seen> {
  const text = await answer.text();
  const isJson = answer.headers.get("content-type")?.startsWith("application/json") === true;
  const { status, headers } = answer;
  return { status, headers, text, body: isJson ? JSON.parse(text) : null };
}

/** By the recipe that the platform's documents give, apart from the fake's own code. */
function headerOf(url: string, signing: Omit<Signing, "signature"> & Partial<Signing>): string {
  const { credentials, without } = signing;
  const all = {
    oauth_consumer_key: credentials.consumerKey,
    oauth_token: credentials.token,
    oauth_signature_method: signing.signatureMethod,
    oauth_timestamp: signing.timestamp,
    oauth_nonce: signing.nonce,
    oauth_version: "1.0",
  };
  const sent = Object.fromEntries(Object.entries(all).filter(([name]) => !without.includes(name)));
  const signature = signing.signature ?? signatureOf(url, signing, sent);
  return `OAuth ${Object.entries({ ...sent, oauth_signature: signature })
    .filter(([name]) => !without.includes(name))
    .map(([name, value]) => `${name}="${percent(value)}"`)
    .join(", ")}`;
}

function signatureOf(
  url: string,
  { method, credentials, signatureMethod }: Omit<Signing, "signature">,
  sent: Readonly<Record<string, string>>,
): string {
  const key = `${percent(credentials.consumerSecret)}&${percent(credentials.tokenSecret)}`;
  if (signatureMethod === "PLAINTEXT") return key;
  const { origin, pathname, searchParams } = new URL(url);
  const pairs = [...searchParams, ...Object.entries(sent)]
    .map(([name, value]) => `${percent(name)}=${percent(value)}`)
    .toSorted();
  const base = [method, origin + pathname, pairs.join("&")].map(percent).join("&");
  const hash = signatureMethod === "HMAC-SHA1" ? "sha1" : "sha512";
  return createHmac(hash, key).update(base).digest("base64");
}

function percent(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
