/** What a kubeconfig says. */

import { expect, test } from "bun:test";
import { readKubeconfig } from "../src/providers/kubernetes-kubeconfig.ts";
import { ProviderError } from "../src/providers/provider.ts";

const FILE = "/home/ada/.kube/config";
const PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
const PEM_DATA = Buffer.from(PEM).toString("base64");

function kubeconfig(parts: { cluster?: object; user?: object; context?: object } = {}): string {
  const { cluster = {}, user = { token: "s3cr3t" }, context = {} } = parts;
  // JSON is YAML.
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "home",
    contexts: [
      { name: "home", context: { cluster: "c1", user: "ada", ...context } },
      { name: "work", context: { cluster: "c2", user: "ada", namespace: "team" } },
    ],
    clusters: [
      { name: "c1", cluster: { server: "https://10.0.0.1:6443/", ...cluster } },
      { name: "c2", cluster: { server: "https://[fd00::1]:6443" } },
    ],
    users: [{ name: "ada", user }],
  });
}

function read(text: string, context: string | null = null) {
  return readKubeconfig(text, { file: FILE, context });
}

function refusal(text: string, context: string | null = null): string {
  try {
    read(text, context);
  } catch (error) {
    if (error instanceof ProviderError && error.kind === "auth") return error.message;
    throw error;
  }
  throw new Error("it was read");
}

test("kubeconfig: the current context says the server, the namespace and the token", () => {
  expect(read(kubeconfig({ context: { namespace: "preview" } }))).toEqual({
    baseUrl: "https://10.0.0.1:6443",
    namespace: "preview",
    ca: null,
    isInsecure: false,
    serverName: null,
    proxy: null,
    token: { kind: "text", text: "s3cr3t" },
    client: null,
  });
});

test("kubeconfig: another context can be named; a path and an IPv6 address of the server are kept", () => {
  const found = read(kubeconfig(), "work");
  expect(found.baseUrl).toBe("https://[fd00::1]:6443");
  expect(found.namespace).toBe("team");
  const server = "https://rancher.test/k8s/clusters/c-x";
  expect(read(kubeconfig({ cluster: { server } })).baseUrl).toBe(server);
});

test("kubeconfig: files are looked for beside it, and what stands in it goes before them", () => {
  const files = read(
    kubeconfig({
      cluster: { "certificate-authority": "ca.pem" },
      user: { "client-certificate": "../c.pem", "client-key": "/k.pem", tokenFile: "t" },
    }),
  );
  expect(files.ca).toEqual({ kind: "file", path: "/home/ada/.kube/ca.pem" });
  expect(files.client).toEqual({
    certificate: { kind: "file", path: "/home/ada/c.pem" },
    key: { kind: "file", path: "/k.pem" },
  });
  expect(files.token).toEqual({ kind: "file", path: "/home/ada/.kube/t" });
  const both = read(
    kubeconfig({
      cluster: { "certificate-authority": "ca.pem", "certificate-authority-data": PEM_DATA },
    }),
  );
  expect(both.ca).toEqual({ kind: "text", text: PEM });
});

test("kubeconfig: a token file that is renewed goes before a token that was written down", () => {
  const { token } = read(kubeconfig({ user: { token: "old", tokenFile: "/run/token" } }));
  expect(token).toEqual({ kind: "file", path: "/run/token" });
});

test("kubeconfig: a certificate that is not to be looked at, and another name for it, are taken over", () => {
  const cluster = { "insecure-skip-tls-verify": true, "tls-server-name": "kubernetes" };
  const found = read(kubeconfig({ cluster }));
  expect([found.isInsecure, found.serverName]).toEqual([true, "kubernetes"]);
});

test("kubeconfig: the proxy that leads to the cluster is taken over", () => {
  const proxy = "http://ada:pw-123@proxy.test:3128";
  expect(read(kubeconfig({ cluster: { "proxy-url": proxy } })).proxy).toBe(proxy);
});

test("kubeconfig: a context without a user sends no credentials, as kubectl proxy needs none", () => {
  const text = kubeconfig({ cluster: { server: "http://127.0.0.1:8001" }, context: { user: "" } });
  expect(read(text)).toMatchObject({ baseUrl: "http://127.0.0.1:8001", token: null, client: null });
});

const REFUSED: readonly (readonly [what: string, text: string, said: RegExp])[] = [
  [
    "a login by another program",
    kubeconfig({ user: { exec: { command: "aws", args: ["eks"] } } }),
    /user "ada" logs in by running aws \(exec\).*service account.*kubectl create token.*kubectl proxy/,
  ],
  [
    "a login by an auth provider",
    kubeconfig({ user: { "auth-provider": { name: "oidc" } } }),
    /auth-provider oidc.*kubectl create token/,
  ],
  ["a password", kubeconfig({ user: { username: "ada", password: "pw-123" } }), /no longer take/],
  ["acting as somebody else", kubeconfig({ user: { token: "t", as: "root" } }), /\(as\)/],
  [
    "a proxy that is no HTTP proxy",
    kubeconfig({ cluster: { "proxy-url": "socks5://ada:pw-123@p:1080" } }),
    /proxy-url of cluster "[^"]+" is no http or https URL.*SOCKS/,
  ],
  ["half a certificate", kubeconfig({ user: { "client-key": "k" } }), /no client-certificate/],
  [
    "data that is no PEM",
    kubeconfig({ cluster: { "certificate-authority-data": "bm9wZQ==" } }),
    /certificate-authority-data is no PEM/,
  ],
  ["a server that is no URL", kubeconfig({ cluster: { server: "10.0.0.1" } }), /no http or https/],
  ["no current context", "apiVersion: v1\nkind: Config\n", /PROVIDER_KUBERNETES_CONTEXT/],
  ["what is no YAML", "clusters: [", /it is no YAML/],
  ["an empty file", "", /no current-context/],
];

for (const [what, text, said] of REFUSED) {
  test(`kubeconfig: ${what} is refused in words, with the file's name and without secrets`, () => {
    const message = refusal(text);
    expect(message).toStartWith(`${FILE} cannot be used: `);
    expect(message).toMatch(said);
    expect(message).not.toContain("pw-123");
  });
}

test("kubeconfig: a context that is not there is told with those that are", () => {
  expect(refusal(kubeconfig(), "prod")).toContain(
    'no entry "prod" in contexts; there is home, work',
  );
});
