/** Labels of containers: what owners may write, and what is said of what they may not. */

import { describe, expect, test } from "bun:test";
import { composePlaceOf, isOneOff, needsOf } from "../src/providers/docker-compose.ts";
import { readLabels } from "../src/providers/docker-labels.ts";

describe("docker labels", () => {
  test("everything that can be written", () => {
    expect(
      readLabels({
        "paastis.enable": "true",
        "paastis.name": "Shop",
        "paastis.port": "8080",
        "paastis.scheme": "HTTPS",
        "paastis.network": "web",
        "paastis.mode": "pause",
        "paastis.max_idle_time": "0.5",
        "paastis.health": "/up?full=1",
        "paastis.linked_apps": "api, mail,api",
        "paastis.wake_timeout": "90",
        "com.example.other": "paastis.",
      }),
    ).toEqual({
      name: "shop",
      port: 8080,
      scheme: "https",
      network: "web",
      mode: "pause",
      settings: {
        maxIdleMinutes: 0.5,
        health: "/up?full=1",
        linkedApps: ["api", "mail"],
        wakeTimeoutSeconds: 90,
      },
      problems: [],
    });
    expect(readLabels({ "paastis.max_idle_time": "Never" }).settings.maxIdleMinutes).toBe("never");
  });

  test.each([
    ["name", "a b"],
    ["name", "-a"],
    ["name", ""],
    ["port", "0"],
    ["port", "65536"],
    ["port", "80a"],
    ["port", "8080/tcp"],
    ["scheme", "ftp"],
    ["network", ""],
    ["mode", "suspend"],
    ["max_idle_time", "-1"],
    ["max_idle_time", "soon"],
    ["max_idle_time", "1e3"],
    ["health", "up"],
    ["health", "/a b"],
    ["linked_apps", "a b"],
    ["wake_timeout", "0"],
    ["wake_timeout", "86401"],
    ["enable", "yes"],
  ])("paastis.%s: %p is ignored, and said", (label, value) => {
    const marks = readLabels({ [`paastis.${label}`]: value });
    expect(marks).toEqual({ settings: {}, problems: [expect.any(String)] });
    expect(marks.problems[0]).toContain(`paastis.${label} is ignored: it must be `);
    expect(marks.problems[0]).toEndWith(`and is ${JSON.stringify(value)}`);
  });

  test("a label that nobody knows is said, with those that there are", () => {
    const { problems } = readLabels({
      "paastis.prot": "80",
      "paastis.": "",
      "paastis.constructor": "",
      paastis: "x",
    });
    expect(problems).toHaveLength(3);
    expect(problems[0]).toStartWith("paastis.prot means nothing; there are paastis.enable, ");
  });

  test("of a long value only the beginning is said", () => {
    const [problem = ""] = readLabels({ "paastis.mode": "x".repeat(10_000) }).problems;
    expect(problem.length).toBeLessThan(300);
  });
});

describe("labels of Compose", () => {
  const place = (labels: Record<string, string>) =>
    composePlaceOf(
      Object.fromEntries(
        Object.entries(labels).map(([name, text]) => [`com.docker.compose.${name}`, text]),
      ),
    );

  test("say where a container belongs", () => {
    const labels = { project: "shop", service: "web", "container-number": "2" };
    expect(place(labels)).toEqual({ project: "shop", service: "web", number: 2 });
    expect(place({ project: "shop", service: "web" })?.number).toBe(1);
    expect(place({ project: "shop" })).toBeNull();
    expect(place({})).toBeNull();
  });

  test("say whether it is a passing copy", () => {
    const oneOff = (text: string) => isOneOff({ "com.docker.compose.oneoff": text });
    expect([oneOff("True"), oneOff("true"), oneOff("False"), isOneOff({})]).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  test.each([
    ["", []],
    ["db:service_healthy:false", [{ service: "db", condition: "healthy" }]],
    [
      "db:service_started:true, migrate:service_completed_successfully:false",
      [
        { service: "db", condition: "started" },
        { service: "migrate", condition: "completed" },
      ],
    ],
    ["db", [{ service: "db", condition: "started" }]],
    ["db:service_of_tomorrow:false", [{ service: "db", condition: "started" }]],
    ["db:constructor", [{ service: "db", condition: "started" }]],
  ] as const)("depends_on %p", (text, needs) => {
    expect(needsOf({ "com.docker.compose.depends_on": text })).toEqual([...needs]);
  });
});
