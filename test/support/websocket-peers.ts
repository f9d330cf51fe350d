/** Apps and clients that speak WebSocket through an engine. */

import { expect } from "bun:test";
import type { StartEngine, TestEngine } from "./engine-under-test.ts";
import { connectRaw } from "./raw-client.ts";
import { startScriptedUpstream, type UpstreamRequest } from "./scripted-upstream.ts";
import { until } from "./until.ts";
import { framesIn, upgradeAnswer, upgradeRequest } from "./websocket-frames.ts";

/** An app that echoes; `close:<code>:<reason>` closes. */
export function startEcho() {
  const closes: [number, string][] = [];
  const state = { opens: 0 };
  const server = Bun.serve<{ protocol: string | null }>({
    port: 0,
    hostname: "127.0.0.1",
    fetch(request, self) {
      const protocol = request.headers.get("sec-websocket-protocol");
      const headers = new Headers();
      if (protocol !== null)
        headers.set("sec-websocket-protocol", protocol.split(",").at(-1)!.trim());
      headers.append("set-cookie", "s=1");
      headers.append("set-cookie", "t=2; Domain=127.0.0.1");
      headers.set("x-app", "yes");
      self.upgrade(request, { data: { protocol }, headers });
    },
    websocket: {
      maxPayloadLength: 256 * 1024 * 1024,
      backpressureLimit: 0,
      open: () => {
        state.opens += 1;
      },
      message(socket, message) {
        const text = typeof message === "string" ? message : "";
        const [word, code, reason = ""] = text.split(":");
        if (word === "close") socket.close(code ? Number(code) : undefined, reason);
        else if (word === "end") socket.terminate();
        else socket.send(message);
      },
      close: (_socket, code, reason) => void closes.push([code, reason]),
    },
  });
  return {
    origin: `http://127.0.0.1:${server.port}`,
    closes,
    get opens() {
      return state.opens;
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
}

/** A well-behaved client. */
export interface Browser {
  readonly socket: WebSocket;
  readonly messages: (string | Uint8Array)[];
  readonly closed: Promise<[code: number, reason: string]>;
}

/** Opens one; rejects when the upgrade is refused. */
export async function open(port: number, protocols: string[] = []): Promise<Browser> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws?x=1`, protocols);
  socket.binaryType = "arraybuffer";
  const messages: (string | Uint8Array)[] = [];
  socket.onmessage = ({ data }) =>
    void messages.push(typeof data === "string" ? data : new Uint8Array(data as ArrayBuffer));
  const closed = new Promise<[number, string]>((resolve) => {
    socket.onclose = ({ code, reason }) => resolve([code, reason]);
  });
  await new Promise<void>((resolve, reject) => {
    socket.onopen = () => resolve();
    socket.onerror = () => reject(new Error("not opened"));
  });
  return { socket, messages, closed };
}

/** Every lease is back, each once. */
export async function isReleased(proxy: TestEngine): Promise<void> {
  await until(() => proxy.handler.leases === 0 && proxy.engine.inFlight === 0);
  expect(proxy.handler.doubles).toBe(0);
}

/** A target and a client by hand, connected through the engine. */
export async function startRaw(
  start: StartEngine,
  extra = "",
  onRequest?: (request: UpstreamRequest) => void,
) {
  const seen: Buffer[] = [];
  const upstream = await startScriptedUpstream((request) => {
    request.write(upgradeAnswer(request.header("sec-websocket-key") ?? "", extra));
    request.socket.on("data", (data) => {
      seen.push(typeof data === "string" ? Buffer.from(data) : data);
    });
    onRequest?.(request);
  });
  const proxy = start(upstream.origin);
  const client = await connectRaw(proxy.port);
  client.send(upgradeRequest("/ws"));
  const answer = await client.answer();
  const headEnd = client.received.indexOf("\r\n\r\n") + 4;
  return {
    upstream,
    proxy,
    client,
    answer,
    /** What arrived at the target, and at the client. */
    fromClient: () => framesIn(Buffer.concat(seen).toString("latin1")),
    fromTarget: () => framesIn(client.received.slice(headEnd)),
    target: await upstream.request(),
    async [Symbol.asyncDispose]() {
      client[Symbol.dispose]();
      await proxy.engine.stop(0);
      upstream[Symbol.dispose]();
    },
  };
}
