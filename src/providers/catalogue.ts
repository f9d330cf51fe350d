/** From a provider's name to the provider: the one place that knows them all. */

import type { Target } from "../app.ts";
import type { Clock } from "../clock.ts";
import type {
  Accounts,
  Config,
  Declaration,
  HttpDeclaration,
  PortsDeclaration,
  ProcessDeclaration,
} from "../config.ts";
import type { Log } from "../log.ts";
import type { ProviderCalls } from "../metrics/provider-calls.ts";
import { createHttpProvider } from "./http.ts";
import { createPlatform } from "./platforms.ts";
import { createPortsProvider } from "./ports.ts";
import { createProcessProvider } from "./process.ts";
import type { Child } from "./process-child.ts";
import type { Provider } from "./provider.ts";

/** Everything providers are made of. */
export interface CatalogueDeps {
  readonly config: Pick<Config, "providers" | "childEnvironment"> & Accounts;
  /** The apps that `paastis.yml` declares now. */
  readonly declarations: () => readonly Declaration[];
  /** Where switches have moved an app of `ports` to; `null`: it was never switched. */
  readonly activeOf: (key: string) => Target | null;
  /** Absolute; `null` when nothing can be written. */
  readonly dataDir: string | null;
  readonly instanceId: string;
  /** Apps of `process` that run already. Left out: none do. */
  readonly inherited?: readonly Child[];
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  /** Counts the calls to platforms. Left out: nobody does. */
  readonly calls?: ProviderCalls;
}

/**
 * The configured providers, ready to be asked; what a killed instance left behind has been ended. Those that
 * need no platform are always there: the next reload may declare apps for them.
 */
export function createProviders(deps: CatalogueDeps): Promise<readonly Provider[]> {
  const names = new Set([...deps.config.providers, "process", "ports", "http"] as const);
  return Promise.all([...names].map((name) => createProvider(name, deps)));
}

async function createProvider(
  name: Config["providers"][number],
  deps: CatalogueDeps,
): Promise<Provider> {
  switch (name) {
    case "process":
      return await createProcessProvider({
        ...deps,
        declarations: () => deps.declarations().filter(isProcess),
        environment: deps.config.childEnvironment,
      });
    case "http":
      return createHttpProvider({ declarations: () => deps.declarations().filter(isHttp) });
    case "ports":
      return createPortsProvider({
        ...deps,
        declarations: () => deps.declarations().filter(isPorts),
      });
    default:
      return createPlatform(name, {
        ...deps,
        fetch: deps.calls?.watched(name, fetch) ?? fetch,
        probe: fetch,
      });
  }
}

function isProcess(declaration: Declaration): declaration is ProcessDeclaration {
  return declaration.provider === "process";
}

function isPorts(declaration: Declaration): declaration is PortsDeclaration {
  return declaration.provider === "ports";
}

function isHttp(declaration: Declaration): declaration is HttpDeclaration {
  return declaration.provider === "http";
}
