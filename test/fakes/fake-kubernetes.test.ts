/** The fake cluster's API answers with the documented names, and refuses what is to be refused. */

import { describe, expect, test } from "bun:test";
import { createSystemClock } from "../../src/clock.ts";
import { callCluster } from "../support/kubernetes-client.ts";
import { createVirtualClock } from "../support/virtual-clock.ts";
import { answersText } from "./fake-faults.ts";
import { type FakeKubernetesOptions, startFakeKubernetes } from "./fake-kubernetes.ts";
import { leastRules } from "./fake-kubernetes-access.ts";

function start(options: Partial<FakeKubernetesOptions> = {}) {
  return startFakeKubernetes({ clock: createSystemClock(), ...options });
}

const APPS = "/apis/apps/v1";
const DEMO = `${APPS}/namespaces/preview/deployments/demo`;

/** A path of fields: `spec.replicas`; `items.0.metadata`. */
function at(value: unknown, path: string): unknown {
  let found = value;
  for (const part of path.split(".")) {
    found = typeof found === "object" && found !== null ? Reflect.get(found, part) : undefined;
  }
  return found;
}

function fieldsAt(value: unknown, path: string): string[] {
  return Object.keys(Object(path === "" ? value : at(value, path))).toSorted();
}

describe("names", () => {
  test("a list of Deployments has the documented fields, and zeros are left out", async () => {
    await using fake = await start();
    fake.addWorkload("demo", {
      replicas: 0,
      annotations: { "paastis.dev/previous-replicas": "2" },
    });
    fake.addWorkload("shop");
    const { body } = await callCluster(fake, `${APPS}/deployments?limit=250`);
    expect(fieldsAt(body, "")).toEqual(["apiVersion", "items", "kind", "metadata"]);
    expect([at(body, "kind"), at(body, "apiVersion")]).toEqual(["DeploymentList", "apps/v1"]);
    expect(fieldsAt(body, "metadata")).toEqual(["resourceVersion"]);
    expect(fieldsAt(body, "items.0")).toEqual(["metadata", "spec", "status"]);
    expect(fieldsAt(body, "items.0.metadata")).toEqual(
      [
        ...["name", "namespace", "uid", "generation", "resourceVersion"],
        ...["creationTimestamp", "labels", "annotations"],
      ].toSorted(),
    );
    expect(fieldsAt(body, "items.0.status")).toEqual(["conditions", "observedGeneration"]);
    expect(fieldsAt(body, "items.1.status")).toEqual([
      ...["availableReplicas", "conditions", "observedGeneration"],
      ...["readyReplicas", "replicas", "updatedReplicas"],
    ]);
    expect(at(body, "items.1.spec.selector")).toEqual({ matchLabels: { app: "shop" } });
    expect(fake.violations).toEqual([]);
  });

  test("a StatefulSet says two of its numbers when they are 0, and has no conditions", async () => {
    await using fake = await start();
    fake.addWorkload("db", { kind: "StatefulSet", replicas: 0 });
    const { body } = await callCluster(fake, `${APPS}/namespaces/preview/statefulsets/db`);
    expect(at(body, "kind")).toBe("StatefulSet");
    expect(fieldsAt(body, "status")).toEqual([
      ...["availableReplicas", "collisionCount", "currentRevision"],
      ...["observedGeneration", "replicas", "updateRevision"],
    ]);
  });

  test("a Scale has the documented fields, and leaves a size of 0 out", async () => {
    await using fake = await start();
    const demo = fake.addWorkload("demo", { replicas: 2 });
    const before = await callCluster(fake, `${DEMO}/scale`);
    expect(fieldsAt(before.body, "")).toEqual(["apiVersion", "kind", "metadata", "spec", "status"]);
    expect(at(before.body, "apiVersion")).toBe("autoscaling/v1");
    expect(at(before.body, "spec")).toEqual({ replicas: 2 });
    expect(at(before.body, "status")).toEqual({ replicas: 2, selector: "app=demo" });
    demo.scale(0);
    expect(at((await callCluster(fake, `${DEMO}/scale`)).body, "spec")).toEqual({});
    await using frank = await start({ saysZero: true });
    frank.addWorkload("demo", { replicas: 0 });
    const { body } = await callCluster(frank, `${DEMO}/scale`);
    expect(at(body, "spec")).toEqual({ replicas: 0 });
  });

  test("EndpointSlices, Services, pods and autoscalers have the documented fields", async () => {
    await using fake = await start();
    const demo = fake.addWorkload("demo");
    demo.addAutoscaler({ min: 1, max: 3 });
    const slices = "/apis/discovery.k8s.io/v1/namespaces/preview/endpointslices";
    const query = "?labelSelector=kubernetes.io%2Fservice-name%3Ddemo";
    const slice = at((await callCluster(fake, slices + query)).body, "items.0");
    expect(fieldsAt(slice, "")).toEqual(["addressType", "endpoints", "metadata", "ports"]);
    expect(fieldsAt(slice, "endpoints.0")).toEqual(
      ["addresses", "conditions", "nodeName", "targetRef"].toSorted(),
    );
    const up = { ready: true, serving: true, terminating: false };
    expect(at(slice, "endpoints.0.conditions")).toEqual(up);
    expect(at(slice, "ports")).toEqual([{ name: "http", port: 8080, protocol: "TCP" }]);
    const service = at((await callCluster(fake, "/api/v1/services")).body, "items.0");
    expect(at(service, "spec.ports.0")).toEqual({
      ...{ name: "http", protocol: "TCP", targetPort: "web" },
      port: demo.entrances[0]?.port,
    });
    expect(at(service, "spec.clusterIP")).toMatch(/^127\.\d+\.\d+\.\d+$/);
    const pod = at((await callCluster(fake, "/api/v1/namespaces/preview/pods")).body, "items.0");
    expect(at(pod, "status.phase")).toBe("Running");
    expect(at(pod, "metadata.ownerReferences.0.kind")).toBe("ReplicaSet");
    const scalers = "/apis/autoscaling/v2/namespaces/preview/horizontalpodautoscalers";
    const scaler = at((await callCluster(fake, scalers)).body, "items.0");
    const target = { apiVersion: "apps/v1", kind: "Deployment", name: "demo" };
    expect(at(scaler, "spec.scaleTargetRef")).toEqual(target);
    expect([at(scaler, "spec.minReplicas"), at(scaler, "spec.maxReplicas")]).toEqual([1, 3]);
    expect(fake.violations).toEqual([]);
  });

  test("a Service without pods has a slice with no lists at all", async () => {
    await using fake = await start();
    fake.addWorkload("demo", { replicas: 0 });
    const { body } = await callCluster(fake, "/apis/discovery.k8s.io/v1/endpointslices");
    expect([at(body, "items.0.endpoints"), at(body, "items.0.ports")]).toEqual([null, null]);
  });

  test("a resourceVersion is beyond what a number can hold", async () => {
    await using fake = await start();
    const { body } = await callCluster(fake, `${APPS}/deployments`);
    const text = String(at(body, "metadata.resourceVersion"));
    expect(String(Number(text))).not.toBe(text);
  });

  test("unknown fields come everywhere, but not as labels", async () => {
    await using fake = await start();
    fake.addWorkload("demo");
    fake.api.beStrange({ hasUnknownFields: true });
    const { body } = await callCluster(fake, DEMO);
    expect(at(body, "spec.x_flag")).toBe(true);
    expect(fieldsAt(body, "metadata.labels")).toEqual(["paastis.dev/enabled"]);
  });
});

