/** How the cluster is called: with which credentials, list by list, and what its refusals mean. */

import { expect, test } from "bun:test";
import { createKubernetesApi } from "../src/providers/kubernetes-api.ts";
import type { ApiCall } from "../src/providers/platform-api.ts";
import { failureOf } from "./support/platform-server.ts";
import { LOCALHOST_CERTIFICATE, LOCALHOST_KEY, PRIVATE_CA } from "./support/private-ca.ts";
import { recordingLog } from "./support/recording-log.ts";
import {
  type ClusterClient,
  clientOf,
  kubeconfigOf,
  listAnswer,
  startScriptedCluster,
  statusAnswer,
} from "./support/scripted-cluster.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const ORDER = { what: "list pods", urgency: "wake", path: "/api/v1/pods" } as const;
const patient = () => new AbortController().signal;

function list({ api }: ClusterClient) {
  return api.list({ ...ORDER, signal: patient() });
}

function get({ api }: ClusterClient, change: Partial<ApiCall> = {}) {
  const call = { what: "read a pod", path: "/api/v1/namespaces/a/pods/b", method: "GET" } as const;
  return api.send({ ...call, urgency: "wake", signal: patient(), ...change });
}

test("kubernetes list: pages are followed to the last, empty ones too, with the same question", async () => {
  await using cluster = startScriptedCluster();
  const pages = [
    listAnswer([{ a: 1 }, { a: 2 }], "70", "t/1"),
    listAnswer([], "71", "t/2"),
    listAnswer([{ a: 3 }], "72"),
  ];
  cluster.answer = () => pages.shift() ?? statusAnswer(500);
  await using client = await clientOf(cluster);
  const { api } = client;
  const found = await api.list({ ...ORDER, query: "labelSelector=a%3Db", signal: patient() });
  expect(found).toEqual({ items: [{ a: 1 }, { a: 2 }, { a: 3 }], resourceVersion: "70" });
  expect(cluster.calls.map(({ path }) => path)).toEqual([
    "/api/v1/pods?labelSelector=a%3Db&limit=250",
    "/api/v1/pods?labelSelector=a%3Db&limit=250&continue=t%2F1",
    "/api/v1/pods?labelSelector=a%3Db&limit=250&continue=t%2F2",
  ]);
});

test("kubernetes list: begun anew when the cluster has forgotten where it was, in one piece at last", async () => {
  await using cluster = startScriptedCluster();
  cluster.answer = ({ path }) => {
    if (path.includes("continue=")) return statusAnswer(410, { reason: "Expired" });
    if (path.includes("limit=")) return listAnswer([{ a: 1 }], "70", "token");
    return listAnswer([{ a: 1 }, { a: 2 }], "71");
  };
  await using client = await clientOf(cluster);
  expect(await list(client)).toEqual({ items: [{ a: 1 }, { a: 2 }], resourceVersion: "71" });
  expect(cluster.calls).toHaveLength(5);
});

test("kubernetes list: an empty one may be written as null, but something else is no list", async () => {
  await using cluster = startScriptedCluster();
  await using client = await clientOf(cluster);
  cluster.answer = () => Response.json({ metadata: { resourceVersion: "5" }, items: null });
  expect(await list(client)).toEqual({ items: [], resourceVersion: "5" });
  cluster.answer = () => Response.json({ paths: ["/api"] });
  const failure = await failureOf(list(client));
  expect([failure.kind, failure.message]).toEqual(["protocol", expect.stringContaining("items")]);
});

test("kubernetes credentials: a token is read again after a minute", async () => {
  await using cluster = startScriptedCluster();
  const clock = createVirtualClock();
  await using client = await clientOf(cluster, { clock });
  await list(client);
  await Bun.write(client.file, kubeconfigOf(cluster.origin, "second-token"));
  await clock.advance(59_000);
  await list(client);
  await clock.advance(1_000);
  await list(client);
  const sent = cluster.calls.map(({ authorization }) => authorization);
  expect(sent).toEqual(["Bearer first-token", "Bearer first-token", "Bearer second-token"]);
});

test("kubernetes credentials: a token that is refused is read again at once, and the call made once more", async () => {
  await using cluster = startScriptedCluster();
  cluster.answer = ({ authorization }) =>
    authorization === "Bearer second-token" ? listAnswer([], "1") : statusAnswer(401);
  await using client = await clientOf(cluster);
  await client.api.connection.access();
  await Bun.write(client.file, kubeconfigOf(cluster.origin, "second-token"));
  await list(client);
  expect(cluster.calls).toHaveLength(2);
});

test("kubernetes credentials: a token that stays refused fails after the second try, and is not told", async () => {
  await using cluster = startScriptedCluster();
  cluster.answer = ({ authorization }) => statusAnswer(401, { message: `no ${authorization}` });
  await using client = await clientOf(cluster);
  const failure = await failureOf(list(client));
  expect(failure.kind).toBe("auth");
  expect(failure.message).not.toContain("first-token");
  expect(cluster.calls).toHaveLength(2);
});

