/** TLS with clients, and a certificate that is replaced, with the compiled program. */

import { expect, test } from "bun:test";
import { X509Certificate } from "node:crypto";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Certificate } from "../../src/certificate.ts";
import { EXECUTABLE, makeFolder, startPaastis } from "../support/start-paastis.ts";
import { FIRST, SECOND, shownCertificate } from "../support/tls-listener.ts";
import { until } from "../support/until.ts";

const ENGINES = ["socket", "fetch"] as const;

/** As certbot, cert-manager and people do it: beside the file, then renamed, one after the other. */
function place(folder: string, { cert, key }: Certificate): void {
  for (const [name, text] of [
    ["tls.key", key],
    ["tls.crt", cert],
  ] as const) {
    writeFileSync(join(folder, `${name}.new`), text);
    renameSync(join(folder, `${name}.new`), join(folder, name));
  }
}

function fingerprintOf({ cert }: Certificate): string {
  return new X509Certificate(cert).fingerprint256;
}

/** An app whose `/download` goes on until it is told to end. */
function startApp() {
  const { promise: told, resolve: end } = Promise.withResolvers<void>();
  async function* download() {
    yield "begin ";
    await told;
    yield "end";
  }
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 0,
    fetch: (request) =>
      request.url.endsWith("/download")
        ? new Response(download())
        : new Response(request.headers.get("x-forwarded-proto")),
  });
  return { port: server.port, end, [Symbol.asyncDispose]: () => server.stop(true) };
}

function get(port: number, path: string, keepalive: boolean): Promise<Response> {
  return fetch(`https://127.0.0.1:${port}${path}`, {
    headers: { host: "shop.example" },
    tls: { rejectUnauthorized: false },
    keepalive,
  });
}

/**
 * Asks again and again, on new connections and on a kept one.
 * @returns ends it, with how it went
 */
function keepAsking(port: number) {
  const tally = { answers: 0, failures: [] as string[] };
  const state = { isOver: false };
  const loop = async (keepalive: boolean) => {
    while (!state.isOver) {
      try {
        const answer = await get(port, "/", keepalive);
        const text = await answer.text();
        if (answer.status === 200 && text === "https") tally.answers += 1;
        else tally.failures.push(`${answer.status} ${text}`);
      } catch (error) {
        tally.failures.push(String(error));
      }
    }
  };
  const loops = Promise.all([loop(false), loop(false), loop(true)]);
  return {
    tally,
    async end() {
      state.isOver = true;
      await loops;
      return tally;
    },
  };
}

test.each(ENGINES)(
  "tls: a certificate is replaced while requests go on, %s engine",
  async (engine) => {
    const folder = makeFolder();
    place(folder, FIRST);
    await using app = startApp();
    await using paastis = await startPaastis({
      config: `apps:\n  shop: { targets: ['http://127.0.0.1:${app.port}'] }\n`,
      folder,
      env: { ENGINE: engine, TLS_CERT: "tls.crt", TLS_KEY: "tls.key" },
    });
    const { port } = paastis;
    expect(paastis.lines.some(({ msg }) => msg === `listening on https://127.0.0.1:${port}`)).toBe(
      true,
    );
    expect(await shownCertificate(port)).toBe(fingerprintOf(FIRST));

    const download = await get(port, "/download", true);
    const asking = keepAsking(port);
    await until(() => asking.tally.answers > 20);
    place(folder, SECOND);
    const line = await paastis.untilLine(({ msg }) => msg === "a new TLS certificate is in use");
    expect(line).toMatchObject({ level: "info", names: "localhost" });
    if (engine === "socket") {
      expect(await shownCertificate(port)).toBe(fingerprintOf(SECOND));
    } else {
      // A connection that meets the change is reset.
      await until(async () => {
        const shown = await shownCertificate(port).catch(() => null);
        return shown === fingerprintOf(SECOND);
      });
    }
    const { answers } = asking.tally;
    await until(() => asking.tally.answers > answers + 20);
    const { failures } = await asking.end();
    // Where a server takes another's place, connections that are not complete at that moment end: at
    // most one of each that asks here.
    if (engine === "socket") expect(failures).toEqual([]);
    else expect(failures.length).toBeLessThanOrEqual(3);
    app.end();
    expect(await download.text()).toBe("begin end");
    expect(JSON.stringify(paastis.lines)).not.toContain("PRIVATE KEY");
  },
);

test("tls: a key of another certificate keeps the program from starting, and it says why", async () => {
  const folder = makeFolder();
  place(folder, { cert: FIRST.cert, key: SECOND.key });
  const child = Bun.spawn([EXECUTABLE], {
    cwd: folder,
    env: {
      HOME: folder,
      PORT: "0",
      PROVIDER_NAME: "process",
      TLS_CERT: "tls.crt",
      TLS_KEY: "tls.key",
    },
    stdout: "pipe",
    stderr: "pipe",
  });
  const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
  expect(said).toContain("Cannot speak TLS with clients: the key in ");
  expect(said).toContain("does not belong to the certificate in ");
  expect(status).toBe(1);
});
