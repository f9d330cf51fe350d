/**
 * A Podman engine of a test's own, of Debian's `podman`, that speaks Docker's API. Its containers use the host's network:
 * networks of its own would leave packet filter rules behind.
 */

import { importImage, isAnswering } from "./docker-engine.ts";
import { type EngineClient, engineClient } from "./engine-client.ts";
import { ENGINE_MAX_MS, startKeeper, whyNoEngine } from "./engine-keeper.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

/** A running engine. */
export interface PodmanEngine extends AsyncDisposable, EngineClient {
  readonly socketPath: string;
  readonly image: string;
  /** The host's. */
  readonly network: string;
  /** What each container must have: more of `HostConfig`. */
  readonly host: Readonly<Record<string, unknown>>;
}

/** Why there can be no engine here; `null`: there can. */
export function whyNoPodman(): string | null {
  return whyNoEngine(["podman", "conmon", "runc"], "podman, runc and busybox-static");
}

/** Starts it, with its image. */
export async function startPodmanEngine(): Promise<PodmanEngine> {
  const folder = tempDir();
  const name = `pp${crypto.randomUUID().replaceAll("-", "").slice(0, 12)}`;
  const keeper = startKeeper({ script: SCRIPT, words: "*) ;;", folder: folder.path, name });
  const socketPath = folder.file("podman.sock");
  const client = engineClient(socketPath);
  async function dispose(): Promise<void> {
    await keeper.end();
    folder[Symbol.dispose]();
  }
  let image = "";
  try {
    await until(() => isAnswering(client), ENGINE_MAX_MS);
    image = await importImage(client);
  } catch (error) {
    const log = await Bun.file(folder.file("podman.log"))
      .text()
      .catch(() => "it wrote no log");
    await dispose();
    throw new Error(`the engine did not start: ${log.slice(-4000)}`, { cause: error });
  }
  // Limits of its own choice may be higher than those of this process, and are then refused.
  const Ulimits = ["nofile", "nproc"].map((limit) => ({ Name: limit, Soft: 1024, Hard: 1024 }));
  return {
    ...client,
    socketPath,
    image,
    network: "host",
    host: { Ulimits, CgroupParent: `/${name}` },
    [Symbol.asyncDispose]: dispose,
  };
}

/** Folders that the engines of a machine share are covered with empty ones. */
const SCRIPT = `
for shared in /run/containers /run/libpod /run/netns /var/lib/cni; do
  mkdir -p $shared && mount -t tmpfs tmpfs $shared || exit 1
done
podman --root "$1/root" --runroot "$1/runroot" --tmpdir "$1/tmp" --runtime runc \
  --cgroup-manager cgroupfs --events-backend file --network-config-dir "$1/networks" \
  system service --time=0 "unix://$1/podman.sock" >podman.log 2>&1 &`;
