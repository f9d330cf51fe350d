/** A moment in relative words, with the exact time for who points at it or comes to it by keyboard. */

import { h, setAttribute, setText } from "./dom.ts";
import { exactText } from "./words.ts";

/** Words about a moment. */
export interface TimeMark {
  readonly element: HTMLTimeElement;
  /** @param iso `null`: there is no moment */
  show(text: string, iso: string | null): void;
}

/** @param canBeReached by the tabulator key: where there are few of them */
export function createTimeMark(canBeReached = false): TimeMark {
  const element = h("time", { class: "when" });
  return {
    element,
    show(text, iso) {
      setText(element, text);
      setAttribute(element, "datetime", iso);
      setAttribute(element, "data-exact", iso === null ? null : exactText(iso));
      setAttribute(element, "tabindex", canBeReached && iso !== null ? 0 : null);
      setAttribute(
        element,
        "aria-label",
        canBeReached && iso !== null ? `${text}: ${exactText(iso)}` : null,
      );
      setAttribute(element, "role", canBeReached && iso !== null ? "note" : null);
    },
  };
}
