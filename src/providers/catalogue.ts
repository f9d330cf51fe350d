/** From a provider's name to the provider: the one place that knows them all. */

import type { Clock } from "../clock.ts";
import type {
  Accounts,
  Config,
  Declaration,
  HttpDeclaration,
  ProcessDeclaration,
} from "../config.ts";
import type { Log } from "../log.ts";
import { createHttpProvider } from "./http.ts";
import { createPlatform } from "./platforms.ts";
import { createProcessProvider } from "./process.ts";
import type { Provider } from "./provider.ts";

/** Everything providers are made of. */
export interface CatalogueDeps {
  readonly config: Pick<Config, "providers" | "childEnvironment"> & Accounts;
  /** The apps that `paastis.yml` declares now. */
  readonly declarations: () => readonly Declaration[];
  /** Absolute; `null` when nothing can be written. */
  readonly dataDir: string | null;
  readonly instanceId: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
}

/**
 * The configured providers, ready to be asked; what a killed instance left behind has been ended. Those that
 * need no platform are always there: the next reload may declare apps for them.
 */
export function createProviders(deps: CatalogueDeps): Promise<readonly Provider[]> {
  const names = new Set([...deps.config.providers, "process", "http"] as const);
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
    default:
      return createPlatform(name, { ...deps, fetch });
  }
}

function isProcess(declaration: Declaration): declaration is ProcessDeclaration {
  return declaration.provider === "process";
}

function isHttp(declaration: Declaration): declaration is HttpDeclaration {
  return declaration.provider === "http";
}
