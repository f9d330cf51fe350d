// What Node runs: `http-proxy` with an agent that keeps connections. Arguments: module, port, port of the upstream.
import { Agent, createServer } from "node:http";

const [module, port, upstreamPort] = process.argv.slice(2);
const { default: httpProxy } = await import(module);

const proxy = httpProxy.createProxyServer({
  target: `http://127.0.0.1:${upstreamPort}`,
  agent: new Agent({ keepAlive: true, maxSockets: 4096, maxFreeSockets: 4096 }),
  xfwd: true,
  changeOrigin: true,
});
// Without this an aborted request would end the process.
proxy.on("error", (_error, _request, answer) => answer?.destroy());

const server = createServer({ keepAliveTimeout: 300_000 }, (request, answer) => {
  proxy.web(request, answer);
});
server.on("upgrade", (request, socket, head) => proxy.ws(request, socket, head));
server.listen({ host: "127.0.0.1", port: Number(port), backlog: 4096 });
