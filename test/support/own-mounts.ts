/** Programs that see a small disk, or other name servers, of their own: no other process does. */

/** `unshare` of util-linux: as root in a namespace, which other users may make too where the system lets them. */
const OWN = ["unshare", "--user", "--map-root-user", "--mount"];

/** Why none can be made here; `null`: they can. */
export function whyNoOwnMounts(): string | null {
  if (Bun.which("unshare") === null) return "unshare is missing";
  const tried = Bun.spawnSync([...OWN, "mount", "-t", "tmpfs", "none", "/mnt"]);
  return tried.exitCode === 0 ? null : "this user may not mount anything, not even for itself";
}

/**
 * What to put before a command, which then keeps its process id.
 * @param script for `sh`: what to mount
 */
export function withOwnMounts(script: string): readonly string[] {
  return [...OWN, "sh", "-c", `${script} && exec "$0" "$@"`];
}

/** Where others find what such a process has at `path`, absolute, while it lives. */
export function pathSeenBy(pid: number, path: string): string {
  return `/proc/${pid}/root${path}`;
}
