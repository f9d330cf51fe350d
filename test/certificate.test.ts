import { describe, expect, test } from "bun:test";
import { generateKeyPairSync } from "node:crypto";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { openCertificates } from "../src/certificate.ts";
import { PaastisError } from "../src/errors.ts";
import { CERTIFICATE, PRIVATE_KEY } from "./support/certificate.ts";
import {
  LOCALHOST_CERTIFICATE,
  LOCALHOST_KEY,
  OTHER_CERTIFICATE,
  OTHER_KEY,
  PRIVATE_CA,
} from "./support/private-ca.ts";
import { recordingLog } from "./support/recording-log.ts";
import { tempDir } from "./support/temp-dir.ts";
import { until } from "./support/until.ts";
import { createVirtualClock } from "./support/virtual-clock.ts";

/** Far from both ends of each certificate. */
const NOW_MS = Date.parse("2060-01-01T00:00:00Z");
const DAY_MS = 86_400_000;
/** When `CERTIFICATE` ends. */
const END_MS = Date.parse("2126-10-28T08:17:40Z");
const SETTLE_MS = 100;
const PATIENCE_MS = 10_000;

/** Both files in a folder, and what it takes to open them. */
function start(cert = CERTIFICATE, key = PRIVATE_KEY, nowMs = NOW_MS) {
  const folder = tempDir();
  const certFile = folder.file("tls.crt");
  const keyFile = folder.file("tls.key");
  writeFileSync(certFile, cert);
  writeFileSync(keyFile, key);
  const clock = createVirtualClock(nowMs);
  const { log, lines } = recordingLog();
  return {
    certFile,
    keyFile,
    clock,
    lines,
    folder,
    open: () => openCertificates({ certFile, keyFile, clock, log }),
    [Symbol.dispose]: folder[Symbol.dispose],
  };
}

/** An opened source that counts its changes. */
function opened(world: ReturnType<typeof start>) {
  const source = world.open();
  const state = { changes: 0 };
  source.onChange(() => {
    state.changes += 1;
  });
  // A day's timer, and a poll for each file.
  const idle = world.clock.pending();
  return {
    source,
    state,
    /** The folder told of the change, and it has come to rest. */
    async settle() {
      await until(() => world.clock.pending() > idle);
      await world.clock.advance(SETTLE_MS);
    },
    [Symbol.dispose]: () => source.end(),
  };
}

function refusalOf(world: ReturnType<typeof start>): string {
  try {
    world.open().end();
  } catch (error) {
    expect(error).toBeInstanceOf(PaastisError);
    const { code, explanation } = error as PaastisError;
    expect(code).toBe("certificate_invalid");
    expect(world.clock.pending()).toBe(0);
    return explanation.why.replaceAll(`${world.folder.path}/`, "");
  }
  throw new Error("It was opened");
}

const { privateKey } = generateKeyPairSync("ec", {
  namedCurve: "prime256v1",
  publicKeyEncoding: { type: "spki", format: "pem" },
  privateKeyEncoding: { type: "pkcs8", format: "pem", cipher: "aes-256-cbc", passphrase: "x" },
});

