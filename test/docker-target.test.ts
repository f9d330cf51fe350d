/** Where a container answers: every way to reach one, and why some cannot be. */

import { expect, test } from "bun:test";
import type { Container, ContainerPort } from "../src/providers/docker-json.ts";
import type { ContainerMarks } from "../src/providers/docker-labels.ts";
import { findTarget, networkHostOf } from "../src/providers/docker-target.ts";
import { composed, containerOf } from "./support/docker-containers.ts";

interface Given {
  readonly container?: Partial<Container>;
  readonly marks?: Partial<ContainerMarks>;
  readonly network?: string | null;
  readonly publishedHost?: string;
  readonly host?: Container | null;
}

/** The origin, or why there is none. */
function found({ container = {}, marks = {}, network = null, ...given }: Given): string {
  const { publishedHost = "127.0.0.1", host = null } = given;
  const result = findTarget({
    container: containerOf("demo", container),
    marks: { settings: {}, problems: [], ...marks },
    config: { network, publishedHost },
    host,
  });
  return result.kind === "target" ? result.target.origin : result.why;
}

function published(privatePort: number, publicPort: number | null, hostIp = "0.0.0.0") {
  return { privatePort, publicPort, hostIp, isPublished: true } satisfies ContainerPort;
}

function networks(addresses: Readonly<Record<string, string>>): ReadonlyMap<string, string> {
  return new Map(Object.entries(addresses));
}

function exposed(privatePort: number): ContainerPort {
  return { privatePort, publicPort: null, hostIp: "", isPublished: false };
}

test.each<[string, Given, string]>([
  [
    "the only published port, whatever else is named",
    { container: { ports: [exposed(443), published(80, 32_768)] } },
    "http://127.0.0.1:32768",
  ],
  [
    "the port of the label, of several that are published",
    { container: { ports: [published(80, 1080), published(443, 1443)] }, marks: { port: 443 } },
    "http://127.0.0.1:1443",
  ],
  [
    "an address of its own that a port is published at",
    { container: { ports: [published(80, 1080, "192.0.2.7")] } },
    "http://192.0.2.7:1080",
  ],
  [
    "the published host, where a port is published for this machine alone",
    {
      container: { ports: [published(80, 1080, "127.0.0.1")] },
      publishedHost: "host.docker.internal",
    },
    "http://host.docker.internal:1080",
  ],
  [
    "IPv4 before IPv6",
    { container: { ports: [published(80, 1081, "::"), published(80, 1080)] } },
    "http://127.0.0.1:1080",
  ],
  [
    "an IPv6 address, in brackets",
    { container: { ports: [published(80, 1080, "2001:db8::1")] } },
    "http://[2001:db8::1]:1080",
  ],
  [
    "a published host in brackets, as it is",
    { container: { ports: [published(80, 1080)] }, publishedHost: "[2001:db8::7]" },
    "http://[2001:db8::7]:1080",
  ],
  [
    "its address in the network of all",
    {
      container: { ports: [exposed(80)], networks: networks({ web: "10.0.0.2" }) },
      network: "web",
    },
    "http://10.0.0.2",
  ],
  [
    "its address in the network of its label, before that of all",
    {
      container: { ports: [exposed(80)], networks: networks({ web: "10.0.0.2", own: "10.1.0.2" }) },
      marks: { network: "own" },
      network: "web",
    },
    "http://10.1.0.2",
  ],
  [
    "its address in a network, at the private port that is published",
    {
      container: {
        ports: [exposed(443), published(80, 1080)],
        networks: networks({ web: "10.0.0.2" }),
      },
      network: "web",
    },
    "http://10.0.0.2",
  ],
  [
    "an IPv6 address in a network",
    { container: { ports: [exposed(80)], networks: networks({ web: "fd00::2" }) }, network: "web" },
    "http://[fd00::2]",
  ],
  [
    "the host, with the host's network, also where others are reached by a network",
    { container: { networkMode: "host", ports: [exposed(80)] }, network: "web" },
    "http://127.0.0.1",
  ],
  [
    "https, as its label says",
    { container: { ports: [published(443, 1443)] }, marks: { scheme: "https" } },
    "https://127.0.0.1:1443",
  ],
  [
    "the address of the container whose network it uses, at its own port",
    {
      container: { networkMode: "container:other", ports: [exposed(9090)] },
      host: containerOf("other", { ports: [exposed(80)], networks: networks({ web: "10.0.0.3" }) }),
      network: "web",
    },
    "http://10.0.0.3:9090",
  ],
  [
    "a port that the container publishes whose network it uses",
    {
      container: { networkMode: "container:other", ports: [exposed(9090)] },
      host: containerOf("other", { ports: [published(9090, 1090)] }),
    },
    "http://127.0.0.1:1090",
  ],
])("docker target: %s", (_what, given, origin) => {
  expect(found(given)).toBe(origin);
});

test("docker target: a network of Compose is known by its short name", () => {
  const { labels } = composed("shop", "web");
  const container = {
    labels,
    ports: [exposed(80)],
    networks: networks({ shop_inner: "10.0.0.4" }),
  };
  expect(found({ container, marks: { network: "inner" } })).toBe("http://10.0.0.4");
});

test.each<[Given, string]>([
  [{ container: { ports: [published(80, 1), published(81, 2)] } }, "several ports (80, 81)"],
  [
    {
      container: { ports: [exposed(80), exposed(443)], networks: networks({ w: "10.0.0.2" }) },
      network: "w",
    },
    "several ports (80, 443): say which with the label paastis.port",
  ],
  [{}, "no TCP port"],
  [{ container: { ports: [exposed(80)] } }, "its port 80 is not published"],
  [{ container: { ports: [exposed(80), exposed(443)] } }, "its ports 80, 443 are not published"],
  [{ container: { ports: [published(80, 1)] }, marks: { port: 81 } }, "its port 81 is not publ"],
  [
    { container: { ports: [exposed(80)], networks: networks({ a: "1", b: "2" }) }, network: "web" },
    "not in the network web (its networks: a, b)",
  ],
  [
    { container: { ports: [exposed(80)], networks: networks({ web: "" }) }, network: "web" },
    "no address in the network web",
  ],
])("docker target: why there is none, %#", (given, why) => {
  expect(found(given)).toContain(why);
});

test("docker target: whose network a container uses", () => {
  const modes = ["container:abc", "host", "bridge", ""];
  expect(modes.map((networkMode) => networkHostOf(containerOf("x", { networkMode })))).toEqual([
    "abc",
    null,
    null,
    null,
  ]);
});
