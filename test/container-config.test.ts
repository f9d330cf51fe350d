/** How the Docker engine and the Kubernetes cluster are found, from variables to the configuration. */

import { describe, expect, test } from "bun:test";
import { type Environment, loadConfig } from "../src/load-config.ts";
import { tempDir } from "./support/temp-dir.ts";

function load(environment: Environment) {
  using folder = tempDir();
  const reading = loadConfig({ environment, flags: {}, workingDirectory: folder.path });
  return { reading, folder: folder.path };
}

function dockerOf(environment: Environment) {
  const { reading, folder } = load({ PROVIDER_NAME: "docker", ...environment });
  if (reading.kind === "invalid") throw new Error(reading.problems.join("; "));
  return { docker: reading.config.docker, config: reading.config, folder };
}

function kubernetesOf(environment: Environment) {
  const { reading, folder } = load({ PROVIDER_NAME: "kubernetes", ...environment });
  if (reading.kind === "invalid") throw new Error(reading.problems.join("; "));
  return { kubernetes: reading.config.kubernetes, folder };
}

function problemsOf(environment: Environment): readonly string[] {
  const { reading } = load(environment);
  return reading.kind === "invalid" ? reading.problems : [];
}

describe("docker", () => {
  test("without a word it is the engine on this machine, and published ports answer on the loopback", () => {
    expect(dockerOf({}).docker).toEqual({
      api: { kind: "unix", socketPath: "/var/run/docker.sock" },
      publishedHost: "127.0.0.1",
      network: null,
      stopTimeoutMs: 10_000,
    });
  });

  test.each([
    ["tcp://box.example:2375", {}, "http://box.example:2375", "box.example"],
    ["tcp://box.example", {}, "http://box.example:2375", "box.example"],
    ["tcp://10.0.0.7:80", {}, "http://10.0.0.7:80", "10.0.0.7"],
    ["tcp://[fd00::7]:2375", {}, "http://[fd00::7]:2375", "[fd00::7]"],
    ["http://proxy:2375/", {}, "http://proxy:2375", "proxy"],
    [
      "tcp://box",
      { DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: "/certs" },
      "https://box:2376",
      "box",
    ],
  ])("%s with %p is %s", (host, more, origin, publishedHost) => {
    const { docker } = dockerOf({ DOCKER_HOST: host, ...more });
    const certificateDir = "DOCKER_CERT_PATH" in more ? "/certs" : null;
    expect(docker?.api).toEqual({ kind: "tcp", origin, certificateDir });
    expect(docker?.publishedHost).toBe(publishedHost);
  });

  test("a folder of certificates counts from the working directory", () => {
    const tls = { DOCKER_HOST: "tcp://box:1", DOCKER_TLS_VERIFY: "1", DOCKER_CERT_PATH: "certs" };
    const { docker, folder } = dockerOf(tls);
    expect(docker?.api).toMatchObject({ certificateDir: `${folder}/certs` });
  });

  test.each([
    "ssh://root@box",
    "unix://relative.sock",
    "/var/run/docker.sock",
    "tcp://user:secret@box:1",
    "tcp://box:1/path",
    "tcp://",
  ])("%s is refused, but only where docker is to be used", (host) => {
    const [problem] = problemsOf({ PROVIDER_NAME: "docker", DOCKER_HOST: host });
    expect(problem).toContain("DOCKER_HOST must be unix:// and the absolute path of a socket");
    expect(problemsOf({ PROVIDER_NAME: "process", DOCKER_HOST: host })).toEqual([]);
  });

  test("TLS needs certificates", () => {
    const host = { PROVIDER_NAME: "docker", DOCKER_HOST: "tcp://box:2376", DOCKER_TLS_VERIFY: "1" };
    expect(problemsOf(host).join()).toContain("DOCKER_CERT_PATH is required");
  });

  test("commands that Paastis runs find the same engine and the same cluster", () => {
    const shared = { DOCKER_HOST: "tcp://box:1", KUBECONFIG: "/k", KUBERNETES_SERVICE_HOST: "::1" };
    const { config } = dockerOf({ ...shared, PROVIDER_DOCKER_NETWORK: "web" });
    expect(config.childEnvironment).toEqual(shared);
  });
});

