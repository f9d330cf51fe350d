/** The parts of an app's page: cards, and the facts on them. */

import type { AppDetails } from "../../admin/views.ts";
import { h, setChildren, setText } from "./dom.ts";

/** A part of the page. */
export interface Card {
  readonly element: HTMLElement;
  show(app: AppDetails, nowMs: number): void;
}

/** A part of the page with a heading. */
export function cardOf(name: string, title: string, ...children: readonly Node[]): HTMLElement {
  const id = `card-${name}`;
  return h(
    "section",
    { class: `card card-${name}`, "aria-labelledby": id },
    h("h2", { id }, title),
    ...children,
  );
}

/** Pairs of a name and what there is to say. */
export interface Facts {
  readonly element: HTMLElement;
  show(facts: readonly (readonly [name: string, value: string | Node])[]): void;
}

/** Shows nothing yet. */
export function createFacts(): Facts {
  const element = h("dl", { class: "facts" });
  const values = new Map<string, { readonly box: HTMLElement; readonly value: HTMLElement }>();
  return {
    element,
    show(facts) {
      const boxes = facts.map(([name, value]) => {
        const known = values.get(name) ?? newFact(name);
        values.set(name, known);
        if (typeof value === "string") setText(known.value, value);
        else setChildren(known.value, [value]);
        return known.box;
      });
      setChildren(element, boxes);
    },
  };
}

function newFact(name: string) {
  const value = h("dd");
  return { box: h("div", {}, h("dt", {}, name), value), value };
}
