/** The configuration as it counts, without anything secret. */

import { cleanText } from "../log-safety.ts";
import type { Variable } from "../variable.ts";
import { VARIABLES } from "../variables.ts";
import { type AppsDeps, explainedPolicyOf } from "./apps-context.ts";
import { settingNamesOf, shownSettings } from "./apps-settings.ts";
import type { ShownConfig } from "./views.ts";

/** Stands for every secret that has a value. */
export const SECRET = "(secret)";

/** Pure. Only what is named here is shown: what is added to the configuration is not shown by accident. */
export function shownConfig(deps: Pick<AppsDeps, "config" | "given" | "live">): ShownConfig {
  const { apps, rules } = deps.live.apps;
  // The rows differ in their value's type only, and nothing here looks at values.
  const rows = Object.values(VARIABLES) as readonly Variable<unknown>[];
  return {
    variables: rows.map((row) => shownVariable(row, deps.given)),
    file: deps.config.file,
    apps: apps.map(({ key, provider }) => {
      const explained = explainedPolicyOf(deps, {
        key,
        ref: { provider, id: key },
        settings: null,
      });
      const said = shownSettings(explained).filter(({ from }) => from !== "default");
      return { key, provider, settings: said };
    }),
    rules: rules.map(({ pattern, settings }, index) => ({
      index,
      pattern: pattern.source,
      says: settingNamesOf(settings),
    })),
  };
}

/** A name that is given in another way than by its own counts as well. */
function shownVariable(
  { aliases, defaultText, doc, name, secret }: Variable<unknown>,
  given: ReadonlyMap<string, string>,
): ShownConfig["variables"][number] {
  const used = [name, ...aliases].find((one) => given.has(one));
  if (used === undefined) {
    const value = defaultText === "none" ? null : defaultText.replaceAll("`", "");
    return { name, value, from: "default", doc };
  }
  // An address may have credentials in it although it is no secret.
  const value = secret ? SECRET : cleanText(given.get(used) ?? "");
  return { name, value, from: "given", doc };
}
