/** For how long a look at a container spares another one. */

import { expect, test } from "bun:test";
import { createLooks } from "../src/providers/docker-looks.ts";
import { containerOf, detailsOf } from "./support/docker-containers.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

const listed = containerOf("shop", { health: "unknown" });
const details = detailsOf("shop", { health: "healthy" });

function looksAt(container = listed) {
  const looks = createLooks(createVirtualClock());
  looks.listed([container]);
  looks.looked(details, looks.mark(container.id));
  return looks;
}

test("docker looks: what was seen holds while lists show the container in the same way", () => {
  const looks = looksAt();
  expect(looks.detailsOf(listed)).toBe(details);
  looks.listed([{ ...listed }]);
  expect(looks.detailsOf({ ...listed })).toBe(details);
});

test.each<[string, Partial<typeof listed>]>([
  ["its state", { status: "exited" }],
  ["its exit status", { exitCode: 137 }],
  ["its health", { health: "unhealthy" }],
  ["its address", { networks: new Map([["bridge", "172.17.0.9"]]) }],
  ["its network", { networkMode: "host" }],
  ["a port", { ports: [{ privatePort: 80, publicPort: 8080, hostIp: "", isPublished: true }] }],
])("docker looks: once a list shows %s otherwise, a new look is needed", (_what, change) => {
  const looks = looksAt();
  const now = { ...listed, ...change };
  expect(looks.detailsOf(now)).toBeNull();
  looks.listed([now]);
  looks.listed([listed]);
  expect(looks.detailsOf(listed)).toBeNull();
});

test("docker looks: what the engine tells makes what was seen worthless, and a look under way too", () => {
  const looks = looksAt();
  const before = looks.mark(listed.id);
  looks.changed(listed.id);
  expect(looks.detailsOf(listed)).toBeNull();
  looks.looked(details, before);
  expect(looks.detailsOf(listed)).toBeNull();
  looks.looked(details, looks.mark(listed.id));
  expect(looks.detailsOf(listed)).toBe(details);
});

test("docker looks: a list that comes while a look is under way makes that worthless when it differs", () => {
  const looks = looksAt();
  const before = looks.mark(listed.id);
  looks.listed([{ ...listed, status: "exited" }]);
  looks.looked(details, before);
  expect(looks.detailsOf({ ...listed, status: "exited" })).toBeNull();
});

test("docker looks: nothing is kept of what is not listed, or was removed", () => {
  const looks = looksAt();
  looks.looked(detailsOf("stranger"), looks.mark("id-of-stranger"));
  expect(looks.detailsOf(containerOf("stranger"))).toBeNull();
  looks.listed([]);
  looks.listed([listed]);
  expect(looks.detailsOf(listed)).toBeNull();
});

test("docker looks: whose network a container uses is looked at again after a while, and with each change", async () => {
  const clock = createVirtualClock();
  const looks = createLooks(clock);
  looks.listed([listed]);
  expect(looks.hostOf(listed.id)).toBeUndefined();
  looks.sawHost(listed.id, null);
  expect(looks.hostOf(listed.id)).toBeNull();
  looks.sawHost(listed.id, details);
  expect(looks.hostOf(listed.id)).toBe(details);
  looks.changed(listed.id);
  expect(looks.hostOf(listed.id)).toBeUndefined();
  looks.sawHost(listed.id, details);
  await clock.advance(15_000);
  expect(looks.hostOf(listed.id)).toBeUndefined();
});
