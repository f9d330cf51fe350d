/** What `paastis.yml` says about the way to an app: sockets, and whose certificates are believed. */

import { expect, test } from "bun:test";
import { addressOf } from "../src/app.ts";
import { parsePaastisYml, type TextReading } from "../src/paastis-yml.ts";
import { LOCALHOST_KEY, PRIVATE_CA, STRANGER_CA } from "./support/private-ca.ts";

const FILES: Readonly<Record<string, string>> = {
  "/base/ca.pem": PRIVATE_CA,
  "/base/bundle.pem": `# ours\r\n${PRIVATE_CA}${LOCALHOST_KEY}\n${STRANGER_CA}`,
  "/etc/ca.pem": STRANGER_CA,
  "/base/key.pem": LOCALHOST_KEY,
  "/base/empty.pem": "",
  "/base/broken.pem": PRIVATE_CA + STRANGER_CA.replace("MII", "MIJ"),
};

function readText(path: string): TextReading {
  const text = FILES[path];
  return text === undefined ? { why: "must be a file that exists" } : { text };
}

const parse = (text: string) => parsePaastisYml(text, { folder: "/base", readText });

function targetsOf(...targets: readonly string[]) {
  const { apps, problems } = parse(`apps: { shop: { targets: ${JSON.stringify(targets)} } }`);
  const [app] = apps.apps;
  return { problems, addresses: app?.provider === "http" ? app.targets.map(addressOf) : [] };
}

test("paastis.yml: a target may be a unix socket, absolute or relative to the file's folder", () => {
  expect(
    targetsOf(
      "unix:/run/app.sock",
      "unix:app.sock",
      "unix:./a b/../é.sock",
      "unix:///run/x.sock",
      "http://a",
    ),
  ).toEqual({
    problems: [],
    addresses: [
      "unix:/run/app.sock",
      "unix:/base/app.sock",
      "unix:/base/é.sock",
      "unix:/run/x.sock",
      "http://a",
    ],
  });
});

test("paastis.yml: a socket's path has 1 to 107 bytes, and no control characters", () => {
  const fits = `/${"x".repeat(106)}`;
  expect(targetsOf(`unix:${fits}`).addresses).toEqual([`unix:${fits}`]);
  expect(targetsOf(`unix:${fits}y`).problems).toEqual([
    `line 1: apps.shop.targets[0] must be the path of a socket of at most 107 bytes: ${fits}y has 108`,
  ]);
  // Counted as bytes, with the folder.
  expect(targetsOf(`unix:${"é".repeat(51)}`).problems[0]).toContain("has 108");
  for (const path of ["", "/run/a\0b", "/run/a\nb"]) {
    expect(targetsOf(`unix:${path}`).problems[0]).toContain("must be unix: and the path of");
  }
  expect(targetsOf("ftp://a").problems[0]).toContain("or a socket, such as unix:/run/app.sock");
});

test("paastis.yml: tls_ca is the text of the certificates alone, of a file relative to this one", () => {
  const { apps, problems, warnings } = parse(`
rules:
  - { pattern: a, tls_ca: ca.pem }
  - { pattern: b, tls_ca: /etc/ca.pem, tls_verify: true }
  - { pattern: c, tls_ca: ./x/../bundle.pem }
apps:
  shop: { targets: [https://a], tls_verify: false }
`);
  expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
  expect(apps.rules.map(({ settings }) => settings)).toEqual([
    { tlsCa: PRIVATE_CA },
    { tlsCa: STRANGER_CA, tlsVerify: true },
    { tlsCa: `${PRIVATE_CA}${STRANGER_CA}` },
  ]);
  expect(apps.apps[0]?.settings).toEqual({ tlsVerify: false });
});

test.each([
  ["nope.pem", "must be a file that exists (/base/nope.pem)"],
  ["key.pem", "holds no certificate: /base/key.pem needs"],
  ["empty.pem", "holds no certificate: /base/empty.pem needs"],
  ["broken.pem", "holds a broken certificate: number 2 in /base/broken.pem ("],
  ["''", "must be a path"],
])("paastis.yml: tls_ca: %s is a problem with its line", (path, problem) => {
  const { problems } = parse(`rules:\n  - pattern: a\n    tls_ca: ${path}\n`);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toStartWith(`line 3: rules[0].tls_ca ${problem}`);
});

test("paastis.yml: a CA beside tls_verify: false is a warning", () => {
  const { problems, warnings } = parse(
    "apps:\n  shop:\n    targets: [https://a]\n    tls_verify: false\n    tls_ca: ca.pem\n",
  );
  expect({ problems, warnings }).toEqual({
    problems: [],
    warnings: [
      "line 5: apps.shop.tls_ca has no effect: with tls_verify: false any certificate is accepted",
    ],
  });
});

test("paastis.yml: PORT in env is a warning: Paastis sets it", () => {
  const { problems, warnings } = parse("apps:\n  shop:\n    command: x\n    env: { PORT: 1 }\n");
  expect({ problems, warnings }).toEqual({
    problems: [],
    warnings: [
      "line 4: apps.shop.env.PORT has no effect: Paastis sets PORT itself; `port` says which",
    ],
  });
});
