/**
 * A Docker engine of a test's own, of Debian's `docker.io`: `dockerd` and `containerd` with all that they keep in one
 * temporary folder, an image made of busybox, and a network on a bridge that no other run has.
 */

import { writeFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { busyboxTar } from "./busybox-image.ts";
import { API, type EngineClient, engineClient } from "./engine-client.ts";
import { ENGINE_MAX_MS, startKeeper, whyNoEngine } from "./engine-keeper.ts";
import { tempDir } from "./temp-dir.ts";
import { until } from "./until.ts";

/** A running engine. */
export interface DockerEngine extends AsyncDisposable, EngineClient {
  readonly socketPath: string;
  /** What containers are made of: a busybox. */
  readonly image: string;
  /** Name of the network whose addresses this machine can reach. */
  readonly network: string;
  /** Ends `dockerd`; its containers go on, as `live-restore` is on. */
  stop(how?: "politely" | "at once"): Promise<void>;
  /** Starts it again, and waits until it answers. */
  start(): Promise<void>;
}

const IMAGE = "app";
const NETWORK = "paastis";

/** Why there can be no engine here; `null`: there can. */
export function whyNoDocker(): string | null {
  return whyNoEngine(["dockerd", "containerd", "runc"], "docker.io and busybox-static");
}

/** Starts it, with its image and its network. */
export async function startDockerEngine(): Promise<DockerEngine> {
  const folder = tempDir();
  // Names of network devices have 15 characters at most.
  const name = `pt${crypto.randomUUID().replaceAll("-", "").slice(0, 12)}`;
  writeSettings(folder.path, name);
  const keeper = startKeeper({ script: SCRIPT, words: WORDS, folder: folder.path, name });
  const socketPath = folder.file("docker.sock");
  const client = engineClient(socketPath);
  const start = async () => {
    keeper.say("start");
    await until(() => isAnswering(client), ENGINE_MAX_MS);
  };
  async function dispose(): Promise<void> {
    await keeper.end();
    folder[Symbol.dispose]();
  }
  try {
    await start();
    await prepare(client, name);
  } catch (error) {
    const log = await Bun.file(folder.file("dockerd.log"))
      .text()
      .catch(() => "it wrote no log");
    await dispose();
    throw new Error(`the engine did not start: ${log.slice(-4000)}`, { cause: error });
  }
  return {
    ...client,
    socketPath,
    image: IMAGE,
    network: NETWORK,
    start,
    async stop(how = "politely") {
      keeper.say(how === "politely" ? "stop" : "kill");
      await keeper.untilEnded();
    },
    [Symbol.asyncDispose]: dispose,
  };
}

/** Folders that the engines of a machine share are covered with empty ones. */
const SCRIPT = `
for shared in /etc/docker /run/docker /run/containerd; do
  mkdir -p $shared && mount -t tmpfs tmpfs $shared || exit 1
done
containerd --config "$1/containerd.toml" >containerd.log 2>&1 &`;
const WORDS = `
    start) dockerd --config-file "$1/daemon.json" >>dockerd.log 2>&1 & engine=$! ;;
    stop) kill -TERM $engine; wait $engine; echo ended ;;
    kill) kill -KILL $engine; wait $engine; echo ended ;;`;

/** No packet filter rules are made, as those of several engines would be in each other's way. */
function writeSettings(folder: string, name: string): void {
  const containerd = [
    "version = 2",
    `root = "${folder}/containerd"`,
    `state = "${folder}/containerd-state"`,
    `disabled_plugins = ["io.containerd.grpc.v1.cri"]`,
    "[grpc]",
    `address = "${folder}/containerd.sock"`,
  ];
  writeFileSync(`${folder}/containerd.toml`, containerd.join("\n"));
  const daemon = {
    hosts: [`unix://${folder}/docker.sock`],
    "data-root": `${folder}/data`,
    "exec-root": `${folder}/exec`,
    pidfile: `${folder}/docker.pid`,
    containerd: `${folder}/containerd.sock`,
    "exec-opts": ["native.cgroupdriver=cgroupfs"],
    "cgroup-parent": `/${name}`,
    "live-restore": true,
    bridge: "none",
    iptables: false,
    ip6tables: false,
    "ip-forward": false,
    "ip-masq": false,
  };
  writeFileSync(`${folder}/daemon.json`, JSON.stringify(daemon));
}

/** Whether an engine answers already. */
export async function isAnswering(client: EngineClient): Promise<boolean> {
  try {
    return (await client.call("GET", "/_ping")).status === 200;
  } catch {
    return false; // Not yet.
  }
}

/** Gives an engine the image that apps are made of. */
export async function importImage(client: EngineClient): Promise<string> {
  const path = `${API}/images/create?fromSrc=-&repo=${IMAGE}`;
  const answer = await client.call("POST", path, await busyboxTar());
  if (answer.status !== 200) throw new Error(`the image: ${answer.text}`);
  return IMAGE;
}

async function prepare(client: EngineClient, bridge: string): Promise<void> {
  await importImage(client);
  const network = await client.call("POST", `${API}/networks/create`, {
    Name: NETWORK,
    Driver: "bridge",
    IPAM: { Config: [{ Subnet: freeSubnet() }] },
    Options: { "com.docker.network.bridge.name": bridge },
  });
  if (network.status !== 201) throw new Error(`the network: ${network.text}`);
}

/** One that this machine is not in. */
function freeSubnet(): string {
  const own = Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).map(({ address }) => address),
  );
  for (;;) {
    const [one, two] = crypto.getRandomValues(new Uint8Array(2));
    const start = `10.${one}.${two}.`;
    if (!own.some((address) => address.startsWith(start))) return `${start}0/24`;
  }
}
