/** The headers that everything of ours is sent with. */

/** Nothing is loaded, shown in a frame, sent anywhere, or kept. A page that needs more says so itself. */
export const STRICT_POLICY =
  "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/**
 * By name, in lower case. `Referrer-Policy` is not `no-referrer`: browsers would then send `Origin: null` with our own
 * forms (Fetch, "append a request `Origin` header").
 */
export const STRICT_HEADERS: readonly (readonly [name: string, value: string])[] = [
  ["cache-control", "no-store"],
  ["content-security-policy", STRICT_POLICY],
  ["cross-origin-resource-policy", "same-origin"],
  ["referrer-policy", "same-origin"],
  ["x-content-type-options", "nosniff"],
  ["x-frame-options", "DENY"],
];

/** The same answer with them, in place; what it says itself stays. */
export function withStrictHeaders(response: Response): Response {
  for (const [name, value] of STRICT_HEADERS) {
    if (!response.headers.has(name)) response.headers.set(name, value);
  }
  return response;
}
