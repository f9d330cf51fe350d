/** Listens for clients of the socket engine: over TCP, or over TLS with the certificate of the day. */

import type { Socket, SocketHandler, TLSUpgradeOptions } from "bun";
import type { CertificateSource } from "../certificate.ts";
import type { CancelTimer, Clock } from "../clock.ts";
import { messageOf } from "../errors.ts";
import type { Log } from "../log.ts";
import type { EngineOptions } from "./engine.ts";
import { type ListenAddress, listenFailure } from "./listen-failure.ts";

/** What is called for the sockets of clients, once what they say can be read. */
export type ClientHandler<Data> = Required<
  Pick<SocketHandler<Data | undefined>, "open" | "data" | "drain" | "end" | "close" | "error">
>;

/** A port that is listened on. */
export interface ClientListener {
  readonly port: number;
  /** The descriptor that listens. */
  readonly fd: number;
  /** Connections whose TLS is not complete yet. */
  readonly incomplete: number;
  /** Takes no more connections; those that are not complete yet go on. */
  stopAccepting(): void;
  /** The same, and those are cut. */
  stop(): void;
}

/** Where and how. */
export type ListenOptions = ListenAddress &
  Pick<EngineOptions, "certificates" | "clock" | "inherited" | "log"> & {
    /** Longest a client may take for its part of the TLS handshake. */
    readonly handshakeMs: number;
  };

/** How often we look for handshakes that take too long, at most and at least, ms. */
const TICK_MS = 250;
const TICK_MIN_MS = 10;
const TICKS_PER_LIMIT = 5;

/** A client that has ended its side may still read. */
const HALF_OPEN = { allowHalfOpen: true } as const;

/**
 * Listens, at once.
 * @throws PaastisError `listen_failed` when it cannot
 */
export function listenForClients<Data>(
  options: ListenOptions,
  handler: ClientHandler<Data>,
): ClientListener {
  const { certificates } = options;
  return certificates === null
    ? listenPlain(options, handler)
    : listenSecure({ ...options, certificates }, handler);
}

/**
 * Listens on a private socket, in a folder that is for this user alone.
 * @throws Error when it cannot
 */
export function listenForInherited<Data>(
  socketPath: string,
  handler: ClientHandler<Data>,
): { stop(): void } {
  const listener = Bun.listen<Data | undefined>({
    unix: socketPath,
    ...HALF_OPEN,
    socket: handler,
  });
  return { stop: () => listener.stop() };
}

function listenPlain<Data>(options: ListenOptions, handler: ClientHandler<Data>): ClientListener {
  const { host, port } = options;
  try {
    const listener = Bun.listen<Data | undefined>({
      ...placeOf(options),
      ...HALF_OPEN,
      socket: handler,
    });
    const stop = () => listener.stop();
    return { ...placeFound(options, listener), incomplete: 0, stopAccepting: stop, stop };
  } catch (error) {
    throw listenFailure({ host, port }, error);
  }
}

/** The types of Bun 1.4.5 do not know that a descriptor may be given, nor that there is one. */
interface WithDescriptor {
  readonly fd: number;
}

function placeOf({ host, port, inherited }: ListenOptions) {
  const place = { hostname: host, port };
  if (inherited === undefined) return place;
  const { fd } = inherited;
  // With a descriptor, host and port mean nothing.
  return { fd } satisfies WithDescriptor as unknown as typeof place;
}

function placeFound({ port, inherited }: ListenOptions, listener: { readonly port: number }) {
  const { fd } = listener as typeof listener & WithDescriptor;
  return { port: inherited === undefined ? listener.port : port, fd };
}

interface Handshakes<Data> {
  readonly clock: Clock;
  readonly log: Log;
  readonly limitMs: number;
  readonly tickMs: number;
  /** Since when, ms since the epoch; the oldest first. */
  readonly begun: Map<Socket<Data | undefined>, number>;
  cancelLook: CancelTimer | null;
}

/**
 * The listener itself knows no TLS: one that does keeps its certificate for good (Bun 1.4.5). Instead each
 * connection is upgraded as it comes, which costs as much (490 µs a handshake, measured; the runtime keeps
 * what it makes of a certificate).
 */
