/** What labels and annotations of a workload say. */

import { expect, test } from "bun:test";
import { keyOfName, readMarks } from "../src/providers/kubernetes-annotations.ts";

function annotated(texts: Record<string, string>) {
  const named = Object.entries(texts).map(([name, text]) => [`paastis.dev/${name}`, text]);
  return readMarks({}, Object.fromEntries(named));
}

test("kubernetes marks: a workload without any of ours is not marked", () => {
  const marks = readMarks({ app: "demo" }, { "kubectl.kubernetes.io/restartedAt": "today" });
  expect(marks.isMarked).toBe(false);
  expect(marks.isEnabled).toBe(false);
  expect(marks.problems).toEqual([]);
});

test("kubernetes marks: a label or an annotation opts in, and the annotation counts", () => {
  const yes = { "paastis.dev/enabled": "true" };
  const no = { "paastis.dev/enabled": "false" };
  expect(readMarks(yes, {}).isEnabled).toBe(true);
  expect(readMarks({}, yes).isEnabled).toBe(true);
  expect(readMarks(yes, no).isEnabled).toBe(false);
  expect(readMarks(no, yes).isEnabled).toBe(true);
});

test("kubernetes marks: everything that can be written is read", () => {
  const marks = annotated({
    enabled: "true",
    name: "Shop",
    "max-idle-time": "0.5",
    health: "/healthz?deep=1",
    "wake-timeout": "90",
    "linked-apps": "Db, cache ,db",
    service: "shop-web",
    port: "8080",
    replicas: "3",
    "previous-replicas": "2",
  });
  expect(marks).toEqual({
    isMarked: true,
    isEnabled: true,
    key: "shop",
    settings: {
      maxIdleMinutes: 0.5,
      health: "/healthz?deep=1",
      wakeTimeoutSeconds: 90,
      linkedApps: ["db", "cache"],
    },
    service: "shop-web",
    port: 8080,
    replicas: 3,
    previousReplicas: 2,
    problems: [],
  });
});

test("kubernetes marks: never is an idle time, and a port may have a name", () => {
  const marks = annotated({ "max-idle-time": "Never", port: "http-web" });
  expect(marks.settings).toEqual({ maxIdleMinutes: "never" });
  expect(marks.port).toBe("http-web");
});

const BAD: readonly (readonly [name: string, text: string, said: RegExp])[] = [
  ["enabled", "ture", /enabled must be true or false: it is "ture"/],
  ["name", "my_shop", /name must be the key of an app .*: it is "my_shop"/],
  ["name", "", /name must be .*: it is ""/],
  ["max-idle-time", "-1", /max-idle-time must be a number of minutes .* or never: it is "-1"/],
  ["max-idle-time", "1e3", /max-idle-time/],
  ["max-idle-time", "99999999", /max-idle-time/],
  ["health", "healthz", /health must be a path that begins with \/: it is "healthz"/],
  ["wake-timeout", "0", /wake-timeout must be a number of seconds above 0/],
  ["linked-apps", "db;cache", /linked-apps must be keys of apps/],
  ["service", "Shop", /service must be the name of a Service/],
  ["port", "0", /port must be the number or the name of a port/],
  ["port", "70000", /port must be/],
  ["port", "12-", /port must be/],
  ["replicas", "0", /replicas must be a whole number from 1/],
  ["replicas", "1.5", /replicas must be a whole number/],
  ["previous-replicas", "many", /previous-replicas must be a whole number from 0/],
  ["max-idle", "5", /paastis\.dev\/max-idle means nothing; there are paastis\.dev\/enabled, /],
];

for (const [name, text, said] of BAD) {
  test(`kubernetes marks: ${name} "${text}" is said to be wrong, and alone is ignored`, () => {
    const marks = annotated({ enabled: "true", health: "/up", [name]: text });
    expect(marks.problems).toHaveLength(1);
    expect(marks.problems[0]).toMatch(said);
    if (name !== "enabled") expect(marks.isEnabled).toBe(true);
    if (name !== "health") expect(marks.settings).toEqual({ health: "/up" });
    else expect(marks.settings).toEqual({});
  });
}

test("kubernetes marks: a text of any length is quoted in short", () => {
  const [problem = ""] = annotated({ health: "x".repeat(100_000) }).problems;
  expect(problem.length).toBeLessThan(250);
});

test("kubernetes marks: the name of a workload is a key, its dots as hyphens, if a host may begin so", () => {
  expect(keyOfName("demo")).toBe("demo");
  expect(keyOfName("demo.v2")).toBe("demo-v2");
  expect(keyOfName("d".repeat(64))).toBeNull();
});
