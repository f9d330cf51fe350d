/**
 * Programs of the fake Docker engine's containers, as far as others can see them: a real HTTP server at the container's
 * own address, and the engine's proxy at each published port.
 */

/** What a program answers to every request; header `x-fake-container: <id>`. */
export interface ContainerAnswer {
  readonly container: string;
  readonly name: string;
  /** 1 for the first of this container, over all of its runs. */
  readonly request: number;
  readonly method: string;
  /** With the query. */
  readonly path: string;
  /** The Host header as it came. */
  readonly host: string;
}

/** Everything of one run that accepts connections. */
export interface ContainerServers {
  /** Its program begins to listen at the addresses. */
  listen(): void;
  /** Requests that come wait until `unfreeze`. */
  freeze(): void;
  unfreeze(): void;
  /** All connections break, nothing is accepted any more. */
  close(): void;
}

export interface ContainerServersOptions {
  /** Addresses where its program listens: its own in each network, or 127.0.0.1. */
  readonly addresses: readonly string[];
  readonly port: number;
  readonly answer: (request: Request) => Response;
}

/** Nothing listens yet. */
export function createContainerServers(options: ContainerServersOptions): ContainerServers {
  const servers: Bun.Server<undefined>[] = [];
  let thawing: PromiseWithResolvers<void> | null = null;
  let isClosed = false;
  async function answer(request: Request): Promise<Response> {
    await thawing?.promise;
    return options.answer(request);
  }
  return {
    listen() {
      if (isClosed) return;
      for (const hostname of options.addresses) {
        servers.push(Bun.serve({ hostname, port: options.port, idleTimeout: 0, fetch: answer }));
      }
    },
    freeze() {
      thawing ??= Promise.withResolvers();
    },
    unfreeze() {
      thawing?.resolve();
      thawing = null;
    },
    close() {
      isClosed = true;
      for (const server of servers.splice(0)) void server.stop(true);
    },
  };
}

/** The engine's own process before a published port. */
export interface PublishedProxy {
  readonly port: number;
  close(): void;
}

/** One end of a proxied connection. */
interface End {
  socket: Bun.Socket<End> | null;
  /** What could not be written yet. */
  waiting: Uint8Array;
  readonly other: () => End;
  isOver: boolean;
}

const NOTHING = new Uint8Array();

/**
 * As `docker-proxy`: accepts from the start of the container on, and closes what the container does not accept.
 * @param port 0: any free one
 * @throws the system's error when the port is taken
 */
export function publishPort(
  port: number,
  to: { readonly address: string; readonly port: number },
): PublishedProxy {
  const open = new Set<End>();
  const carry: Bun.SocketHandler<End> = {
    data: ({ data: end }, bytes) => write(end.other(), bytes),
    drain: ({ data: end }) => write(end, NOTHING),
    close: ({ data: end }) => finish(open, end),
    error: ({ data: end }) => finish(open, end),
  };
  const listener = Bun.listen<End>({
    hostname: "127.0.0.1",
    port,
    socket: {
      ...carry,
      open(socket) {
        const outer: End = { socket, waiting: NOTHING, other: () => inner, isOver: false };
        const inner: End = { socket: null, waiting: NOTHING, other: () => outer, isOver: false };
        socket.data = outer;
        open.add(outer);
        Bun.connect<End>({
          hostname: to.address,
          port: to.port,
          data: inner,
          socket: {
            ...carry,
            open(innerSocket) {
              inner.socket = innerSocket;
              if (outer.isOver) innerSocket.terminate();
              else write(inner, NOTHING);
            },
          },
        }).catch(() => finish(open, inner));
      },
    },
  });
  return {
    port: listener.port,
    close() {
      listener.stop(true);
      for (const end of [...open]) finish(open, end);
    },
  };
}

function write(end: End, bytes: Uint8Array): void {
  const all = end.waiting.length === 0 ? bytes : Buffer.concat([end.waiting, bytes]);
  const written = Math.max(0, end.socket?.write(all) ?? 0);
  end.waiting = written >= all.length ? NOTHING : Uint8Array.from(all.subarray(written));
  if (end.isOver && end.waiting.length === 0) end.socket?.end();
}

/** This end is closed: the other one gets what was sent to it, and then closes too. */
function finish(open: Set<End>, end: End): void {
  open.delete(end);
  if (end.isOver) return;
  end.isOver = true;
  const other = end.other();
  if (other.isOver) return;
  other.isOver = true;
  open.delete(other);
  if (other.waiting.length === 0) other.socket?.end();
}
