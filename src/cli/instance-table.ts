/** How verbs about instances show things: marks in colour for people, JSON for programs. */

import { fold } from "./fold.ts";
import type { Surroundings } from "./surroundings.ts";
import { type Row, table } from "./table.ts";

/** What a row says at its beginning. */
export type Mark = "●" | "○" | "✓" | "!" | "✗";

/** SGR parameters (ECMA-48 §8.3.117). */
const COLORS: Readonly<Record<string, string>> = {
  "●": "32",
  "○": "2",
  "✓": "32",
  "!": "33",
  "✗": "31",
};

/** Writes rows that begin with a mark. */
export function tellMarked(surroundings: Surroundings, rows: readonly Row[]): void {
  const { columns, writeOut } = surroundings;
  const text = fold(table(rows), columns.out);
  writeOut(hasColors(surroundings) ? painted(text) : text);
}

/** Writes a value for programs. */
export function tellJson({ writeOut }: Surroundings, value: unknown): void {
  writeOut(`${JSON.stringify(value, null, 2)}\n`);
}

/** Whether the output shows colours. Source: no-color.org: any text but an empty one means no. */
export function hasColors({ columns, environment }: Surroundings): boolean {
  if (columns.out === null || environment.TERM === "dumb") return false;
  return (environment.NO_COLOR ?? "") === "";
}

function painted(text: string): string {
  return text.replaceAll(/^ {2}([●○✓!✗])(?= )/gm, (_, mark: string) => {
    return `  \x1b[${COLORS[mark]}m${mark}\x1b[0m`;
  });
}
