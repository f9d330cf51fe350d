/** Lays out log lines for a person who watches them in a terminal. */

import { type Entry, entryOf, type LogLine, type Tone } from "./terminal-entry.ts";

/** What must be known of the terminal. */
export interface TerminalOptions {
  /** Width in characters; asked at each line, because people resize windows. */
  readonly columns: () => number;
  /** Bits of colour: 1 none, 4 the sixteen, 8 and more 256. */
  readonly colorDepth: number;
}

/** Width of the column with the apps' names, in characters: it grows with the names it has seen. */
const NAME_WIDTH = { min: 8, max: 20, maxNarrow: 10 } as const;
/** Width of the column with the events' words. */
const WORD_WIDTH = 12;
/** Below these widths the seconds and the alignment, then the time, are left out. */
const NARROW_COLUMNS = 64;
const TINY_COLUMNS = 40;
/** Text is not wrapped to less than this: it would be a column of syllables. */
const TEXT_WIDTH_MIN = 16;

/** SGR parameters (ECMA-48 §8.3.117), all readable on dark and on light backgrounds. */
const TONES: Readonly<Record<Tone, string>> = {
  plain: "",
  quiet: "2",
  busy: "33",
  good: "32",
  rest: "34",
  bad: "31",
};
/** Without the colours of `TONES`, so that a name is never mistaken for a state. */
const NAME_COLORS_16 = ["36", "35", "96", "95"];
const NAME_COLORS_256 = [
  "73",
  "139",
  "109",
  "175",
  "66",
  "133",
  "110",
  "97",
  "37",
  "168",
  "72",
  "103",
].map((color) => `38;5;${color}`);

interface Grid {
  readonly timeWidth: 0 | 5 | 8;
  readonly nameWidth: number;
  readonly wordWidth: number;
  readonly columns: number;
}

/** Makes the function that turns one log line into text for the terminal, line breaks included. */
export function createTerminalFormat(options: TerminalOptions): (line: LogLine) => string {
  let widestName: number = NAME_WIDTH.min;
  return function format(line) {
    const entry = entryOf(line);
    widestName = Math.max(widestName, Bun.stringWidth(nameOf(entry)));
    return laidOut(entry, line.timeMs, {
      grid: gridFor(options.columns(), widestName),
      colorDepth: options.colorDepth,
    });
  };
}

function gridFor(columns: number, widestName: number): Grid {
  const narrow = columns < NARROW_COLUMNS;
  return {
    timeWidth: columns < TINY_COLUMNS ? 0 : narrow ? 5 : 8,
    nameWidth: Math.min(widestName, narrow ? NAME_WIDTH.maxNarrow : NAME_WIDTH.max),
    wordWidth: narrow ? 0 : WORD_WIDTH,
    columns,
  };
}

function laidOut(
  entry: Entry,
  timeMs: number,
  look: { readonly grid: Grid; readonly colorDepth: number },
): string {
  const { grid, colorDepth } = look;
  const paint = (style: string, text: string) =>
    colorDepth < 4 || style === "" || text === "" ? text : `\x1b[${style}m${text}\x1b[0m`;
  const time = clockTime(timeMs, grid.timeWidth);
  const name = fitted(nameOf(entry), grid.nameWidth);
  const word = entry.word === "" ? "" : `${entry.word} `.padEnd(grid.wordWidth + 1);

  const start = time === "" ? "" : `${paint("2", time)}  `;
  const head = `${start}${paint(nameColor(entry.app, colorDepth), name)}  `;
  const blank = " ".repeat((time === "" ? 0 : time.length + 2) + grid.nameWidth + 2);
  const width = Math.max(grid.columns - blank.length - 2, TEXT_WIDTH_MIN);

  const [first = "", ...more] = wrapped(word + entry.text, width);
  const fits = more.length === 0 && Bun.stringWidth(first) + 2 + entry.aside.length <= width;
  const beside = fits && entry.aside !== "" ? `  ${entry.aside}` : "";
  const aside = fits || entry.aside === "" ? [] : wrapped(entry.aside, width);

  const mark = paint(TONES[entry.tone], entry.mark);
  const lines = [
    `${head}${mark} ${painted(first, word.trimEnd(), entry.tone, paint)}${paint(TONES.quiet, beside)}`,
  ];
  const bar = paint(entry.tone === "bad" ? TONES.bad : TONES.quiet, "│");
  const textStyle = entry.tone === "quiet" ? TONES.quiet : "";
  for (const text of more) lines.push(`${blank}${bar} ${paint(textStyle, text)}`);
  for (const text of aside) lines.push(`${blank}${bar} ${paint(TONES.quiet, text)}`);
  for (const text of entry.below.flatMap((line) => wrapped(line, width))) {
    lines.push(`${blank}${bar} ${paint(textStyle, text)}`);
  }
  return `${lines.map((line) => line.trimEnd()).join("\n")}\n`;
}

/** The word in the colour of its tone, the sentence plain; a quiet line is dim as a whole. */
function painted(
  text: string,
  word: string,
  tone: Tone,
  paint: (style: string, text: string) => string,
): string {
  if (tone === "quiet") return paint(TONES.quiet, text);
  return paint(TONES[tone], text.slice(0, word.length)) + text.slice(word.length);
}

function nameOf(entry: Entry): string {
  return entry.app === "" ? "paastis" : entry.app;
}

/** Always the same colour for the same app, in every run: a short hash of its key (FNV-1a). */
function nameColor(app: string, colorDepth: number): string {
  if (app === "") return TONES.quiet;
  let hash = 0x811c9dc5;
  for (let at = 0; at < app.length; at += 1) {
    hash = Math.imul(hash ^ app.charCodeAt(at), 0x01000193) >>> 0;
  }
  const colors = colorDepth >= 8 ? NAME_COLORS_256 : NAME_COLORS_16;
  return colors[hash % colors.length] ?? "";
}

function clockTime(timeMs: number, width: Grid["timeWidth"]): string {
  const at = new Date(timeMs);
  const parts = [at.getHours(), at.getMinutes(), at.getSeconds()];
  return parts
    .map((part) => String(part).padStart(2, "0"))
    .join(":")
    .slice(0, width);
}

function fitted(name: string, width: number): string {
  const missing = width - Bun.stringWidth(name);
  return missing >= 0 ? name + " ".repeat(missing) : `${Bun.sliceAnsi(name, 0, width - 1)}…`;
}

/** A tab is as wide as the terminal likes, so it becomes two spaces. */
function wrapped(text: string, width: number): string[] {
  const lines = text.replaceAll("\t", "  ").split("\n");
  return lines.flatMap((line) => {
    if (Bun.stringWidth(line) <= width) return [line];
    const [first = "", ...more] = Bun.wrapAnsi(line, width, { hard: true, trim: false }).split(
      "\n",
    );
    // The space at which a line was broken is left at the start of the next.
    return [first, ...more.map((piece) => piece.trimStart())];
  });
}
