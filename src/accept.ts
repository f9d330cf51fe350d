/** Which form of an answer a client accepts (RFC 9110, section 12.5.1). */

/** The forms an answer of ours can have. */
export type Form = "json" | "text" | "html";

interface MediaRange {
  readonly type: string;
  readonly quality: number;
}

interface Match {
  readonly form: Form;
  readonly quality: number;
  readonly specificity: number;
}

/** What we look at; no browser or library sends nearly as much. */
const ACCEPT_CHARS_MAX = 2_000;

/** In the order we prefer them when the client does not care. */
const FORMS: readonly Form[] = ["json", "text", "html"];

/** Most specific first: how a range is written that covers a form. HTML must be named to be sent. */
const COVERS: Readonly<Record<Form, readonly RegExp[]>> = {
  json: [/^application\/(?:json|[^*]+\+json)$/, /^application\/\*$/, /^\*\/\*$/],
  text: [/^text\/plain$/, /^text\/\*$/, /^\*\/\*$/],
  html: [/^text\/html$/],
};

/**
 * The form with the highest quality; on a tie the one that is named more exactly, then JSON before text before
 * HTML. HTML is chosen only when `text/html` is named. What accepts nothing we have gets JSON, as RFC 9110
 * allows: an error in the wrong form says more than none.
 * @param accept the `Accept` header; `null` when there is none
 */
export function formFor(accept: string | null): Form {
  const ranges = readAccept(accept ?? "*/*");
  const best = FORMS.map((form) => matchOf(form, ranges))
    .filter((match) => match.quality > 0)
    .sort((a, b) => b.quality - a.quality || b.specificity - a.specificity)[0];
  return best?.form ?? "json";
}

/** The quality of a form is that of the most specific range that covers it, even when that is 0. */
function matchOf(form: Form, ranges: readonly MediaRange[]): Match {
  const covers = COVERS[form];
  for (const [index, pattern] of covers.entries()) {
    const qualities = ranges.filter(({ type }) => pattern.test(type)).map((range) => range.quality);
    if (qualities.length > 0) {
      return { form, quality: Math.max(...qualities), specificity: covers.length - index };
    }
  }
  return { form, quality: 0, specificity: 0 };
}

/** The media ranges of a header. What cannot be read is passed over. */
function readAccept(accept: string): readonly MediaRange[] {
  const unquoted = accept.slice(0, ACCEPT_CHARS_MAX).replace(/"(?:[^"\\]|\\.)*"/g, '""');
  return unquoted.split(",").flatMap((part) => {
    const [type = "", ...parameters] = part.split(";").map((piece) => piece.trim().toLowerCase());
    const quality = qualityOf(parameters);
    return type === "" || quality === null ? [] : [{ type, quality }];
  });
}

/** 0 to 1; 1 when there is no `q`; `null` when it cannot be read. */
function qualityOf(parameters: readonly string[]): number | null {
  const written = parameters.find((parameter) => /^q\s*=/.test(parameter));
  if (written === undefined) return 1;
  const value = written.slice(written.indexOf("=") + 1).trim();
  return /^(?:0(?:\.\d*)?|1(?:\.0*)?|\.\d+)$/.test(value) ? Number(value) : null;
}
