/** The real client understands the fake cluster: what `kubectl` does not take for one is none. */

import { describe, expect, test } from "bun:test";
import { createSystemClock } from "../../src/clock.ts";
import { tempDir } from "../support/temp-dir.ts";
import { until } from "../support/until.ts";
import {
  type FakeKubernetes,
  type FakeKubernetesOptions,
  startFakeKubernetes,
} from "./fake-kubernetes.ts";
import { type AccessRule, leastRules } from "./fake-kubernetes-access.ts";
import type { KubeconfigUser } from "./fake-kubernetes-files.ts";

const KUBECTL = Bun.which("kubectl");
/** It asks for single objects, and reads the size before it writes another. */
const RULES: readonly AccessRule[] = [
  ...leastRules(),
  {
    namespaces: "all",
    apiGroups: ["apps"],
    resources: ["deployments/scale"],
    verbs: ["get", "update"],
  },
];
const because = KUBECTL === null ? " (kubectl is not installed)" : "";

interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function start(options: Partial<FakeKubernetesOptions> = {}) {
  const home = tempDir();
  const fake = await startFakeKubernetes({
    ...{ clock: createSystemClock(), bootMs: 50, stopMs: 20, rules: RULES },
    ...options,
  });
  return {
    fake,
    run: (...argv: string[]) => run(home.path, configOf(fake), argv),
    /** The same, but who calls is somebody else. */
    runAs: (user: KubeconfigUser, ...argv: string[]) => run(home.path, configOf(fake, user), argv),
    spawn: (...argv: string[]) => spawn(home.path, configOf(fake), argv),
    async [Symbol.asyncDispose]() {
      await fake[Symbol.asyncDispose]();
      home[Symbol.dispose]();
    },
  };
}

function configOf(fake: FakeKubernetes, user?: KubeconfigUser): string {
  const { url: server, namespace, token } = fake;
  return fake.files.writeKubeconfig({
    ...{ server, namespace },
    user: user ?? { kind: "token", token },
  });
}

function spawn(home: string, config: string, argv: readonly string[]) {
  return Bun.spawn([KUBECTL ?? "", `--kubeconfig=${config}`, ...argv], {
    env: { PATH: process.env.PATH ?? "", HOME: home, LANG: "C" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
}

async function run(home: string, config: string, argv: readonly string[]): Promise<Finished> {
  const child = spawn(home, config, argv);
  const [stdout, stderr, status] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { status, stdout, stderr };
}

describe.skipIf(KUBECTL === null)(`kubectl${because}`, () => {
  test("lists in pages, over all namespaces", async () => {
    await using world = await start();
    for (const name of ["a", "b", "c"]) world.fake.addWorkload(name, { service: null });
    world.fake.addWorkload("d", { service: null, namespace: "other" });
    const all = ["get", "deployments", "-A", "--chunk-size=2"];
    const { stdout, status } = await world.run(...all, "-o", "json");
    expect(status).toBe(0);
    const { items } = JSON.parse(stdout);
    const names = items.map((item: { metadata: { name: string } }) => item.metadata.name);
    expect(names.toSorted()).toEqual(["a", "b", "c", "d"]);
    expect(world.fake.api.count("deployments.list")).toBe(2);
    const table = await world.run(...all);
    expect(table.stdout).toMatch(/^NAMESPACE\s+NAME\s+AGE\n/);
    expect(world.fake.violations).toEqual([]);
  });

  test("understands every kind of object that there is", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo");
    demo.addAutoscaler({ max: 3 });
    world.fake.addWorkload("db", { kind: "StatefulSet" });
    const kinds = "deployments,statefulsets,services,pods,endpointslices,hpa";
    const { stdout, stderr, status } = await world.run("get", kinds, "-o", "name");
    expect([status, stderr]).toEqual([0, ""]);
    expect(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split("/")[0]),
    ).toEqual([
      ...["deployment.apps", "statefulset.apps", "service", "service", "pod", "pod"],
      ...["endpointslice.discovery.k8s.io", "endpointslice.discovery.k8s.io"],
      "horizontalpodautoscaler.autoscaling",
    ]);
  });

  test("scales, with and without a condition, and waits for a rollout", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { replicas: 2 });
    const scaled = await world.run("scale", "deployment/demo", "--replicas=0");
    expect([scaled.status, demo.replicas]).toEqual([0, 0]);
    const again = ["scale", "deployment/demo", "--current-replicas=0", "--replicas=3"];
    expect((await world.run(...again)).status).toBe(0);
    const failed = await world.run(...again);
    expect([failed.status, demo.replicas]).toEqual([1, 3]);
    expect(failed.stderr).toContain("Expected replicas to be 0, was 3");
    const rollout = await world.run("rollout", "status", "deployment/demo", "--timeout=20s");
    expect(rollout.stdout).toContain('deployment "demo" successfully rolled out');
    expect(world.fake.violations).toEqual([]);
  });

  test("watches, and sees an app wake and go", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { replicas: 0 });
    const child = world.spawn("get", "deployment", "demo", "-w", "-o", "json");
    await until(() => world.fake.watches.count("deployments") === 1);
    demo.scale(1);
    await until(() => demo.object.status.readyReplicas === 1);
    demo.delete();
    world.fake.watches.end({ kind: "end" });
    const stdout = await child.stdout.text();
    expect(await child.exited).toBe(0);
    expect(stdout).toContain('"readyReplicas": 1');
    expect(world.fake.violations).toEqual([]);
  });

  test("waits until a workload is there and available", async () => {
    await using world = await start();
    const demo = world.fake.addWorkload("demo", { replicas: 0 });
    demo.podsGo({ bootMs: 400 });
    demo.scale(1);
    const wait = ["wait", "deployment/demo", "--for=jsonpath={.status.readyReplicas}=1"];
    const { status, stderr } = await world.run(...wait, "--timeout=20s");
    expect([status, stderr]).toEqual([0, ""]);
    expect(demo.ready).toBe(1);
  });

  test("tells what a Status says", async () => {
    await using world = await start({ rules: leastRules(["preview"]) });
    const missing = await world.run("get", "deployment", "demo");
    expect(missing.stderr).toBe(
      'Error from server (NotFound): deployments.apps "demo" not found\n',
    );
    const forbidden = await world.run("get", "deployments", "-A");
    expect(forbidden.stderr).toStartWith(
      'Error from server (Forbidden): deployments.apps is forbidden: User "system:serviceaccount:preview:paastis"',
    );
    world.fake.refuse();
    const refused = await world.run("get", "deployments");
    expect(refused.stderr).toContain("You must be logged in to the server");
  });

  test("comes in by a certificate, and by the proxy", async () => {
    await using world = await start();
    world.fake.addWorkload("demo");
    const list = ["get", "deployments", "-o", "name"];
    const certificate = await world.runAs({ kind: "certificate" }, ...list);
    expect(certificate.stdout).toBe("deployment.apps/demo\n");
    const server = `--server=${world.fake.proxyUrl}`;
    const proxied = await world.runAs({ kind: "none" }, server, ...list);
    expect(proxied.stdout).toBe("deployment.apps/demo\n");
  });
});
