/** Breaks long lines for a terminal, so that what belongs together stays below each other. */

/** Narrower, and nothing can be laid out. */
const COLUMNS_MIN = 40;

/**
 * Pure. Lines longer than `columns` are broken at blanks, and go on below the text they began with: after the mark of
 * a list, or in the last column of a table. Words are never broken.
 * @param columns `null`: nobody watches, and lines stay whole for programs that read them
 */
export function fold(text: string, columns: number | null): string {
  if (columns === null || columns < COLUMNS_MIN) return text;
  return text
    .split("\n")
    .map((line) => (line.length > columns ? foldLine(line, columns) : line))
    .join("\n");
}

function foldLine(line: string, columns: number): string {
  const indent = indentOf(line, columns);
  const lines = [line.slice(0, indent)];
  let isFirst = true;
  for (const word of line.slice(indent).split(" ")) {
    const last = lines.at(-1) ?? "";
    if (isFirst || last.length + 1 + word.length <= columns) {
      lines[lines.length - 1] = isFirst ? last + word : `${last} ${word}`;
    } else {
      lines.push(" ".repeat(indent) + word);
    }
    isFirst = false;
  }
  return lines.join("\n");
}

/** Where the last cell of a row, or the text of an entry, begins. */
function indentOf(line: string, columns: number): number {
  const start = /^(?:Warning: | *(?:- )?)/.exec(line)?.[0].length ?? 0;
  const cells = [...line.matchAll(/ {2,}(?=\S)/g)].map(({ 0: gap, index }) => index + gap.length);
  const cell = cells.filter((at) => at > start && at <= columns / 2).at(-1);
  return cell ?? start;
}
