/** The `ws` package as a client, under Node: `node ws-client.mjs` plays stories, see serve-stories.mjs. */

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { WebSocket } from "ws";
import { resolveEverythingHere } from "./every-host-is-here.mjs";
import { serveStories } from "./serve-stories.mjs";

resolveEverythingHere();

const sum = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function open(url, protocols = [], options = {}) {
  const socket = new WebSocket(url, protocols, {
    maxPayload: 128 * 1024 * 1024,
    ...options,
  });
  await once(socket, "open");
  return socket;
}

async function ask(socket, message) {
  socket.send(message);
  const [data, isBinary] = await once(socket, "message");
  return { data, isBinary };
}

async function leave(socket, code, reason) {
  socket.close(code, reason);
  const [answered, why] = await once(socket, "close");
  return { code: answered, reason: String(why) };
}

const stories = {
  async echo(host) {
    const socket = await open(`ws://${host}/echo`);
    const text = await ask(socket, "grüße, 世界 🌍");
    const bytes = randomBytes(70_000);
    const binary = await ask(socket, bytes);
    const empty = await ask(socket, "");
    return {
      text: [String(text.data), text.isBinary],
      binary: [sum(binary.data) === sum(bytes), binary.isBinary],
      empty: [String(empty.data), empty.isBinary],
      end: await leave(socket, 1000, "done"),
    };
  },
  async order(host) {
    const socket = await open(`ws://${host}/echo`);
    const came = [];
    const all = new Promise((resolve) => {
      socket.on("message", (data) => came.push(String(data)) === 2000 && resolve());
    });
    for (let number = 0; number < 2000; number += 1) socket.send(String(number));
    await all;
    await leave(socket, 1000);
    return came.every((text, index) => text === String(index));
  },
  async pings(host) {
    const socket = await open(`ws://${host}/echo`);
    socket.ping("hello");
    const [pong] = await once(socket, "pong");
    const other = new WebSocket(`ws://${host}/pinging`);
    const [[ping], [message]] = await Promise.all([once(other, "ping"), once(other, "message")]);
    await Promise.all([leave(socket, 1000), leave(other, 1000)]);
    return { pong: String(pong), ping: String(ping), message: String(message) };
  },
  async compression(host) {
    const socket = await open(`ws://${host}/echo`, [], { perMessageDeflate: { threshold: 0 } });
    const text = "again and ".repeat(100_000);
    const echoed = String((await ask(socket, text)).data) === text;
    // What came over the wire, with its frame headers: the library does not count it.
    const wireBytes = socket._socket.bytesRead;
    await leave(socket, 1000);
    return { extensions: socket.extensions, echoed, wireBytes };
  },
  async subprotocols(host) {
    const chosen = await open(`ws://${host}/echo`, ["first", "second"]);
    await leave(chosen, 1000);
    return chosen.protocol;
  },
  async noSubprotocol(host) {
    const socket = new WebSocket(`ws://${host}/echo`, ["first"]);
    const [error] = await once(socket, "error");
    return error.message;
  },
  async closeByClient(host, { code, reason }) {
    return await leave(await open(`ws://${host}/echo`), code, reason);
  },
  async closeByApp(host, details) {
    const socket = await open(`ws://${host}/closed-by-app?${new URLSearchParams(details)}`);
    const [code, reason] = await once(socket, "close");
    return { code, reason: String(reason) };
  },
  async vanishing(host) {
    const socket = new WebSocket(`ws://${host}/vanishing`);
    const [code] = await once(socket, "close");
    return code;
  },
  async vanishingClient(host) {
    const socket = await open(`ws://${host}/echo`);
    socket.terminate();
    const [code] = await once(socket, "close");
    return code;
  },
  async refused(host) {
    const socket = new WebSocket(`ws://${host}/guarded`);
    const [, response] = await once(socket, "unexpected-response");
    let body = "";
    for await (const piece of response) body += piece;
    const { statusCode, headers } = response;
    return { statusCode, body, asks: headers["www-authenticate"], why: headers["x-why"] };
  },
  async large(host) {
    const socket = await open(`ws://${host}/echo`, [], { perMessageDeflate: false });
    const bytes = randomBytes(16 * 1024 * 1024);
    const { data } = await ask(socket, bytes);
    await leave(socket, 1000);
    return { bytes: data.length, same: sum(data) === sum(bytes) };
  },
};

await serveStories(stories);