test("kubernetes credentials: a file that is being replaced does not matter, unless the token was refused", async () => {
  await using cluster = startScriptedCluster();
  const clock = createVirtualClock();
  await using client = await clientOf(cluster, { clock });
  await list(client);
  await Bun.write(client.file, "");
  await clock.advance(60_000);
  await list(client);
  expect(client.lines.map(({ level, message }) => [level, message])).toContainEqual([
    "warn",
    expect.stringContaining("what was read before is used meanwhile"),
  ]);
  cluster.answer = () => statusAnswer(401);
  const failure = await failureOf(list(client));
  expect([failure.kind, failure.message]).toEqual(["auth", expect.stringContaining("is empty")]);
});

test("kubernetes credentials: those of another cluster are not sent to this one", async () => {
  await using cluster = startScriptedCluster();
  const clock = createVirtualClock();
  await using client = await clientOf(cluster, { clock });
  await list(client);
  await Bun.write(client.file, kubeconfigOf("https://other.test", "theirs"));
  await clock.advance(60_000);
  await list(client);
  const sent = cluster.calls.map(({ authorization }) => authorization);
  expect(sent).toEqual(["Bearer first-token", "Bearer first-token"]);
  expect(client.lines.some(({ message }) => message.includes("names another cluster"))).toBe(true);
});

test("kubernetes credentials: a kubeconfig that cannot be used fails each call, and is read again by the next", async () => {
  await using cluster = startScriptedCluster();
  await using client = await clientOf(cluster);
  await Bun.write(client.file, "{}");
  const failure = await failureOf(list(client));
  expect([failure.kind, failure.message]).toEqual(["auth", expect.stringContaining(client.file)]);
  await Bun.write(client.file, kubeconfigOf(cluster.origin, "second-token"));
  await list(client);
  expect(cluster.calls).toHaveLength(1);
});

/** The folder of a service account, and an API with a certificate of a private CA. */
async function startInCluster(files: Readonly<Record<string, string>>) {
  const dir = tempDir();
  for (const [name, text] of Object.entries(files)) await Bun.write(dir.file(name), text);
  const seen: (string | null)[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    tls: { cert: LOCALHOST_CERTIFICATE, key: LOCALHOST_KEY },
    fetch(request) {
      seen.push(request.headers.get("authorization"));
      return listAnswer([], "1");
    },
  });
  const api = createKubernetesApi({
    config: {
      api: {
        kind: "in-cluster",
        host: "localhost",
        port: server.port ?? 0,
        serviceAccountDir: dir.path,
      },
      namespaces: null,
      clusterDomain: "cluster.local",
      reach: "dns",
    },
    clock: createVirtualClock(),
    random: () => 0,
    log: recordingLog().log,
    fetch,
  });
  return {
    api,
    seen,
    async [Symbol.asyncDispose]() {
      api.close();
      await server.stop(true);
      dir[Symbol.dispose]();
    },
  };
}

const ACCOUNT = { token: "of-the-account\n", "ca.crt": PRIVATE_CA, namespace: "paastis" };

test("kubernetes in a cluster: token, CA and namespace come from the service account", async () => {
  await using cluster = await startInCluster(ACCOUNT);
  await cluster.api.list({ ...ORDER, signal: patient() });
  expect(cluster.seen).toEqual(["Bearer of-the-account"]);
  expect((await cluster.api.connection.access()).namespace).toBe("paastis");
});

test("kubernetes in a cluster: a certificate that the CA does not vouch for is refused", async () => {
  const { STRANGER_CA } = await import("./support/private-ca.ts");
  await using cluster = await startInCluster({ ...ACCOUNT, "ca.crt": STRANGER_CA });
  const failure = await failureOf(cluster.api.list({ ...ORDER, signal: patient() }));
  expect(failure.kind).toBe("network");
  expect(cluster.seen).toEqual([]);
});

for (const name of ["token", "ca.crt", "namespace"]) {
  test(`kubernetes in a cluster: without ${name} the message says which file is missing`, async () => {
    const files = Object.entries(ACCOUNT).filter(([file]) => file !== name);
    await using cluster = await startInCluster(Object.fromEntries(files));
    const failure = await failureOf(cluster.api.list({ ...ORDER, signal: patient() }));
    expect([failure.kind, failure.message]).toEqual(["auth", expect.stringContaining(`/${name}`)]);
  });
}

test("kubernetes in a cluster: a CA that is no certificate is told, not that no connection can be made", async () => {
  await using cluster = await startInCluster({ ...ACCOUNT, "ca.crt": "hello" });
  const failure = await failureOf(cluster.api.list({ ...ORDER, signal: patient() }));
  expect(failure.message).toContain("the certificate authority of the cluster cannot be used");
});

