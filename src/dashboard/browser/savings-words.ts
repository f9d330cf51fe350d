/** What sleep has saved, in words. Pure. */

import type { Savings } from "../../admin/views.ts";
import { dayText, moneyText, numberText, shareText, wholeText } from "./words.ts";

const HOUR_MS = 3_600_000;

/** Hours, share, and money where a price is known. */
export function savingsText({ asleepHours, money, share, since }: Savings): string {
  const asleep =
    asleepHours < 1 ? wholeText(asleepHours * HOUR_MS) : `${numberText(Math.round(asleepHours))} h`;
  const saved = money === null ? "" : `, ${moneyText(money.amount, money.currency)} saved`;
  return `${asleep} asleep, ${shareText(share)} of the time${saved}, since ${dayText(since)}`;
}
