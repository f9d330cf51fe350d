/** Questions within the page: the answer is awaited, Escape and a click beside it mean no. */

import { type Child, h } from "./dom.ts";

/** A question. */
export interface Question {
  readonly title: string;
  readonly body: readonly Child[];
  /** What the button says that does it. */
  readonly yes: string;
  readonly isDangerous?: boolean;
}

/** @returns the form as it was sent; `null`: no */
export function askUser({ body, isDangerous, title, yes }: Question): Promise<FormData | null> {
  const { promise, resolve } = Promise.withResolvers<FormData | null>();
  const form = h(
    "form",
    { method: "dialog" },
    h("h2", { id: "question" }, title),
    ...body,
    h(
      "div",
      { class: "answers" },
      h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
      h(
        "button",
        { type: "submit", value: "yes", class: isDangerous === true ? "danger" : "primary" },
        yes,
      ),
    ),
  );
  const dialog = h("dialog", { "aria-labelledby": "question" }, form);
  dialog.addEventListener("click", (event) => {
    // The dialog itself is hit where its form does not cover it: the backdrop.
    if (event.target === dialog) dialog.close();
  });
  dialog.addEventListener("close", () => {
    dialog.remove();
    resolve(dialog.returnValue === "yes" ? new FormData(form) : null);
  });
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}
