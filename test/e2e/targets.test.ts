/** Apps that live elsewhere, on a unix socket and behind a CA of their own, with the compiled program. */

import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  LOCALHOST_CERTIFICATE,
  LOCALHOST_KEY,
  PRIVATE_CA,
  STRANGER_CA,
} from "../support/private-ca.ts";
import { makeFolder, startPaastis } from "../support/start-paastis.ts";
import { until } from "../support/until.ts";

const ENGINES = ["socket", "fetch"];

/** An app that echoes over WebSocket; on a unix socket it is not ready until it says so. */
function startApp(where: { readonly unix: string } | { readonly port: 0; readonly tls: object }) {
  const state = { isReady: !("unix" in where), probes: 0 };
  const server = Bun.serve({
    ...where,
    fetch(request, self) {
      const { pathname } = new URL(request.url);
      if (pathname === "/healthz") {
        state.probes += 1;
        return new Response(null, { status: state.isReady ? 204 : 503 });
      }
      if (self.upgrade(request)) return;
      return new Response(`${pathname} for ${request.headers.get("host")}`);
    },
    websocket: { message: (socket, message) => void socket.send(message) },
  });
  return { port: server.port, state, [Symbol.asyncDispose]: () => server.stop(true) };
}

async function echo(port: number, app: string): Promise<string> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, { headers: { host: `${app}.test` } });
  const messages: string[] = [];
  socket.onmessage = ({ data }) => void messages.push(String(data));
  socket.onopen = () => socket.send("hello");
  await until(() => messages.length > 0);
  socket.close();
  return messages.join();
}

test.each(ENGINES)("targets: an app on a unix socket, %s engine", async (engine) => {
  const folder = makeFolder();
  const config = "apps:\n  shop: { targets: ['unix:app.sock'], health: /healthz }\n";
  const env = { ENGINE: engine, HOLD_GRACE_MS: "0" };
  await using paastis = await startPaastis({ config, folder, env });
  // Nothing listens there yet: it has to be waited for, which a browser is told at once.
  const page = await paastis.get("shop", { headers: { accept: "text/html" } });
  expect(page.status).toBe(503);
  const held = paastis.get("shop", { path: "/a" });
  await using app = startApp({ unix: join(folder, "app.sock") });
  await until(() => app.state.probes > 2);
  app.state.isReady = true;
  expect(await (await held).text()).toBe("/a for localhost");
  expect(await echo(paastis.port, "shop")).toBe("hello");
});

test.each(ENGINES)("targets: tls_ca adds to those we trust anyway, %s engine", async (engine) => {
  const folder = makeFolder();
  writeFileSync(join(folder, "ca.pem"), STRANGER_CA);
  writeFileSync(join(folder, "trusted.pem"), PRIVATE_CA);
  await using app = startApp({
    port: 0,
    tls: { cert: LOCALHOST_CERTIFICATE, key: LOCALHOST_KEY },
  });
  const target = `https://localhost:${app.port}`;
  const config = `apps:\n  shop: { targets: ['${target}'], tls_ca: ca.pem }\n`;
  const env = { ENGINE: engine, NODE_EXTRA_CA_CERTS: join(folder, "trusted.pem") };
  await using paastis = await startPaastis({ config, folder, env });
  expect((await paastis.get("shop")).status).toBe(200);
  expect(await echo(paastis.port, "shop")).toBe("hello");
});

test.each(ENGINES)("targets: an app over https with a CA of its own, %s engine", async (engine) => {
  const folder = makeFolder();
  writeFileSync(join(folder, "ca.pem"), STRANGER_CA);
  await using app = startApp({
    port: 0,
    tls: { cert: LOCALHOST_CERTIFICATE, key: LOCALHOST_KEY },
  });
  const target = `https://localhost:${app.port}`;
  const settings = `targets: ['${target}'], health: /healthz, tls_ca: ca.pem, wake_timeout: 1`;
  const config = `apps:\n  shop: { ${settings} }\n`;
  await using paastis = await startPaastis({ config, folder, env: { ENGINE: engine } });
  const refused = await paastis.get("shop");
  expect(refused.status).toBe(503);
  expect(app.state.probes).toBe(0);
  const failed = await paastis.untilEvent("shop", "APP_START_FAILED");
  expect(JSON.stringify(failed)).toContain(`${target}: nobody vouches for its certificate`);

  writeFileSync(join(folder, "ca.pem"), PRIVATE_CA);
  paastis.signal("SIGHUP");
  await until(async () => (await paastis.get("shop", { path: "/b" })).status === 200);
  expect(await (await paastis.get("shop", { path: "/b" })).text()).toBe(
    `/b for localhost:${app.port}`,
  );
  expect(await echo(paastis.port, "shop")).toBe("hello");
  expect(app.state.probes).toBeGreaterThan(0);
});
