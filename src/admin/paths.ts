/** The paths of the admin endpoints: no other path of an app is taken for one. */

/** By path: the method that it is asked with. */
export const ADMIN_PATHS = {
  "/__status": "GET",
  "/__metrics": "GET",
  "/__health": "GET",
  "/__switch": "POST",
  "/__deploy": "POST",
  "/__pause": "POST",
  "/__resume": "POST",
  "/__maintenance": "POST",
} as const;

/** Whether a request's target, in origin form, is one of them. */
export function isAdminPath(target: string): boolean {
  if (!target.startsWith("/__")) return false;
  const end = target.indexOf("?");
  return Object.hasOwn(ADMIN_PATHS, end === -1 ? target : target.slice(0, end));
}
