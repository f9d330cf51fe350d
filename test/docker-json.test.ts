/** Containers out of the engine's answers: what lists and looks of Docker and Podman say, and what makes no sense. */

import { expect, test } from "bun:test";
import { isDetailed, readContainer, readContainers } from "../src/providers/docker-json.ts";

/** As an engine 20.10 lists it. */
const LISTED = {
  Id: "d14a2839",
  Names: ["/aaa", "/other/link"],
  Created: 1_795_264_704,
  Ports: [
    { IP: "0.0.0.0", PrivatePort: 8080, PublicPort: 32_768, Type: "tcp" },
    { PrivatePort: 53, Type: "udp" },
    { PrivatePort: 9090, Type: "tcp" },
  ],
  Labels: { "paastis.enable": "true" },
  State: "running",
  Status: "Up Less than a second",
  HostConfig: { NetworkMode: "paastis" },
  NetworkSettings: {
    Networks: { paastis: { IPAddress: "10.231.7.2" }, six: { GlobalIPv6Address: "fd00::2" } },
  },
};

/** As an engine 20.10 shows it on its own. */
const INSPECTED = {
  Id: "d14a2839",
  Created: "2026-11-21T12:38:24.914484254Z",
  Name: "/aaa",
  RestartCount: 2,
  State: {
    Status: "exited",
    ExitCode: 137,
    OOMKilled: true,
    Error: "",
    StartedAt: "2026-11-21T12:38:25.226141555Z",
  },
  Config: {
    Labels: { "paastis.enable": "true" },
    ExposedPorts: { "80/tcp": {}, "53/udp": {} },
    StopTimeout: 60,
  },
  HostConfig: {
    NetworkMode: "host",
    PortBindings: { "8080/tcp": [{ HostIp: "127.0.0.1", HostPort: "" }], "81/tcp": null },
  },
  NetworkSettings: { Ports: {}, Networks: { paastis: { IPAddress: "" } } },
};

function listed(fields: object) {
  return readContainers([{ ...LISTED, ...fields }])[0];
}

test("docker json: a list says where a container is, and which ports it has", () => {
  expect(listed({})).toEqual({
    id: "d14a2839",
    name: "aaa",
    labels: { "paastis.enable": "true" },
    createdMs: 1_795_264_704_000,
    status: "running",
    health: "none",
    exitCode: null,
    ports: [
      { privatePort: 8080, publicPort: 32_768, hostIp: "0.0.0.0", isPublished: true },
      { privatePort: 9090, publicPort: null, hostIp: "", isPublished: false },
    ],
    networks: new Map([
      ["paastis", "10.231.7.2"],
      ["six", "fd00::2"],
    ]),
    networkMode: "paastis",
  });
});

test.each([
  ["Up 2 hours", "none"],
  ["Up 2 hours (healthy)", "healthy"],
  ["Up About a minute (unhealthy)", "unhealthy"],
  ["Up 3 seconds (health: starting)", "starting"],
  ["Up 3 seconds (well)", "unknown"],
  ["Running since noon", "unknown"],
  ["", "unknown"],
])("docker json: a list that says %p of a container says its health is %p", (Status, health) => {
  expect(listed({ Status })?.health).toBe(health as "none"); // One of the words above.
});

test("docker json: where a list has a field for the health, that counts", () => {
  const Health = { Status: "starting", FailingStreak: 0 };
  expect(listed({ Health, Status: "Up 2 hours (healthy)" })?.health).toBe("starting");
  expect(listed({ Health: { Status: "none" }, Status: "?" })?.health).toBe("none");
});

test.each([
  ["Exited (0) 2 hours ago", 0],
  ["Exited (137) Less than a second ago", 137],
  ["Exited", null],
  ["Up 2 hours", null],
])("docker json: a list that says %p says the exit status %p", (Status, exitCode) => {
  expect(listed({ State: "exited", Status })?.exitCode).toBe(exitCode);
});

test.each([
  ["configured", "created"],
  ["initialized", "created"],
  ["stopped", "exited"],
  ["stopping", "stopping"],
  ["hibernating", "hibernating"],
])("docker json: the state %p is read as %p", (State, status) => {
  expect(listed({ State })?.status).toBe(status);
});

test("docker json: entries without an id or a name are left out, and no list is an error", () => {
  expect(readContainers([null, 7, {}, { Id: "x" }, { Id: "x", Names: ["/a/b"] }])).toEqual([]);
  for (const body of [null, {}, "[]"]) expect(() => readContainers(body)).toThrow("no list");
});

test("docker json: a list without most of its fields, as Podman's, is read as far as it goes", () => {
  const [container] = readContainers([{ Id: "x", Names: ["one"], State: "running", Ports: null }]);
  expect(container).toMatchObject({ name: "one", ports: [], networks: new Map(), networkMode: "" });
});

test("docker json: a look knows more: configured ports, restarts, why it ended, its time to stop", () => {
  const container = readContainer(INSPECTED);
  expect(container).toMatchObject({
    name: "aaa",
    status: "exited",
    health: "none",
    exitCode: 137,
    isOutOfMemory: true,
    restartCount: 2,
    stopTimeoutMs: 60_000,
    networkMode: "host",
    networks: new Map([["paastis", ""]]),
    startedMs: Date.parse("2026-11-21T12:38:25.226Z"),
  });
  expect(container.ports).toEqual([
    { privatePort: 8080, publicPort: null, hostIp: "", isPublished: true },
    { privatePort: 81, publicPort: null, hostIp: "", isPublished: false },
    { privatePort: 80, publicPort: null, hostIp: "", isPublished: false },
  ]);
  expect([isDetailed(container), isDetailed(readContainers([LISTED])[0]!)]).toEqual([true, false]);
});

test("docker json: a look at what runs has the ports that answer", () => {
  const Ports = {
    "80/tcp": null,
    "8080/tcp": [
      { HostIp: "0.0.0.0", HostPort: "32768" },
      { HostIp: "::", HostPort: "32768" },
    ],
  };
  const { ports } = readContainer({ ...INSPECTED, NetworkSettings: { Ports } });
  const published = ports.filter(({ publicPort }) => publicPort !== null);
  expect(published.map(({ hostIp, publicPort }) => [hostIp, publicPort])).toEqual([
    ["0.0.0.0", 32_768],
    ["::", 32_768],
  ]);
});

test("docker json: what has never run began at no time", () => {
  const State = { Status: "created", StartedAt: "0001-01-01T00:00:00Z" };
  expect(readContainer({ ...INSPECTED, State }).startedMs).toBeNull();
});

test("docker json: no container is an error", () => {
  for (const body of [null, [], {}, { Id: "x" }]) {
    expect(() => readContainer(body)).toThrow("no container");
  }
});