describe("certificate: it is refused at the start, in words, when", () => {
  const cases: readonly [what: string, cert: string, key: string, why: RegExp][] = [
    ["a file is empty", "", PRIVATE_KEY, /^tls\.crt has no certificate in PEM form$/],
    [
      "the files are swapped",
      PRIVATE_KEY,
      CERTIFICATE,
      /^tls\.crt has no certificate in PEM form$/,
    ],
    ["there is no key", CERTIFICATE, "", /^tls\.key has no private key in PEM form$/],
    [
      "the certificate is cut short",
      CERTIFICATE.replace("MIIBlDCC", "MIIB"),
      PRIVATE_KEY,
      /^certificate 1 in tls\.crt cannot be read: /,
    ],
    [
      "the key is garbage",
      CERTIFICATE,
      PRIVATE_KEY.replace("MIGHAgEA", "AAAA"),
      /^tls\.key has a private key that cannot be read$/,
    ],
    ["the key has a passphrase", CERTIFICATE, privateKey, /^tls\.key is locked by a passphrase/],
    [
      "the key is another's",
      CERTIFICATE,
      OTHER_KEY,
      /^the key in tls\.key does not belong to the certificate in tls\.crt$/,
    ],
    [
      "the chain stands in the wrong order",
      PRIVATE_CA + LOCALHOST_CERTIFICATE,
      LOCALHOST_KEY,
      /^the key in tls\.key belongs to certificate 2 in tls\.crt: that one must stand first$/,
    ],
  ];
  test.each(cases)("%s", (_, cert, key, why) => {
    using world = start(cert, key);
    expect(refusalOf(world)).toMatch(why);
  });

  test("a file is missing", () => {
    using world = start();
    rmSync(world.keyFile);
    expect(refusalOf(world)).toBe("tls.key must be a file that exists");
  });
});

