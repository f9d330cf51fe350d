/** Starts what `fetch` needs while there are descriptors for it. */

/**
 * Bun ends the process when the first `fetch` of all finds no descriptors for its thread (seen in
 * 1.4.5); later ones fail like any other. So the first is made before there are clients, to a socket
 * file that cannot exist.
 */
export function warmUpFetch(): void {
  fetch("http://localhost/", { unix: "/dev/null/none" }).catch(ignore);
}

function ignore(): void {
  // It fails always: only the thread it has started counts.
}
