/** What happened to an app, newest first, by day. */

import type { AppDetails, ShownEvent } from "../../admin/views.ts";
import { eventWords } from "./app-words.ts";
import { type Card, cardOf } from "./card.ts";
import { h, setAttribute, setChildren, setText } from "./dom.ts";
import { agoText, dayText, sentence, timeText } from "./words.ts";

/** Shows nothing yet. */
export function createTimeline(): Card {
  const list = h("ol", { class: "timeline" });
  const none = h("p", { class: "quiet" }, "Nothing has happened yet that Paastis has noted.");
  const items = new Map<string, HTMLElement>();
  return {
    element: cardOf("timeline", "Timeline", none, list),
    show({ events }: AppDetails, nowMs) {
      setAttribute(none, "hidden", events.length > 0);
      for (const id of items.keys()) if (!events.some((event) => event.id === id)) items.delete(id);
      const shown = events.map((event, index) => {
        const item = items.get(event.id) ?? itemOf(event);
        items.set(event.id, item);
        const isFirstOfDay =
          dayText(event.at) !== dayText(events[index - 1]?.at ?? new Date(nowMs).toISOString());
        setAttribute(item, "data-day", isFirstOfDay ? dayText(event.at) : null);
        const ago = item.querySelector(".ago");
        if (ago !== null) setText(ago, agoText(Date.parse(event.at), nowMs));
        return item;
      });
      setChildren(list, shown);
    },
  };
}

/** What visitors are shown the reference of. */
const FAILURES: readonly string[] = ["APP_START_FAILED", "APP_CRASHED"];

function itemOf(event: ShownEvent): HTMLElement {
  const { tone, words } = eventWords(event);
  return h(
    "li",
    { class: `event ${tone}` },
    h("time", { datetime: event.at }, timeText(event.at), h("span", { class: "ago" })),
    h(
      "div",
      {},
      h("strong", {}, words),
      event.cause === "" ? null : h("span", { class: "because" }, sentence(event.cause)),
      event.reason === null ? null : h("p", { class: "reason" }, sentence(event.reason)),
      FAILURES.includes(event.name)
        ? h("p", { class: "quiet" }, "Reference: ", h("code", {}, event.id))
        : null,
    ),
  );
}
