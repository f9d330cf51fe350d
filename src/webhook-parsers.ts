/** Parsers for the variables of webhooks. */

import { EVENT_NAMES, type EventName } from "./events.ts";
import { nearestWord } from "./nearest.ts";
import type { Parser } from "./setting-parsers.ts";

/** More than anybody needs; each has a queue. */
const URLS_MAX = 20;

/** URLs that events are sent to, each once. Whatever is refused, no URL is repeated: it may hold a secret. */
export function webhookUrls(): Parser<readonly string[]> {
  return {
    allowed: `at most ${URLS_MAX} URLs that begin with http:// or https://, separated by commas`,
    parse(value) {
      const urls = partsOf(value);
      const wrong = urls.findIndex((url) => !isWebhookUrl(url));
      if (wrong !== -1) {
        const which = urls.length === 1 ? "" : `number ${wrong + 1} is none; `;
        return { ok: false, why: `${which}a comma within a URL is written %2C` };
      }
      const unique = [...new Set(urls)];
      if (unique.length === 0 || unique.length > URLS_MAX) {
        return { ok: false, why: `there are ${unique.length}` };
      }
      return { ok: true, value: unique };
    },
  };
}

/** Names of events and patterns with `*`, in any case, as the names they mean. */
export function eventNames(): Parser<readonly EventName[]> {
  return {
    allowed: "names of events or patterns such as APP_*, separated by commas",
    parse(value) {
      const patterns = partsOf(value.toUpperCase());
      const stranger = patterns.find((pattern) => namesLike(pattern).length === 0);
      if (stranger !== undefined) {
        const meant = nearestWord(stranger, EVENT_NAMES);
        const hint = meant === null ? "" : `: did you mean ${meant.toUpperCase()}?`;
        return { ok: false, why: `no event is called "${stranger.slice(0, 80)}"${hint}` };
      }
      if (patterns.length === 0) return { ok: false, why: "" };
      return { ok: true, value: [...new Set(patterns.flatMap(namesLike))] };
    },
  };
}

function namesLike(pattern: string): readonly EventName[] {
  if (!/^[A-Z_*]+$/.test(pattern)) return [];
  const form = new RegExp(`^${pattern.replaceAll(/\*+/g, ".*")}$`);
  return EVENT_NAMES.filter((name) => form.test(name));
}

/** `http:example.com` would be understood, too, but is a slip. */
function isWebhookUrl(text: string): boolean {
  return /^https?:\/\/[^/]/i.test(text) && URL.canParse(text);
}

function partsOf(value: string): string[] {
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}
