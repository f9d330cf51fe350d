/** A well-behaved client of the fake Docker engine, for tests of the fake itself. */

import {
  API,
  type EngineAnswer,
  type EngineClient,
  engineClient,
} from "../support/engine-client.ts";
import { tempDir } from "../support/temp-dir.ts";
import { createVirtualClock, type VirtualClock } from "../support/virtual-clock.ts";
import { type FakeDocker, type FakeDockerOptions, startFakeDocker } from "./fake-docker.ts";

/** A fake, its clock, and a client on its socket. */
export interface DockerWorld extends AsyncDisposable {
  readonly clock: VirtualClock;
  readonly docker: FakeDocker;
  readonly client: EngineClient;
  get(path: string): Promise<EngineAnswer>;
  /** An order, such as `/containers/demo/start`. */
  post(path: string): Promise<EngineAnswer>;
  /** What `GET /containers/<name>/json` says of its state. */
  // biome-ignore lint/suspicious/noExplicitAny: as it is; each test says what it expects of it
  stateOf(name: string): Promise<any>;
}

/** Over a virtual clock. */
export async function startWorld(options: Partial<FakeDockerOptions> = {}): Promise<DockerWorld> {
  const clock = createVirtualClock();
  const folder = tempDir();
  const docker = await startFakeDocker({
    clock,
    socketPath: folder.file("docker.sock"),
    ...options,
  });
  const client = engineClient(docker.socketPath);
  const get = (path: string) => client.call("GET", API + path);
  return {
    clock,
    docker,
    client,
    get,
    post: (path) => client.call("POST", API + path),
    stateOf: async (name) => (await get(`/containers/${name}/json`)).body.State,
    async [Symbol.asyncDispose]() {
      await docker[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
    },
  };
}
