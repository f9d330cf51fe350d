/** The variables of the system API. */

import { onOff, text } from "./setting-parsers.ts";
import { variable } from "./variable.ts";

/** In the order of the README's table. */
export const SYSTEM_VARIABLES = {
  systemApiEnabled: variable({
    name: "ROUTING_SYSTEM_API_ENABLED",
    parser: onOff(),
    fallback: false,
    defaultText: "`0`",
    doc: "Whether requests with the header `PaastisProxyTarget: system` are for the system API, whatever their host.",
  }),
  systemApiToken: variable<string | null>({
    name: "ROUTING_SYSTEM_API_TOKEN",
    parser: text("a token"),
    fallback: null,
    secret: true,
    doc: "What the header `PaastisProxySystemApiToken` must hold for the system API; required when that is enabled.",
  }),
} as const;
