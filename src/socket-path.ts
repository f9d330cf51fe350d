/** How long the path of a unix socket may be. Pure. */

/** The longest path that a socket's address has room for (Linux, unix(7): `sun_path` without its zero), in bytes. */
export const SOCKET_BYTES_MAX = 107;

/** Whether a socket's address has room for the path. */
export function fitsSocket(path: string): boolean {
  return Buffer.byteLength(path) <= SOCKET_BYTES_MAX;
}
