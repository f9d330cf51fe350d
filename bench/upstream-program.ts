/**
 * An upstream for what nginx cannot do: `bun upstream-program.ts` listens on `PORT`.
 * `POST` anywhere: the answer is the number of bytes that came, and they are counted as they come.
 * `GET /socket` with an upgrade: what is sent is sent back.
 */

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(process.env.PORT),
  idleTimeout: 0,
  maxRequestBodySize: 8 * 1024 ** 3,
  fetch(request, own) {
    if (own.upgrade(request)) return undefined;
    return request.method === "POST" ? count(request) : new Response("ok");
  },
  websocket: {
    idleTimeout: 0,
    perMessageDeflate: false,
    message: (socket, message) => void socket.send(message),
  },
});

async function count(request: Request): Promise<Response> {
  let bytes = 0;
  for await (const piece of request.body ?? []) bytes += piece.length;
  return new Response(String(bytes));
}

process.on("SIGTERM", () => {
  server.stop(true);
  process.exit(0);
});
