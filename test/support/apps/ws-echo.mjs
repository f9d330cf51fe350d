/**
 * WebSocket echo by the `ws` package under Node. `/closed-by-app?code=&reason=` closes,
 * `/vanishing` breaks off, `/pinging` pings and tells of the pong, `/guarded` refuses; a GET tells
 * how sockets ended.
 */

import { createServer } from "node:http";
import { WebSocketServer } from "ws";

const closes = [];
const server = createServer((_request, response) => response.end(JSON.stringify(closes)));
const sockets = new WebSocketServer({
  noServer: true,
  maxPayload: 128 * 1024 * 1024,
  perMessageDeflate: { threshold: 0 },
  handleProtocols: (offered) => (offered.has("second") ? "second" : false),
});

const pages = {
  "/closed-by-app": (socket, query) =>
    socket.close(Number(query.get("code")), query.get("reason") ?? ""),
  "/vanishing": (socket) => socket.terminate(),
  "/pinging"(socket) {
    socket.on("pong", (data) => socket.send(`pong ${data}`));
    socket.ping("are you there?");
  },
};

server.on("upgrade", (request, connection, head) => {
  const { pathname, searchParams } = new URL(request.url, "http://app");
  if (pathname === "/guarded") {
    const fields = 'WWW-Authenticate: Basic realm="app"\r\nX-Why: no name\r\nContent-Length: 13';
    connection.end(`HTTP/1.1 401 Unauthorized\r\n${fields}\r\n\r\nwho are you?\n`);
    return;
  }
  sockets.handleUpgrade(request, connection, head, (socket) => {
    socket.on("close", (code, reason) => closes.push({ code, reason: String(reason) }));
    socket.on("error", (error) => console.error(String(error)));
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }));
    pages[pathname]?.(socket, searchParams);
  });
});
server.listen(Number(process.env.PORT), "127.0.0.1");
