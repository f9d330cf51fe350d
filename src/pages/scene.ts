/** The picture on our pages: the sun rises while an app wakes; over an app that did not, it is night. */

import type { Markup } from "./layout.ts";
import { html, raw } from "./layout.ts";

/** How far the sun is below its place at the beginning, in units of the picture. The page's script knows it too. */
const BELOW_UNITS = 96;

const STARS = raw(
  [
    [84, 40, 2],
    [150, 84, 1.5],
    [232, 34, 1.5],
    [402, 58, 1.5],
    [488, 30, 2],
    [560, 92, 1.5],
    [604, 48, 1.5],
  ]
    .map(([x, y, r]) => `<circle cx="${x}" cy="${y}" r="${r}"/>`)
    .join(""),
);

/** @param share how much of the wake is done, 0 to 1; `null`: nobody knows */
export function sceneMarkup(share: number | null): Markup {
  const below = Math.round(BELOW_UNITS * (1 - (share ?? 0.4)));
  return html`<svg class="scene" viewBox="0 0 640 220" preserveAspectRatio="xMidYMax slice" aria-hidden="true">
<g class="stars">${STARS}</g>
<path class="moon" d="M352 82a42 42 0 1 1-46-54 34 34 0 0 0 46 54z"/>
<g class="sun" id="sun" transform="translate(0 ${below})"><circle class="glow" cx="320" cy="92" r="92"/><circle class="glow" cx="320" cy="92" r="66"/><circle class="disc" cx="320" cy="92" r="42"/></g>
<path class="far" d="M0 172C80 128 170 132 250 158S410 180 490 150S600 128 640 136V220H0Z"/>
<path class="near" d="M0 196Q150 150 330 188Q500 224 640 176V220H0Z"/>
</svg>`;
}
