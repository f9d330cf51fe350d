/** The Clever Cloud provider in front of a fake Clever Cloud, for tests of the provider. */

import { type Clock, createSystemClock } from "../../src/clock.ts";
import type { CleverCloudConfig } from "../../src/config.ts";
import { createCleverCloudProvider } from "../../src/providers/clever-cloud.ts";
import type { Provider } from "../../src/providers/provider.ts";
import {
  type FakeCleverCloud,
  type FakeCleverCloudOptions,
  startFakeCleverCloud,
} from "../fakes/fake-clever-cloud.ts";
import type { CleverControl } from "../fakes/fake-clever-cloud-control.ts";
import { type LogLine, recordingLog } from "./recording-log.ts";

export interface CleverCloudTest extends AsyncDisposable {
  readonly fake: FakeCleverCloud;
  readonly provider: Provider;
  readonly lines: readonly LogLine[];
  /** The provider's id of an app. */
  idOf(app: CleverControl): string;
}

/** How a test's provider differs from the usual one. */
export interface CleverCloudTestOptions extends Partial<FakeCleverCloudOptions> {
  /** Default `token`: calls go to the bridge. */
  readonly credentials?: CleverCloudConfig["credentials"]["kind"];
  readonly config?: Partial<CleverCloudConfig>;
}

/** Short durations over the real clock, and a budget that is out of the way, unless they are given. */
export async function startCleverCloud(
  options: CleverCloudTestOptions = {},
): Promise<CleverCloudTest> {
  const { config, credentials = "token", ...rest } = options;
  const clock: Clock = rest.clock ?? createSystemClock();
  const fake = await startFakeCleverCloud({
    ...{ queueMs: 5, startMs: 20, stopMs: 10 },
    ...rest,
    clock,
  });
  const { log, lines } = recordingLog();
  const provider = createCleverCloudProvider({
    config: {
      ...accountOf(fake, credentials),
      operationTimeoutMs: 60_000,
      callsPerMinute: 100_000,
      ...config,
    },
    clock,
    random: Math.random,
    log,
    fetch,
  });
  return {
    fake,
    provider,
    lines,
    idOf: ({ ownerId, id }) => `${ownerId}/${id}`,
    async [Symbol.asyncDispose]() {
      await provider.close();
      await fake[Symbol.asyncDispose]();
    },
  };
}

function accountOf(
  { api, apiToken, bridge, oauth }: FakeCleverCloud,
  kind: CleverCloudConfig["credentials"]["kind"],
): Pick<CleverCloudConfig, "credentials" | "apiUrl"> {
  if (kind === "token") return { credentials: { kind, token: apiToken }, apiUrl: bridge.origin };
  const { tokenSecret: secret, ...others } = oauth;
  return { credentials: { kind, ...others, secret }, apiUrl: api.origin };
}
