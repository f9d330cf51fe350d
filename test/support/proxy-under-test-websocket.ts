/** Both ends of a websocket through the proxy under test, by hand. */

import { ask, type ProxyUnderTest } from "./proxy-under-test.ts";
import { acceptOf, CLIENT_KEY } from "./websocket-frames.ts";

/** What makes a request one to upgrade. */
export const HANDSHAKE = [
  "Upgrade: websocket",
  "Connection: Upgrade",
  "Sec-WebSocket-Version: 13",
  `Sec-WebSocket-Key: ${CLIENT_KEY}`,
];
/** A request to upgrade, with further lines. */
export const upgrade = (...lines: readonly string[]) =>
  ask("GET /ws/../x?y", ...HANDSHAKE, ...lines);
/** The answer of an app that agrees, with further lines. */
export const agreed = (...lines: readonly string[]) =>
  [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    `Sec-WebSocket-Accept: ${acceptOf(CLIENT_KEY)}`,
    ...lines,
    "",
    "",
  ].join("\r\n");

/** A client and the app, joined; what has crossed since, Latin-1. */
export async function join(
  proxy: ProxyUnderTest,
  options: { readonly request?: string; readonly answer?: string } = {},
) {
  const { request = upgrade(), answer = agreed() } = options;
  proxy.upstream.script(() => undefined);
  const client = await proxy.connect();
  client.send(request);
  const app = await proxy.upstream.received("\r\n\r\n");
  const { length } = app.received;
  app.write(answer);
  await client.until(() => client.received.includes("\r\n\r\n"));
  const headEnd = client.received.indexOf("\r\n\r\n") + 4;
  return {
    client,
    app,
    head: client.received.slice(0, headEnd),
    toApp: () => app.received.slice(length),
    toClient: () => client.received.slice(headEnd),
    [Symbol.dispose]: () => client[Symbol.dispose](),
  };
}