describe("lists", () => {
  async function fleet(options: Partial<FakeKubernetesOptions> = {}) {
    const fake = await start(options);
    for (const name of ["a", "b", "c", "d", "e"]) fake.addWorkload(name, { service: null });
    return fake;
  }

  async function page(fake: Awaited<ReturnType<typeof fleet>>, query: string) {
    const answer = await callCluster(fake, `${APPS}/deployments?${query}`);
    const items = (at(answer.body, "items") ?? []) as { metadata: { name: string } }[];
    const names = items.map(({ metadata }) => metadata.name).join("");
    return { ...answer, names, next: String(at(answer.body, "metadata.continue") ?? "") };
  }

  test("pages are of one moment, whatever happens in between", async () => {
    await using fake = await fleet();
    const first = await page(fake, "limit=2");
    expect([first.names, at(first.body, "metadata.remainingItemCount")]).toEqual(["ab", 3]);
    fake.store.remove("deployments", "preview", "d");
    fake.addWorkload("bb", { service: null });
    const second = await page(fake, `limit=2&continue=${encodeURIComponent(first.next)}`);
    const third = await page(fake, `limit=2&continue=${encodeURIComponent(second.next)}`);
    expect([second.names, third.names, third.next]).toEqual(["cd", "e", ""]);
    const versions = [first, second, third].map(({ body }) => at(body, "metadata.resourceVersion"));
    expect(new Set(versions).size).toBe(1);
    expect((await page(fake, "limit=9")).names).toBe("abbbce");
    expect(fake.violations).toEqual([]);
  });

  test("a page may have fewer objects than were asked for, even none", async () => {
    await using fake = await fleet();
    fake.lists.shortenPages(0, 1);
    const first = await page(fake, "limit=5");
    const second = await page(fake, `limit=5&continue=${encodeURIComponent(first.next)}`);
    const third = await page(fake, `limit=5&continue=${encodeURIComponent(second.next)}`);
    expect([first.names, second.names, third.names]).toEqual(["", "a", "bcde"]);
  });

  test.each(["after its time", "compacted", "on demand"] as const)(
    "a token that expired (%s) is 410 with a token for the rest as it is now",
    async (how) => {
      const clock = createVirtualClock();
      await using fake = await fleet({ clock });
      const first = await page(fake, "limit=2");
      if (how === "after its time") await clock.advance(300_001);
      if (how === "compacted") fake.store.compact();
      if (how === "on demand") fake.lists.expirePages();
      fake.store.remove("deployments", "preview", "c");
      const gone = await page(fake, `limit=2&continue=${encodeURIComponent(first.next)}`);
      expect([gone.status, at(gone.body, "reason"), at(gone.body, "code")]).toEqual([
        ...[410, "Expired", 410],
      ]);
      const rest = await page(fake, `limit=9&continue=${encodeURIComponent(gone.next)}`);
      expect(rest.names).toBe("de");
    },
  );

  test("label selectors of all forms select, in one namespace or in all", async () => {
    await using fake = await start();
    fake.addWorkload("a", { service: null, labels: { x: "1", y: "2" } });
    fake.addWorkload("b", { service: null, labels: { x: "2" } });
    fake.addWorkload("c", { service: null, labels: {}, namespace: "other" });
    const names = async (selector: string) =>
      (await page(fake, `labelSelector=${encodeURIComponent(selector)}`)).names;
    expect(await names("")).toBe("cab");
    expect(await names("x=1")).toBe("a");
    expect(await names("x!=1")).toBe("cb");
    expect(await names("x in (1, 2),y")).toBe("a");
    expect(await names("x notin (1)")).toBe("cb");
    expect(await names("!x")).toBe("c");
    const own = await callCluster(fake, `${APPS}/namespaces/other/deployments`);
    expect(at(own.body, "items.0.metadata.name")).toBe("c");
    const odd = await page(fake, "labelSelector=a%3D%3D%3Db");
    expect([odd.status, at(odd.body, "reason")]).toEqual([400, "BadRequest"]);
  });

  test("field selectors know some fields, and refuse others", async () => {
    await using fake = await fleet();
    expect((await page(fake, "fieldSelector=metadata.name%3Dc")).names).toBe("c");
    const refused = await page(fake, "fieldSelector=spec.replicas%3D1");
    expect(at(refused.body, "message")).toBe("field label not supported: spec.replicas");
  });

  test("a long list is compressed for who can read that", async () => {
    await using fake = await start();
    for (let one = 0; one < 200; one += 1) fake.addWorkload(`app-${one}`, { service: null });
    const { body, headers } = await callCluster(fake, `${APPS}/deployments`);
    expect(headers.get("vary")).toBe("Accept-Encoding");
    expect((at(body, "items") as unknown[]).length).toBe(200);
  });

  test("what a client gets wrong in a query is noted", async () => {
    await using fake = await fleet();
    const { next } = await page(fake, "limit=2");
    expect((await page(fake, "limits=2")).status).toBe(200);
    expect((await page(fake, `limit=2&labelSelector=x&continue=${next}`)).status).toBe(200);
    expect((await page(fake, `continue=${next}`)).status).toBe(200);
    expect(fake.violations.map((text) => text.replace(/.*: /, ""))).toEqual([
      'unknown query parameter "limits"',
      "a `continue` with other parameters than those of the first page",
      "a `continue` without the `limit` of the page before",
    ]);
  });
});

