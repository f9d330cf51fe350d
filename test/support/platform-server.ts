/** A platform's API for tests of the calls to it: a server that counts, and a client of it with sensible limits. */

import { createSystemClock } from "../../src/clock.ts";
import {
  type ApiCall,
  createPlatformApi,
  type PlatformApi,
  type PlatformApiOptions,
} from "../../src/providers/platform-api.ts";
import { fixedCredentials } from "../../src/providers/platform-token.ts";
import { ProviderError } from "../../src/providers/provider.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

/** The token that `apiOf` sends. */
export const TOKEN = "s3cr3t-t0ken-of-the-account";

export interface PlatformServer extends Disposable {
  readonly origin: string;
  /** Everything that arrived, oldest first. */
  readonly requests: readonly SeenRequest[];
}

export interface SeenRequest {
  readonly line: string;
  readonly headers: Headers;
  readonly body: string;
}

/** Serves with `answer`, which gets the number of the request, from 1. */
export function servePlatform(
  answer: (number: number, request: Request) => Response | Promise<Response>,
): PlatformServer {
  const requests: SeenRequest[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    idleTimeout: 0,
    async fetch(request) {
      const { pathname, search } = new URL(request.url);
      const line = `${request.method} ${pathname}${search}`;
      requests.push({ line, headers: request.headers, body: await request.text() });
      return answer(requests.length, request);
    },
  });
  return {
    origin: `http://127.0.0.1:${server.port}`,
    requests,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

/** An API on `baseUrl` with a roomy budget, and chance that always says "at once". */
export function apiOf(
  baseUrl: string,
  options: Partial<PlatformApiOptions> = {},
): { readonly api: PlatformApi; readonly lines: readonly LogLine[] } & Disposable {
  const { log, lines } = recordingLog();
  const api = createPlatformApi({
    provider: "heroku",
    baseUrl,
    credentials: fixedCredentials({ authorization: `Bearer ${TOKEN}` }),
    budget: { burst: 100, perMinute: 600, inFlightMax: 10 },
    fetch,
    clock: createSystemClock(),
    random: () => 0,
    log,
    ...options,
  });
  return { api, lines, [Symbol.dispose]: () => api.close() };
}

/** A call that lists apps for a sweep, or what `change` makes of it. */
export function callOf(change: Partial<ApiCall> = {}): ApiCall {
  return {
    what: "list the apps",
    method: "GET",
    path: "/apps",
    urgency: "sweep",
    signal: new AbortController().signal,
    ...change,
  };
}

/** What a call failed with. */
export async function failureOf(work: Promise<unknown>): Promise<ProviderError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof ProviderError) return error;
    throw error;
  }
  throw new Error("it did not fail");
}
