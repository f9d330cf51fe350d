/** Answers with fields and words that a client has never heard of: platforms add them without notice. */

/** How strange the answers are. */
export interface Strangeness {
  /** Every object in every JSON answer has fields more. */
  readonly hasUnknownFields: boolean;
  /** Field name -> the word that stands there instead, wherever this field is a string: `{ status: "hibernating" }`. */
  readonly words: Readonly<Record<string, string>>;
}

export const NOT_STRANGE: Strangeness = { hasUnknownFields: false, words: {} };

const UNKNOWN_FIELDS = { a_field_of_tomorrow: { nested: [1, null, "two"] }, x_flag: true };

/**
 * @param maps names of fields whose object is a map (ids -> things), not a record: nothing is added to it
 */
export function makeStrange(
  value: unknown,
  strangeness: Strangeness,
  maps: readonly string[],
): unknown {
  return changed(value, { strangeness, maps, isMap: false });
}

interface Step {
  readonly strangeness: Strangeness;
  readonly maps: readonly string[];
  readonly isMap: boolean;
}

function changed(value: unknown, step: Step): unknown {
  if (Array.isArray(value)) return value.map((item) => changed(item, { ...step, isMap: false }));
  if (typeof value !== "object" || value === null) return value;
  const { strangeness, maps } = step;
  const fields = Object.entries(value).map(([name, inner]): [string, unknown] => {
    const word = strangeness.words[name];
    if (word !== undefined && typeof inner === "string") return [name, word];
    return [name, changed(inner, { ...step, isMap: maps.includes(name) })];
  });
  const hasMore = strangeness.hasUnknownFields && !step.isMap;
  return { ...Object.fromEntries(fields), ...(hasMore ? UNKNOWN_FIELDS : {}) };
}
