/** Times, durations and numbers for people. Pure. */

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

const numbers = new Intl.NumberFormat("en");
const exact = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "long" });
const time = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const hour = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });

/** `1,204`. */
export function numberText(value: number): string {
  return numbers.format(value);
}

/** `1 request`, `2 requests`. */
export function countText(count: number, one: string, many = `${one}s`): string {
  return `${numberText(count)} ${count === 1 ? one : many}`;
}

/** `812 ms`, `6.2 s`, `15 min`, `2 h 5 min`, `3 d 4 h`. */
export function durationText(ms: number): string {
  if (ms < SECOND_MS) return `${Math.round(ms)} ms`;
  if (ms < 10 * SECOND_MS) return `${(ms / SECOND_MS).toFixed(1)} s`;
  return wholeText(ms);
}

/** The same without fractions, for what is read as it passes. */
export function wholeText(ms: number): string {
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  const [unitMs, unit, restMs, restUnit] =
    ms < DAY_MS ? [HOUR_MS, "h", MINUTE_MS, "min"] : [DAY_MS, "d", HOUR_MS, "h"];
  const rest = Math.floor((ms % unitMs) / restMs);
  return `${Math.floor(ms / unitMs)} ${unit}${rest === 0 ? "" : ` ${rest} ${restUnit}`}`;
}

/** `just now`, `12 s ago`, `3 min ago`. */
export function agoText(atMs: number, nowMs: number): string {
  const ms = nowMs - atMs;
  if (ms < 2 * SECOND_MS) return "just now";
  const unitMs = ms < HOUR_MS ? 1 : ms < DAY_MS ? HOUR_MS : DAY_MS;
  return `${wholeText(Math.floor(ms / unitMs) * unitMs)} ago`;
}

/** `0:09`, `12:03`, `2 h 05 min`: as long as before whenever a second passes. */
export function countdownText(ms: number): string {
  const left = Math.max(0, ms);
  const seconds = Math.ceil(left / SECOND_MS);
  if (seconds >= 48 * 3600) return `${Math.floor(seconds / 86_400)} d`;
  if (seconds >= 3600) {
    return `${Math.floor(seconds / 3600)} h ${two(Math.floor((seconds % 3600) / 60))} min`;
  }
  return `${Math.floor(seconds / 60)}:${two(seconds % 60)}`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** Day, time and zone. @param iso ISO 8601 */
export function exactText(iso: string): string {
  return exact.format(new Date(iso));
}

/** `14:03:22`. */
export function timeText(iso: string): string {
  return time.format(new Date(iso));
}

/** `14:30`. */
export function hourText(ms: number): string {
  return hour.format(ms);
}

/** `3 Nov 2026`. */
export function dayText(iso: string): string {
  return day.format(new Date(iso));
}

/** `78 %`; what is more than nothing is never `0 %`, and what is less than all never `100 %`. @param share 0 to 1 */
export function shareText(share: number): string {
  if (share > 0 && share < 0.01) return "< 1 %";
  if (share > 0.99 && share < 1) return "> 99 %";
  return `${Math.round(share * 100)} %`;
}

/** A price with its currency. */
export function moneyText(amount: number, currency: string): string {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency }).format(amount);
  } catch {
    // Whatever somebody calls their money.
    return `${amount.toFixed(2)} ${currency}`;
  }
}

/** With a capital letter, as at the beginning of a sentence. */
export function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
