/** From the name of a platform to its provider: the one place that knows all platforms. */

import type { Clock } from "../clock.ts";
import type { Accounts, Config } from "../config.ts";
import { assertNever } from "../errors.ts";
import type { Log } from "../log.ts";
import { createCleverCloudProvider } from "./clever-cloud.ts";
import { createDockerProvider } from "./docker.ts";
import { createFlyProvider } from "./fly.ts";
import { createHerokuProvider } from "./heroku.ts";
import { createKubernetesProvider } from "./kubernetes.ts";
import type { PlatformFetch } from "./platform-api.ts";
import { createRecovery } from "./platform-recovery.ts";
import type { Provider } from "./provider.ts";
import { createRenderProvider } from "./render.ts";
import { createScalingoProvider } from "./scalingo.ts";
import { createUpsunProvider } from "./upsun.ts";

/** Providers that call the API of a platform with an account. */
export type PlatformName = Exclude<Config["providers"][number], "process" | "ports" | "http">;

/** Everything platforms are made of. */
export interface PlatformDeps {
  readonly config: Accounts;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly fetch: PlatformFetch;
  /** For apps themselves, which are no API. Left out: the same. */
  readonly probe?: PlatformFetch;
}

/** Whether a provider is one of a platform. */
export function isPlatform(name: Config["providers"][number]): name is PlatformName {
  return name !== "process" && name !== "ports" && name !== "http";
}

/** The provider; nothing is sent yet. @throws Error when the configuration has no account for it */
export function createPlatform(name: PlatformName, deps: PlatformDeps): Provider {
  const { fetch, untilBack } = createRecovery(deps.fetch, deps.clock);
  // One that finds out by itself knows better.
  return { untilBack, ...createByName(name, { ...deps, fetch }) };
}

function createByName(name: PlatformName, deps: PlatformDeps): Provider {
  const { config, ...tools } = deps;
  switch (name) {
    case "scalingo":
      return createScalingoProvider({ ...tools, config: accountOf(name, config.scalingo) });
    case "docker":
      return createDockerProvider({ ...tools, config: accountOf(name, config.docker) });
    case "kubernetes":
      return createKubernetesProvider({ ...tools, config: accountOf(name, config.kubernetes) });
    case "heroku":
      return createHerokuProvider({ ...tools, config: accountOf(name, config.heroku) });
    case "clever-cloud":
      return createCleverCloudProvider({ ...tools, config: accountOf(name, config.cleverCloud) });
    case "render":
      return createRenderProvider({ ...tools, config: accountOf(name, config.render) });
    case "fly":
      return createFlyProvider({ ...tools, config: accountOf(name, config.fly) });
    case "upsun":
      return createUpsunProvider({ ...tools, config: accountOf(name, config.upsun) });
    default:
      return assertNever(name);
  }
}

/** Reading the configuration has made sure of it. */
function accountOf<T>(name: PlatformName, account: T | null): T {
  if (account === null) throw new Error(`there is no account for ${name}`);
  return account;
}