test("kubernetes in a cluster: an IPv6 address of the API stands in brackets", async () => {
  const dir = tempDir();
  for (const [name, text] of Object.entries(ACCOUNT)) await Bun.write(dir.file(name), text);
  using _ = dir;
  const urls: string[] = [];
  const api = createKubernetesApi({
    config: {
      api: { kind: "in-cluster", host: "fd00::1", port: 443, serviceAccountDir: dir.path },
      namespaces: null,
      clusterDomain: "cluster.local",
      reach: "dns",
    },
    clock: createVirtualClock(),
    random: () => 0,
    log: recordingLog().log,
    async fetch(url) {
      urls.push(url);
      return listAnswer([], "1");
    },
  });
  await api.list({ ...ORDER, signal: patient() });
  expect(urls).toEqual(["https://[fd00::1]/api/v1/pods?limit=250"]);
  api.close();
});

test("kubernetes refusals: what a Role does not allow is told as the rule that it lacks", async () => {
  await using cluster = startScriptedCluster();
  const who = 'User "system:serviceaccount:paastis:paastis"';
  const may = `cannot patch resource "deployments/scale" in API group "apps"`;
  const message = `deployments.apps "demo" is forbidden: ${who} ${may} in the namespace "preview"`;
  cluster.answer = () => statusAnswer(403, { reason: "Forbidden", message });
  await using client = await clientOf(cluster);
  const failure = await failureOf(get(client));
  expect(failure.kind).toBe("forbidden");
  expect(failure.message).toBe(
    "could not read a pod: system:serviceaccount:paastis:paastis may not patch deployments/scale: " +
      'its Role in preview needs the rule { apiGroups: ["apps"], resources: ["deployments/scale"], verbs: ["patch"] }',
  );
  expect(cluster.calls).toHaveLength(1);
});

test("kubernetes refusals: for the whole cluster it is a ClusterRole; other words are quoted", async () => {
  await using cluster = startScriptedCluster();
  const message = 'User "ada" cannot list resource "services" in API group "" at the cluster scope';
  cluster.answer = () => statusAnswer(403, { message });
  await using client = await clientOf(cluster);
  expect((await failureOf(get(client))).message).toContain("ada may not list services: its Clust");
  cluster.answer = () => statusAnswer(403, { message: "exceeded quota" });
  expect((await failureOf(get(client))).message).toContain('"exceeded quota"');
});

test("kubernetes refusals: too many calls are made again after the time that the cluster names", async () => {
  await using cluster = startScriptedCluster();
  const answers = [
    statusAnswer(429, { details: { retryAfterSeconds: 2 } }),
    statusAnswer(429, {}, { "retry-after": "1" }),
    listAnswer([], "1"),
  ];
  const clock = createVirtualClock();
  const atMs: number[] = [];
  cluster.answer = () => {
    atMs.push(clock.now());
    return answers.shift() ?? statusAnswer(500);
  };
  await using client = await clientOf(cluster, { clock });
  const listed = client.api.list({ ...ORDER, urgency: "sweep", signal: patient() });
  await until(async () => {
    await clock.advance(50);
    return atMs.length === 3;
  });
  await listed;
  const [first = 0, second = 0, third = 0] = atMs;
  // The clock goes on while answers are on their way.
  expect(second - first).toBeWithin(2_000, 10_000);
  expect(third - second).toBeWithin(1_000, 10_000);
});

const KINDS: readonly (readonly [status: number, kind: string])[] = [
  [404, "not-found"],
  [409, "busy"],
  [422, "invalid"],
  [500, "unavailable"],
  [504, "unavailable"],
];

for (const [status, kind] of KINDS) {
  test(`kubernetes refusals: ${status} is ${kind}, with the cluster's own words`, async () => {
    await using cluster = startScriptedCluster();
    cluster.answer = () => statusAnswer(status, { message: "in its own words" });
    await using client = await clientOf(cluster);
    const failure = await failureOf(get(client));
    expect(failure.kind as string).toBe(kind);
    expect(failure.message).toContain('"in its own words"');
  });
}

test("kubernetes api: the proxy that the kubeconfig names is gone through", async () => {
  // It plays the proxy: nobody else knows where that cluster is.
  await using proxy = startScriptedCluster();
  await using client = await clientOf({ origin: "http://cluster.invalid" });
  const config = JSON.parse(kubeconfigOf("http://cluster.invalid", "first-token"));
  config.clusters[0].cluster["proxy-url"] = proxy.origin;
  await Bun.write(client.file, JSON.stringify(config));
  expect(await list(client)).toEqual({ items: [], resourceVersion: "1" });
  expect(proxy.calls.map(({ authorization }) => authorization)).toEqual(["Bearer first-token"]);
});