describe("kubernetes", () => {
  const IN_CLUSTER = { KUBERNETES_SERVICE_HOST: "fd00::1", KUBERNETES_SERVICE_PORT: "6443" };

  test("in a container of a cluster it is that cluster, by the service account", () => {
    expect(kubernetesOf(IN_CLUSTER).kubernetes).toEqual({
      api: {
        kind: "in-cluster",
        host: "fd00::1",
        port: 6443,
        serviceAccountDir: "/var/run/secrets/kubernetes.io/serviceaccount",
      },
      namespaces: null,
      clusterDomain: "cluster.local",
      reach: "dns",
    });
  });

  test("a kubeconfig that is named goes before the cluster around, the first where several are", () => {
    const { kubernetes, folder } = kubernetesOf({ ...IN_CLUSTER, KUBECONFIG: "mine:/other" });
    expect(kubernetes).toMatchObject({
      api: { kind: "kubeconfig", file: `${folder}/mine`, context: null },
      reach: "cluster-ip",
    });
  });

  test("elsewhere it is the usual file of kubectl", () => {
    const { kubernetes } = kubernetesOf({ HOME: "/home/ada", PROVIDER_KUBERNETES_CONTEXT: "dev" });
    const api = { kind: "kubeconfig", file: "/home/ada/.kube/config", context: "dev" };
    expect(kubernetes?.api).toEqual(api as typeof api & { kind: "kubeconfig" });
  });

  test.each([
    ["web, API,web", ["web", "api"]],
    ["all", "all"],
    ["ALL", "all"],
  ] as const)("namespaces %s are %p", (text, namespaces) => {
    const more = { ...IN_CLUSTER, PROVIDER_KUBERNETES_NAMESPACES: text };
    expect(kubernetesOf(more).kubernetes?.namespaces).toEqual(namespaces as string[] | "all");
  });

  test("without a cluster anywhere, that is said", () => {
    expect(problemsOf({ PROVIDER_NAME: "kubernetes" }).join()).toContain("KUBECONFIG is required");
  });
});

describe("render, fly and upsun", () => {
  test("a token is enough, and all else has a default", () => {
    const { reading } = load({
      PROVIDER_NAME: "render,fly,upsun",
      PROVIDER_RENDER_API_TOKEN: "rnd_1",
      PROVIDER_FLY_API_TOKEN: "FlyV1 fm2_abc,fm2_def",
      PROVIDER_UPSUN_API_TOKEN: "up-1",
    });
    if (reading.kind === "invalid") throw new Error(reading.problems.join("; "));
    expect(reading.config.render).toEqual({
      token: "rnd_1",
      operationTimeoutMs: 60_000,
      callsPerMinute: 120,
      apiUrl: "https://api.render.com/v1",
    });
    expect(reading.config.fly).toEqual({
      token: "FlyV1 fm2_abc,fm2_def",
      organization: "personal",
      sleepMode: "suspend",
      appUrl: "https://{app}.fly.dev",
      operationTimeoutMs: 60_000,
      callsPerMinute: 120,
      apiUrl: "https://api.machines.dev",
    });
    expect(reading.config.upsun).toEqual({
      token: "up-1",
      projects: null,
      operationTimeoutMs: 60_000,
      callsPerMinute: 60,
      apiUrl: "https://api.upsun.com",
      authUrl: "https://auth.upsun.com",
    });
  });

  test.each(["RENDER", "FLY", "UPSUN"])("%s needs its token", (name) => {
    const problems = problemsOf({ PROVIDER_NAME: name.toLowerCase() });
    expect(problems).toEqual([
      `PROVIDER_${name}_API_TOKEN is required, as PROVIDER_NAME has ${name.toLowerCase()}`,
    ]);
  });
});
