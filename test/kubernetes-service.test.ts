/** Which Service a workload is reached by. */

import { expect, test } from "bun:test";
import { readService, routeOf, type Service } from "../src/providers/kubernetes-service.ts";
import { readWorkload, type Workload } from "../src/providers/kubernetes-workload.ts";

const DNS = { reach: "dns", clusterDomain: "cluster.local" } as const;
const IP = { reach: "cluster-ip", clusterDomain: "cluster.local" } as const;

function workload(annotations: Record<string, string> = {}): Workload {
  const marks = Object.entries(annotations).map(([name, text]) => [`paastis.dev/${name}`, text]);
  const read = readWorkload("deployment", {
    metadata: {
      name: "demo",
      namespace: "preview",
      annotations: { "paastis.dev/enabled": "true", ...Object.fromEntries(marks) },
    },
    spec: {
      selector: { matchLabels: { app: "demo" } },
      template: {
        metadata: { labels: { app: "demo", tier: "web" } },
        spec: { containers: [{ name: "web", ports: [{ name: "ui", containerPort: 3000 }] }] },
      },
    },
  });
  if (read === null) throw new Error("it was not read");
  return read;
}

function service(name: string, spec: object = {}, namespace = "preview"): Service {
  const read = readService({
    metadata: { name, namespace },
    spec: { selector: { app: "demo" }, clusterIP: "10.96.0.7", ports: [{ port: 80 }], ...spec },
  });
  if (read === null) throw new Error("it was not read");
  return read;
}

function originOf(
  services: readonly Service[],
  annotations: Record<string, string> = {},
  config: typeof DNS | typeof IP = DNS,
): string {
  const route = routeOf(workload(annotations), services, config);
  return route.kind === "known" ? route.target.origin : route.why;
}

test("kubernetes service: the only one that selects the pods, by its name or its address", () => {
  const others = [
    service("other", { selector: { app: "other" } }),
    service("far", {}, "production"),
    service("selects-nothing", { selector: {} }),
    service("narrow", { selector: { app: "demo", tier: "worker" } }),
  ];
  const services = [...others, service("demo", { ports: [{ port: 8080 }] })];
  expect(originOf(services)).toBe("http://demo.preview.svc.cluster.local:8080");
  expect(originOf(services, {}, IP)).toBe("http://10.96.0.7:8080");
});

test("kubernetes service: another cluster domain and an IPv6 address", () => {
  const config = { reach: "dns", clusterDomain: "k8s.home" } as const;
  const route = routeOf(workload(), [service("demo")], config);
  expect(route).toMatchObject({ service: "demo", target: { host: "demo.preview.svc.k8s.home" } });
  expect(originOf([service("demo", { clusterIP: "fd00::7" })], {}, IP)).toBe("http://[fd00::7]");
});

test("kubernetes service: the annotation names one, which need not select anything", () => {
  const services = [service("demo"), service("front", { selector: {} })];
  expect(originOf(services, { service: "front" })).toContain("//front.preview.");
  expect(originOf(services, { service: "lost" })).toBe("there is no Service lost in preview");
});

test("kubernetes service: none, and several, are told with what to do", () => {
  expect(originOf([])).toMatch(/no Service in preview selects its pods.*paastis\.dev\/service/);
  expect(originOf([service("a"), service("b")])).toMatch(/\(a, b\).*paastis\.dev\/service/);
});

test("kubernetes service: beside one with an address a headless one does not count", () => {
  const services = [service("demo-headless", { clusterIP: "None" }), service("demo")];
  expect(originOf(services)).toContain("//demo.preview.");
});

test("kubernetes service: a headless one leads to the port of the pods, and has no address", () => {
  const headless = (targetPort?: unknown) =>
    service("demo", { clusterIP: "None", ports: [{ port: 80, targetPort }] });
  expect(originOf([headless(3001)])).toBe("http://demo.preview.svc.cluster.local:3001");
  expect(originOf([headless("ui")])).toBe("http://demo.preview.svc.cluster.local:3000");
  expect(originOf([headless()])).toBe("http://demo.preview.svc.cluster.local");
  expect(originOf([headless("gone")])).toMatch(/the port gone, which none of the containers has/);
  expect(originOf([headless(3001)], {}, IP)).toMatch(/headless.*PROVIDER_KUBERNETES_REACH=dns/);
});

test("kubernetes service: one that stands for another name is none", () => {
  const external = service("demo", { type: "ExternalName", clusterIP: "" });
  expect(originOf([external], { service: "demo" })).toMatch(/ExternalName/);
});

const port = (name: string, number: number, more: object = {}) => ({ name, port: number, ...more });

const PORTS: readonly (readonly [what: string, ports: readonly object[], origin: RegExp])[] = [
  ["http", [port("metrics", 9090), port("http", 81), port("web", 82)], /^http:.*:81$/],
  ["web", [port("metrics", 9090), port("web", 82), port("http-x", 83)], /^http:.*:82$/],
  ["the only http-*", [port("metrics", 9090), port("http-x", 83)], /^http:.*:83$/],
  [
    "none of two http-*",
    [port("http-x", 83), port("http-y", 84)],
    /several ports .*paastis\.dev\/port/,
  ],
  ["none of others", [port("a", 1), port("b", 2)], /several ports \(1 \(a\), 2 \(b\)\)/],
  ["the only one of TCP", [port("dns", 53, { protocol: "UDP" }), port("x", 85)], /^http:.*:85$/],
  ["none where there is none of TCP", [port("dns", 53, { protocol: "UDP" })], /no TCP port/],
  ["https by its appProtocol", [port("x", 8443, { appProtocol: "HTTPS" })], /^https:.*:8443$/],
  ["https by its name", [port("https", 8443)], /^https:/],
  ["https beside others", [port("metrics", 9090), port("https", 8443)], /^https:.*:8443$/],
  ["http beside https", [port("https", 8443), port("http", 81)], /^http:.*:81$/],
  [
    "the only one whose appProtocol is one of HTTP",
    [port("metrics", 9090), port("main", 86, { appProtocol: "kubernetes.io/ws" })],
    /^http:.*:86$/,
  ],
  [
    "wss by its appProtocol",
    [
      port("db", 5432, { appProtocol: "postgresql" }),
      port("main", 87, { appProtocol: "kubernetes.io/wss" }),
    ],
    /^https:.*:87$/,
  ],
  ["http by its appProtocol", [port("https", 8443, { appProtocol: "http" })], /^http:/],
];

for (const [what, ports, origin] of PORTS) {
  test(`kubernetes service: of its ports, ${what}`, () => {
    expect(originOf([service("demo", { ports })])).toMatch(origin);
  });
}

test("kubernetes service: the annotation names a port by number or name, if there is such a one", () => {
  const services = [service("demo", { ports: [port("a", 1), port("b", 2)] })];
  expect(originOf(services, { port: "2" })).toEndWith(":2");
  expect(originOf(services, { port: "a" })).toEndWith(":1");
  expect(originOf(services, { port: "3" })).toMatch(/has no port 3; it has 1 \(a\), 2 \(b\)/);
});