test("certificate: a chain and a key in one file are taken apart", () => {
  const both = `Some text\n${LOCALHOST_KEY}${LOCALHOST_CERTIFICATE}${PRIVATE_CA}`;
  using world = start(both, both);
  using open = opened(world);
  const { cert, key } = open.source.current();
  expect(key.trim()).toBe(LOCALHOST_KEY.trim());
  expect(cert.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
  expect(cert).not.toContain("PRIVATE");
});

describe("certificate: its dates are told, with the day, when", () => {
  const cases: readonly [what: string, nowMs: number, message: string | null][] = [
    ["it has expired", END_MS, "has expired on 2126-10-28T08:17:40.000Z: clients refuse it"],
    ["it ends within a week", END_MS - 7 * DAY_MS, "expires soon, on 2126-10-28T08:17:40.000Z"],
    ["it ends later: then not", END_MS - 7 * DAY_MS - 1, null],
    ["it is not valid yet", 0, "is not valid before 2026-11-21T08:17:40.000Z"],
  ];
  test.each(cases)("%s", (_, nowMs, message) => {
    using world = start(CERTIFICATE, PRIVATE_KEY, nowMs);
    using _open = opened(world);
    const expected = message === null ? [] : [["warn", `the TLS certificate ${message}`]];
    expect(world.lines.map((line) => [line.level, line.message])).toEqual(expected);
  });

  test("time passes while it is in use: once a day", async () => {
    using world = start(CERTIFICATE, PRIVATE_KEY, END_MS - 8 * DAY_MS);
    using _open = opened(world);
    expect(world.lines).toEqual([]);
    await world.clock.advance(DAY_MS);
    expect(world.lines).toHaveLength(1);
    await world.clock.advance(7 * DAY_MS);
    expect(world.lines).toHaveLength(8);
    expect(world.lines.at(-1)?.message).toContain("has expired");
  });
});

describe("certificate: new files", () => {
  test("are shown from then on, and told with names and end, but never the key", async () => {
    using world = start();
    using open = opened(world);
    writeFileSync(world.keyFile, LOCALHOST_KEY);
    writeFileSync(world.certFile, LOCALHOST_CERTIFICATE);
    await open.settle();
    await until(() => open.state.changes === 1);
    expect(open.source.current()).toMatchObject({ key: LOCALHOST_KEY });
    expect(world.lines.map(({ level, message }) => [level, message])).toEqual([
      ["info", "a new TLS certificate is in use"],
    ]);
    const [line] = world.lines;
    expect(line?.fields).toMatchObject({ names: "localhost", until: "2125-01-01T00:00:00.000Z" });
    expect(JSON.stringify(world.lines)).not.toContain(LOCALHOST_KEY.split("\n")[1] ?? "");
  });

  test("that come one after the other are no pair at first: nothing is told", async () => {
    using world = start();
    using open = opened(world);
    writeFileSync(world.certFile, OTHER_CERTIFICATE);
    await open.settle();
    await world.clock.advance(PATIENCE_MS / 2);
    expect([open.state.changes, open.source.current().key]).toEqual([0, PRIVATE_KEY]);
    writeFileSync(world.keyFile, OTHER_KEY);
    await until(async () => {
      await world.clock.advance(SETTLE_MS);
      return open.state.changes === 1;
    });
    await world.clock.advance(2 * PATIENCE_MS);
    expect(world.lines.map(({ level }) => level)).toEqual(["info"]);
    expect(open.state.changes).toBe(1);
  });

  test("that cannot be used are warned about once, and the old ones stay", async () => {
    using world = start();
    using open = opened(world);
    writeFileSync(world.certFile, OTHER_CERTIFICATE);
    await open.settle();
    await world.clock.advance(PATIENCE_MS + DAY_MS);
    expect(world.lines.map(({ level, message }) => [level, message])).toEqual([
      ["warn", "the new TLS certificate cannot be used: the old one stays"],
    ]);
    expect(String(world.lines[0]?.fields.reason)).toContain("does not belong to the certificate");
    expect([open.state.changes, open.source.current().key]).toEqual([0, PRIVATE_KEY]);
  });

  test("that are the old ones again change nothing", async () => {
    using world = start();
    using open = opened(world);
    writeFileSync(world.certFile, OTHER_CERTIFICATE);
    await open.settle();
    writeFileSync(world.certFile, CERTIFICATE);
    await world.clock.advance(3 * PATIENCE_MS);
    expect([open.state.changes, world.lines]).toEqual([0, []]);
  });

  test("of a Kubernetes secret, which are swapped by one link, are one change", async () => {
    using world = start();
    for (const [version, cert, key] of [
      ["v1", CERTIFICATE, PRIVATE_KEY],
      ["v2", OTHER_CERTIFICATE, OTHER_KEY],
    ] as const) {
      mkdirSync(world.folder.file(version));
      writeFileSync(world.folder.file(`${version}/tls.crt`), cert);
      writeFileSync(world.folder.file(`${version}/tls.key`), key);
    }
    symlinkSync("v1", world.folder.file("..data"));
    for (const file of [world.certFile, world.keyFile]) rmSync(file);
    symlinkSync("..data/tls.crt", world.certFile);
    symlinkSync("..data/tls.key", world.keyFile);
    using open = opened(world);
    symlinkSync("v2", world.folder.file("..tmp"));
    renameSync(world.folder.file("..tmp"), world.folder.file("..data"));
    await open.settle();
    await world.clock.advance(3 * PATIENCE_MS);
    expect(open.source.current().key).toBe(OTHER_KEY);
    expect([open.state.changes, world.lines.length]).toEqual([1, 1]);
  });

  test("reach those who listen although one of them fails", async () => {
    using world = start();
    const source = world.open();
    using open = opened({ ...world, open: () => source });
    source.onChange(() => {
      throw new Error("broken");
    });
    const after = { changes: 0 };
    source.onChange(() => {
      after.changes += 1;
    });
    writeFileSync(world.certFile, OTHER_CERTIFICATE);
    writeFileSync(world.keyFile, OTHER_KEY);
    await open.settle();
    await until(() => after.changes === 1);
    expect(world.lines.map(({ level }) => level)).toEqual(["info", "error"]);
  });

  test("change nothing once it was ended", async () => {
    using world = start();
    const source = world.open();
    source.end();
    source.end();
    writeFileSync(world.certFile, OTHER_CERTIFICATE);
    writeFileSync(world.keyFile, OTHER_KEY);
    await world.clock.advance(PATIENCE_MS);
    expect(world.clock.pending()).toBe(0);
    expect(source.current().key).toBe(PRIVATE_KEY);
  });
});