describe("access", () => {
  test("an old token is refused once another is there, and the folder has the new one", async () => {
    await using fake = await start();
    const dir = fake.files.serviceAccountDir;
    const old = fake.token;
    expect(await Bun.file(`${dir}/token`).text()).toBe(old);
    expect(await Bun.file(`${dir}/namespace`).text()).toBe("preview");
    fake.rotateToken();
    const answer = await callCluster(fake, `${APPS}/deployments`, { as: { token: old } });
    expect([answer.status, at(answer.body, "reason")]).toEqual([401, "Unauthorized"]);
    expect(await Bun.file(`${dir}/token`).text()).toBe(fake.token);
    expect((await callCluster(fake, `${APPS}/deployments`)).status).toBe(200);
    const graced = fake.token;
    fake.rotateToken(60_000);
    const late = await callCluster(fake, `${APPS}/deployments`, { as: { token: graced } });
    expect(late.status).toBe(200);
    expect(fake.violations).toEqual([]);
  });

  test("a certificate of the cluster's CA will do, and so will the proxy", async () => {
    await using fake = await start();
    const paths = `${APPS}/deployments`;
    expect((await callCluster(fake, paths, { as: "certificate" })).status).toBe(200);
    expect((await callCluster(fake, paths, { as: "proxy" })).status).toBe(200);
    const nobody = await callCluster(fake, paths, { as: "nobody" });
    expect([nobody.status, at(nobody.body, "message")]).toEqual([
      403,
      'deployments.apps is forbidden: User "system:anonymous" cannot list resource "deployments" in API group "apps" at the cluster scope',
    ]);
    expect(fake.violations).toHaveLength(1);
  });

  test("what a Role does not allow is 403, verb by verb and namespace by namespace", async () => {
    await using fake = await start({ rules: leastRules(["preview"]) });
    fake.addWorkload("demo");
    const status = async (path: string) => (await callCluster(fake, path)).status;
    expect(await status(`${APPS}/deployments`)).toBe(403);
    expect(await status(`${APPS}/namespaces/preview/deployments`)).toBe(200);
    expect(await status(`${APPS}/namespaces/other/deployments`)).toBe(403);
    expect(await status("/api/v1/namespaces/preview/pods")).toBe(200);
    const one = await callCluster(fake, "/api/v1/namespaces/preview/pods/demo");
    expect(at(one.body, "message")).toBe(
      'pods "demo" is forbidden: User "system:serviceaccount:preview:paastis" cannot get resource "pods" in API group "" in the namespace "preview"',
    );
    const body = { spec: { replicas: 1 } };
    const update = await callCluster(fake, `${DEMO}/scale`, { method: "PUT", body });
    expect(at(update.body, "message")).toContain(
      'cannot update resource "deployments/scale" in API group "apps"',
    );
    expect(fake.violations).toEqual([]);
    const end = await callCluster(fake, DEMO, { method: "DELETE" });
    expect([end.status, fake.violations.length]).toEqual([403, 1]);
  });

  test("too many calls are 429: text of the queues, or a Status of the server", async () => {
    await using fake = await start();
    fake.refuseCalls();
    const queued = await callCluster(fake, `${APPS}/deployments`);
    expect([queued.status, queued.headers.get("retry-after"), queued.body]).toEqual([
      ...[429, "1", "Too many requests, please try again later.\n"],
    ]);
    expect(queued.headers.has("x-kubernetes-pf-flowschema-uid")).toBe(true);
    fake.refuseCalls("server", 7);
    const served = await callCluster(fake, `${APPS}/deployments`);
    expect(at(served.body, "details.retryAfterSeconds")).toBe(7);
    expect(served.headers.get("retry-after")).toBe("7");
    fake.allowCalls();
    expect((await callCluster(fake, `${APPS}/deployments`)).status).toBe(200);
    expect(fake.rateLimited).toBe(2);
  });

  test("calls go wrong on demand, and the API can be away", async () => {
    await using fake = await start();
    fake.api.fail("deployments.list", answersText(503, "no healthy upstream"));
    expect((await callCluster(fake, `${APPS}/deployments`)).status).toBe(503);
    await fake.api.goDown("refuse");
    const error = await callCluster(fake, "/version").catch((thrown: unknown) => thrown);
    expect(at(error, "code")).toBe("ECONNREFUSED");
    await fake.api.comeUp();
    const { body } = await callCluster(fake, "/version", { as: "nobody" });
    expect(at(body, "gitVersion")).toMatch(/^v1\.\d+\./);
  });

  test("one may ask who one is, and what one may do", async () => {
    await using fake = await start();
    const ask = (group: string, kind: string, spec = {}) =>
      callCluster(fake, `/apis/${group}.k8s.io/v1/${kind.toLowerCase()}s`, {
        method: "POST",
        body: { kind, apiVersion: `${group}.k8s.io/v1`, spec },
      });
    const me = await ask("authentication", "SelfSubjectReview");
    expect(at(me.body, "status.userInfo.username")).toBe("system:serviceaccount:preview:paastis");
    const may = async (verb: string) => {
      const resourceAttributes = { group: "apps", resource: "deployments", verb };
      const spec = { resourceAttributes };
      const answer = await ask("authorization", "SelfSubjectAccessReview", spec);
      return at(answer.body, "status.allowed");
    };
    expect([await may("list"), await may("delete")]).toEqual([true, false]);
    expect(fake.violations).toEqual([]);
  });
});

