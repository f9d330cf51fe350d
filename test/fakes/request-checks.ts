/** What every fake API looks at in a call before it believes it; each finding is a violation. */

import type { Call } from "./fake-platform.ts";

/** A JSON object that came from outside. */
export type Fields = Readonly<Record<string, unknown>>;

/** `value` as an object, or `null` when it is something else (arrays included). */
export function fieldsOf(value: unknown): Fields | null {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return value as Fields; // Objects have nothing but fields; each is still unknown.
}

/** The header must be there and match. @returns whether it does */
export function checkHeader(call: Call, name: string, pattern: RegExp): boolean {
  const value = call.headers.get(name);
  if (value !== null && pattern.test(value)) return true;
  call.violation(
    value === null ? `without the header ${name}` : `${name} is "${value}", not ${pattern}`,
  );
  return false;
}

/**
 * The body must be a JSON object sent as JSON.
 * @returns it, or `null` after a violation
 */
export function checkJsonBody(call: Call): Fields | null {
  checkHeader(call, "content-type", /^application\/json\b/i);
  const body = fieldsOf(call.json);
  if (body === null) call.violation(`the body must be a JSON object: ${quoted(call.text)}`);
  return body;
}

/** There must be no body. */
export function checkNoBody(call: Call): void {
  if (call.text !== "") call.violation(`a body is not expected: ${quoted(call.text)}`);
}

/** No other fields than `allowed`. @param where how the message calls the object: `containers[0]` */
export function checkFields(
  call: Call,
  value: Fields,
  { where, allowed }: { readonly where: string; readonly allowed: readonly string[] },
): void {
  for (const name of Object.keys(value)) {
    if (!allowed.includes(name)) call.violation(`${where} has the unknown field "${name}"`);
  }
}

/** No other query parameters than `allowed`, each at most once. */
export function checkQuery(call: Call, allowed: readonly string[] = []): void {
  const names = [...call.query.keys()];
  for (const name of new Set(names)) {
    if (!allowed.includes(name)) call.violation(`unknown query parameter "${name}"`);
    if (names.filter((other) => other === name).length > 1) {
      call.violation(`query parameter "${name}" more than once`);
    }
  }
}

function quoted(text: string): string {
  return text === "" ? "it is empty" : `"${text.slice(0, 200)}"`;
}
