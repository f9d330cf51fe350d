/** The way to the log-in page, and back to the same place. */

/** Leaves the page. */
export function logInAndComeBack(): void {
  location.assign(`/__/login?next=${encodeURIComponent(location.pathname)}`);
}

/** Ends the log-in, and leaves the page. */
export async function logOut(): Promise<void> {
  await fetch("/__/logout", { method: "POST" }).catch(() => null);
  location.assign("/__/login");
}