describe("changes", () => {
  const patch = (body: unknown, more = {}) => ({ method: "PATCH", body, ...more });

  test("a size is changed by a patch of the scale, which counts the generation up once", async () => {
    await using fake = await start();
    const demo = fake.addWorkload("demo");
    const scaled = patch({ spec: { replicas: 0 } });
    const path = `${DEMO}/scale?fieldManager=paastis`;
    const { status, body } = await callCluster(fake, path, scaled);
    expect([status, at(body, "kind"), at(body, "spec")]).toEqual([200, "Scale", {}]);
    expect(demo.replicas).toBe(0);
    expect(demo.object.metadata.generation).toBe(2);
    expect(demo.object.metadata.managedFields?.[0]).toMatchObject({
      ...{ manager: "paastis", operation: "Update", subresource: "scale" },
    });
    await callCluster(fake, path, scaled);
    expect(demo.object.metadata.generation).toBe(2);
    expect(fake.violations).toEqual([]);
  });

  test("an annotation is merged, and taken away by null, and the generation stays", async () => {
    await using fake = await start();
    const demo = fake.addWorkload("demo", { annotations: { a: "1" } });
    const write = (annotations: object) =>
      callCluster(fake, DEMO, patch({ metadata: { annotations } }));
    await write({ "paastis.dev/previous-replicas": "3" });
    expect(demo.annotations).toEqual({ a: "1", "paastis.dev/previous-replicas": "3" });
    await write({ a: null });
    expect(demo.annotations).toEqual({ "paastis.dev/previous-replicas": "3" });
    expect(demo.object.metadata.generation).toBe(1);
    expect(fake.violations).toEqual([]);
  });

  test.each([
    ["application/json-patch+json", [{ op: "replace", path: "/spec/replicas", value: 4 }]],
    ["application/strategic-merge-patch+json", { spec: { replicas: 4 } }],
    ["application/merge-patch+json; charset=utf-8", { spec: { replicas: 4 } }],
  ])("a patch may be %s", async (type, body) => {
    await using fake = await start();
    const demo = fake.addWorkload("demo");
    expect((await callCluster(fake, `${DEMO}/scale`, patch(body, { type }))).status).toBe(200);
    expect(demo.replicas).toBe(4);
    expect(fake.violations).toEqual([]);
  });

  test.each([
    ["a type that is none of a patch", { type: "application/json" }, 415, "UnsupportedMediaType"],
    ["a size that is text", { body: { spec: { replicas: "3" } } }, 422, "Invalid"],
    ["a size below zero", { body: { spec: { replicas: -1 } } }, 422, "Invalid"],
    ["half a replica", { body: { spec: { replicas: 1.5 } } }, 422, "Invalid"],
    ["no JSON object", { body: [1] }, 422, "Invalid"],
  ])("%s is refused, and noted", async (_what, more, status, reason) => {
    await using fake = await start();
    const demo = fake.addWorkload("demo");
    const order = { ...patch({ spec: { replicas: 3 } }), ...more };
    const answer = await callCluster(fake, `${DEMO}/scale`, order);
    expect([answer.status, at(answer.body, "reason")]).toEqual([status, reason]);
    expect([demo.replicas, fake.violations.length]).toEqual([1, 1]);
  });

  test("a field that there is not is dropped with a warning, and noted", async () => {
    await using fake = await start();
    const demo = fake.addWorkload("demo");
    const order = patch({ spec: { replica: 3 } });
    const answer = await callCluster(fake, `${DEMO}/scale`, order);
    expect([answer.status, answer.headers.get("warning")]).toEqual([
      ...[200, '299 - "unknown field \\"spec.replica\\""'],
    ]);
    expect([demo.replicas, fake.violations.length]).toEqual([1, 1]);
    const strict = await callCluster(fake, `${DEMO}/scale?fieldValidation=Strict`, order);
    expect(strict.status).toBe(400);
  });

  test("an annotation that is no text, and a size that is changed on the object, are noted", async () => {
    await using fake = await start();
    const demo = fake.addWorkload("demo");
    const odd = patch({ metadata: { annotations: { "paastis.dev/previous-replicas": 3 } } });
    expect((await callCluster(fake, DEMO, odd)).status).toBe(422);
    expect((await callCluster(fake, DEMO, patch({ spec: { replicas: 3 } }))).status).toBe(200);
    expect([demo.replicas, fake.violations.length]).toEqual([3, 2]);
  });

  test("a version that is not the newest is a conflict, whoever says it", async () => {
    await using fake = await start({ rules: [...leastRules(), ...UPDATES] });
    const demo = fake.addWorkload("demo");
    const { resourceVersion } = demo.object.metadata;
    const body = (version?: string) => ({
      kind: "Scale",
      apiVersion: "autoscaling/v1",
      metadata: { name: "demo", namespace: "preview", resourceVersion: version },
      spec: { replicas: 2 },
    });
    demo.annotate({ a: "b" });
    for (const method of ["PUT", "PATCH"]) {
      const order = { method, body: body(resourceVersion) };
      const answer = await callCluster(fake, `${DEMO}/scale`, order);
      expect([answer.status, at(answer.body, "reason")]).toEqual([409, "Conflict"]);
    }
    const newest = { method: "PUT", body: body(demo.object.metadata.resourceVersion) };
    expect((await callCluster(fake, `${DEMO}/scale`, newest)).status).toBe(200);
    expect(fake.violations).toEqual([]);
    const blind = { method: "PUT", body: body() };
    expect((await callCluster(fake, `${DEMO}/scale`, blind)).status).toBe(200);
    expect(fake.violations).toHaveLength(1);
  });

  test("what is not there is 404, with the name of the resource", async () => {
    await using fake = await start();
    const answer = await callCluster(fake, `${DEMO}/scale`, patch({ spec: { replicas: 1 } }));
    expect(answer.body).toEqual({
      kind: "Status",
      apiVersion: "v1",
      metadata: {},
      status: "Failure",
      message: 'deployments.apps "demo" not found',
      reason: "NotFound",
      details: { name: "demo", group: "apps", kind: "deployments" },
      code: 404,
    });
  });
});

const UPDATES = [
  {
    namespaces: "all" as const,
    apiGroups: ["apps"],
    resources: ["deployments/scale"],
    verbs: ["update"],
  },
];
