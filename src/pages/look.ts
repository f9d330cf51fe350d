/** Which template a page is made from. */

import type { Template, TemplateKind } from "./template.ts";

/** Templates by the name of their file without `.html`: `waiting`, `error`, `waiting.shop`. */
export type Theme = ReadonlyMap<string, Template>;

/** Where pages get their templates from. */
export interface ThemeSource {
  /** The one to use now; `null`: Paastis' own look. */
  current(): Theme | null;
}

/** Paastis' own look, always. */
export const OWN_LOOK: ThemeSource = { current: () => null };

/** The template for a page, an app's own one first; `null`: Paastis' own look. Pure. */
export function templateFor(
  theme: Theme | null,
  kind: TemplateKind,
  app: string | null,
): Template | null {
  if (theme === null) return null;
  const ownOfApp = app === null ? undefined : theme.get(`${kind}.${app}`);
  return ownOfApp ?? theme.get(kind) ?? null;
}
