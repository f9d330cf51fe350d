/** Tables and counts for what verbs print. */

/** Cells, from left to right. */
export type Row = readonly string[];

/** `No apps`, `1 app`, `2 apps`. */
export function count(number: number, noun: string): string {
  if (number === 0) return `No ${noun}s`;
  return number === 1 ? `1 ${noun}` : `${number} ${noun}s`;
}

/** `a`, `a and b`, `a, b and c`. */
export function inWords(names: readonly string[]): string {
  return new Intl.ListFormat("en-GB").format(names);
}

/** A table below its title, with an empty line before. */
export function section(title: string, rows: readonly Row[]): string {
  return `\n${title}\n${table(rows)}`;
}

/** Columns as wide as their widest cell; the last is ragged. */
export function table(rows: readonly Row[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => {
      widths[column] = Math.max(widths[column] ?? 0, cell.length);
    });
  }
  return rows
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join("  ")}`)
    .map((line) => `${line.trimEnd()}\n`)
    .join("");
}
