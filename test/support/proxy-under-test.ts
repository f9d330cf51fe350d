/**
 * The proxy that the black-box suite drives: our own executable, or any other one.
 *
 * `PROXY_UNDER_TEST=127.0.0.1:8080` names another proxy, which somebody has set up to forward
 * everything to `PROXY_UPSTREAM=127.0.0.1:8081`; `PROXY_HOST` is the Host to ask it for. The suite
 * then listens on that port, so its files must run one after the other (`--parallel=1`).
 */

import { afterAll, beforeAll, beforeEach, setDefaultTimeout, test } from "bun:test";
import { startUpstreamUnderTest, type UpstreamUnderTest } from "./proxy-under-test-upstream.ts";
import { connectRaw, type RawAnswer, type RawClient } from "./raw-client.ts";
import { type RawUpstream, startRawUpstream } from "./raw-upstream.ts";
import { type RunningPaastis, startPaastis } from "./start-paastis.ts";
import { until } from "./until.ts";

const OTHER = process.env.PROXY_UNDER_TEST ?? "";
const UPSTREAM_PORT = Number((process.env.PROXY_UPSTREAM ?? "").split(":").at(-1) ?? 0);

/** Another proxy than ours is tested. */
export const IS_OTHER = OTHER !== "";

/** The Host to ask for. */
export const HOST = process.env.PROXY_HOST ?? "shop.test";

/** For facts that only Paastis claims. */
export const testPaastis = test.skipIf(IS_OTHER);

/** What the proxy waits for, ms: set to this where it can be. */
const HEADERS_TIMEOUT_MS = 500;
const KEEPALIVE_TIMEOUT_MS = 1_000;

const TEST_TIMEOUT_MS = 60_000;

export interface ProxyUnderTest {
  readonly upstream: UpstreamUnderTest;
  /** What the environment variables of proxies point at; only with Paastis. */
  readonly trap: RawUpstream;
  connect(options?: { readonly allowHalfOpen?: boolean }): Promise<RawClient>;
  /** One request on a connection of its own, and its answer. */
  exchange(request: string): Promise<RawAnswer>;
}

/**
 * Starts the proxy and its app for the tests of the calling file or `describe`, and ends them after
 * the last.
 * @param settings of Paastis, by environment variable; with them, no other proxy is started
 */
export function useProxy(settings?: Readonly<Record<string, string>>): ProxyUnderTest {
  const state: { proxy: ProxyUnderTest | null; end: (() => Promise<void>) | null } = {
    proxy: null,
    end: null,
  };
  const proxy = () => {
    if (state.proxy === null) throw new Error("the proxy under test has not started");
    return state.proxy;
  };
  // What is awaited gives up first, and says what it was.
  setDefaultTimeout(TEST_TIMEOUT_MS);
  beforeAll(async () => {
    if (IS_OTHER && settings !== undefined) return;
    const upstream = await startUpstreamUnderTest(IS_OTHER ? UPSTREAM_PORT : 0);
    const trap = await startRawUpstream((connection) => connection.end());
    const running = IS_OTHER ? null : await startOurs(upstream, trap, settings);
    const address = running === null ? addressOfOther() : { host: "127.0.0.1", port: running.port };
    state.proxy = proxyAt(address, { upstream, trap });
    state.end = async () => {
      await running?.[Symbol.asyncDispose]();
      upstream[Symbol.dispose]();
      trap[Symbol.dispose]();
    };
    await isForwarding(state.proxy);
  });
  afterAll(async () => await state.end?.());
  beforeEach(async () => await state.proxy?.upstream.beginTest());
  return {
    get upstream() {
      return proxy().upstream;
    },
    get trap() {
      return proxy().trap;
    },
    connect: (options) => proxy().connect(options),
    exchange: (request) => proxy().exchange(request),
  };
}

/** A request, head only, for the app behind the proxy: `ask("GET /a", "X-A: 1")`. */
export function ask(first: string, ...lines: readonly string[]): string {
  return [`${first} HTTP/1.1`, `Host: ${HOST}`, ...lines, "", ""].join("\r\n");
}

function startOurs(
  upstream: UpstreamUnderTest,
  trap: RawUpstream,
  settings: Readonly<Record<string, string>> = {},
): Promise<RunningPaastis> {
  const targets = JSON.stringify([upstream.origin]);
  return startPaastis({
    config: `apps:\n  shop: { targets: ${targets} }\n  kept: { targets: ${targets}, preserve_host: true }\n`,
    env: {
      PROVIDER_NAME: "http",
      // `ENGINE=fetch bun test test/black-box` shows what the other engine cannot do.
      ENGINE: process.env.ENGINE || "socket",
      REGISTRY_TYPE: "in-memory",
      START_AND_STOP_CHECKING_INTERVAL_CRON: "0 0 1 1 *",
      SERVER_HEADERS_TIMEOUT: String(HEADERS_TIMEOUT_MS),
      SERVER_KEEPALIVE_TIMEOUT: String(KEEPALIVE_TIMEOUT_MS),
      SHUTDOWN_TIMEOUT_MS: "100",
      LOGGING_LEVEL: "info",
      HTTP_PROXY: trap.origin,
      HTTPS_PROXY: trap.origin,
      ALL_PROXY: trap.origin,
      http_proxy: trap.origin,
      https_proxy: trap.origin,
      all_proxy: trap.origin,
      ...settings,
    },
  });
}

function addressOfOther() {
  const url = new URL(`http://${OTHER}`);
  return { host: url.hostname, port: Number(url.port || 80) };
}

function proxyAt(
  { host, port }: { readonly host: string; readonly port: number },
  ends: Pick<ProxyUnderTest, "upstream" | "trap">,
): ProxyUnderTest {
  const connect: ProxyUnderTest["connect"] = (options) =>
    connectRaw(port, { ...options, address: host });
  return {
    ...ends,
    connect,
    async exchange(request) {
      using client = await connect();
      client.send(request);
      return await client.answer({ method: request.slice(0, request.indexOf(" ")) });
    },
  };
}

/** Its first request may have to wait for the app to be looked at. */
async function isForwarding(proxy: ProxyUnderTest): Promise<void> {
  await until(async () => (await proxy.exchange(ask("GET /"))).status === 200);
  if (!IS_OTHER) await until(async () => (await proxy.exchange(keptRequest)).status === 200);
}

const keptRequest = "GET / HTTP/1.1\r\nHost: kept.test\r\n\r\n";
