/** The variables that say what an hour of a running app costs. */

import { amount, currencyCode } from "./setting-parsers.ts";
import { variable } from "./variable.ts";

/** In the order of the README's table. */
export const PRICE_VARIABLES = {
  pricePerHour: variable<number | null>({
    name: "PRICE_PER_HOUR",
    parser: amount(),
    fallback: null,
    doc: "What an app costs for each hour that it is awake, so that `/__savings` can tell what its sleep has saved.",
  }),
  priceCurrency: variable({
    name: "PRICE_CURRENCY",
    parser: currencyCode(),
    fallback: "EUR",
    doc: "The currency of `PRICE_PER_HOUR`.",
  }),
} as const;
