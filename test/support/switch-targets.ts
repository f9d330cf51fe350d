/** Versions of one app on ports of this machine, each of which says who it is. */

/** One version. It can crash, and come back on its port. */
export interface SwitchTarget extends AsyncDisposable {
  readonly name: string;
  readonly port: number;
  /** Status of `/health`. */
  health: number;
  /** Status of everything else. */
  status: number;
  /** Requests it got, health checks left out. */
  requests: number;
  /** All its connections end, and nothing listens any more. */
  crash(): Promise<void>;
  /** Listens on its port again. */
  comeBack(): void;
}

/**
 * Paths: `/health`; `/slow?ms=`; `/events`, an event each `?ms=`; `POST /sum`, answered with the number of bytes; any
 * other says the name. WebSockets are answered with the name and what they sent.
 */
export function startTarget(name: string): SwitchTarget {
  let server = listen(0);
  const target: SwitchTarget = {
    name,
    port: server.port ?? 0,
    health: 200,
    status: 200,
    requests: 0,
    crash: () => server.stop(true),
    comeBack() {
      server = listen(target.port);
    },
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  function listen(port: number) {
    return Bun.serve({
      port,
      hostname: "127.0.0.1",
      idleTimeout: 0,
      fetch: (request, own) => (own.upgrade(request) ? undefined : answer(target, request)),
      websocket: { message: (socket, text) => void socket.send(`${name} ${text}`) },
    });
  }
  return target;
}

async function answer(target: SwitchTarget, request: Request): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const ms = Number(searchParams.get("ms") ?? 50);
  const { name } = target;
  if (pathname === "/health") return new Response(`${name} is here`, { status: target.health });
  target.requests += 1;
  const { status } = target;
  const headers = { "x-version": name };
  switch (pathname) {
    case "/slow":
      await Bun.sleep(ms);
      return new Response(name, { status, headers });
    case "/events": {
      const type = { "content-type": "text/event-stream" };
      return new Response(events(name, ms), { headers: { ...headers, ...type } });
    }
    case "/sum":
      return new Response(`${name} ${(await request.bytes()).length}`, { status, headers });
    default:
      return new Response(name, { status, headers });
  }
}

async function* events(name: string, ms: number): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for (let count = 0; ; count += 1) {
    yield encoder.encode(`data: ${name} ${count}\n\n`);
    await Bun.sleep(ms);
  }
}