function listenSecure<Data>(
  options: ListenOptions & { readonly certificates: CertificateSource },
  handler: ClientHandler<Data>,
): ClientListener {
  const { certificates, clock, log, handshakeMs } = options;
  const tickMs = Math.floor(handshakeMs / TICKS_PER_LIMIT);
  const handshakes: Handshakes<Data> = {
    clock,
    log,
    limitMs: handshakeMs,
    tickMs: Math.max(TICK_MIN_MS, Math.min(TICK_MS, tickMs)),
    begun: new Map(),
    cancelLook: null,
  };
  const secure = secureHandler(handshakes, handler);
  try {
    const listener = Bun.listen<undefined>({
      ...placeOf(options),
      ...HALF_OPEN,
      socket: {
        open: (socket) => upgrade(handshakes, socket, upgradeOptions(certificates, secure)),
        // From here on the upgraded side says everything; what comes here is the same, encrypted.
        data: ignore,
      },
    });
    return {
      ...placeFound(options, listener),
      get incomplete() {
        return handshakes.begun.size;
      },
      stopAccepting: () => listener.stop(),
      stop() {
        listener.stop();
        handshakes.cancelLook?.();
        const begun = [...handshakes.begun.keys()];
        handshakes.begun.clear();
        for (const socket of begun) socket.terminate();
      },
    };
  } catch (error) {
    throw listenFailure(options, error);
  }
}

function ignore(): void {
  // Nothing to do, but Bun wants to be told so.
}

/** Other protocols we do not offer: without ALPN a client that prefers HTTP/2 may speak it unasked. */
const ALPN = "\x08http/1.1";

function upgradeOptions<Data>(
  certificates: CertificateSource,
  socket: SocketHandler<Data | undefined>,
): TLSUpgradeOptions<Data | undefined> {
  const { cert, key } = certificates.current();
  // The types of Bun 1.4.5 know the client's side of an upgrade only; hence a variable.
  const options = { isServer: true, tls: { cert, key, ALPNProtocols: ALPN }, socket };
  return options;
}

function upgrade<Data>(
  handshakes: Handshakes<Data>,
  socket: Socket<undefined>,
  options: TLSUpgradeOptions<Data | undefined>,
): void {
  try {
    const [, upgraded] = socket.upgradeTLS(options);
    handshakes.begun.set(upgraded, handshakes.clock.now());
    watch(handshakes);
  } catch (error) {
    handshakes.log.error({ reason: messageOf(error) }, "a client cannot be spoken TLS with");
    socket.terminate();
  }
}

function secureHandler<Data>(
  handshakes: Handshakes<Data>,
  handler: ClientHandler<Data>,
): SocketHandler<Data | undefined> {
  const { begun, log } = handshakes;
  return {
    ...handler,
    // The engine hears of a connection when its handshake is complete.
    open: ignore,
    handshake(socket, isComplete, error) {
      if (!begun.delete(socket)) return;
      if (isComplete) return handler.open(socket);
      log.debug(
        { client: socket.remoteAddress, reason: error?.message ?? "unknown" },
        "a client did not come to speak TLS",
      );
      socket.terminate();
    },
    close(socket, error) {
      begun.delete(socket);
      handler.close(socket, error);
    },
  };
}

function watch<Data>(handshakes: Handshakes<Data>): void {
  handshakes.cancelLook ??= handshakes.clock.after(handshakes.tickMs, () => {
    handshakes.cancelLook = null;
    endSlow(handshakes);
    if (handshakes.begun.size > 0) watch(handshakes);
  });
}

function endSlow<Data>({ begun, clock, limitMs, log }: Handshakes<Data>): void {
  const endMs = clock.now() - limitMs;
  for (const [socket, sinceMs] of begun) {
    if (sinceMs > endMs) return;
    begun.delete(socket);
    const reason = `no TLS after ${limitMs} ms`;
    log.debug({ client: socket.remoteAddress, reason }, "a client did not come to speak TLS");
    socket.terminate();
  }
}
