/** The socket engine: strict HTTP/1.1 of our own on `Bun.listen` and `Bun.connect`. */

import { createTrust } from "../client-address.ts";
import { createPool } from "./connection-pool.ts";
import type { Engine, EngineOptions, InheritedListener } from "./engine.ts";
import { createQuietSockets } from "./quiet-sockets.ts";
import { onTargetBytes, onTargetOver } from "./socket-answer.ts";
import { createSocketCarrier } from "./socket-carrier.ts";
import { clientHandler, inheritedHandler, serveNext } from "./socket-client.ts";
import type { SocketContext, UpstreamUser } from "./socket-context.ts";
import { createDeadlines } from "./socket-deadlines.ts";
import { breakTrip, guardTrip } from "./socket-exchange.ts";
import { listenForClients, listenForInherited } from "./socket-listener.ts";
import { holdForSuccessor, sendToSuccessor } from "./socket-relay.ts";
import { createStop } from "./socket-stop.ts";
import { createScratch } from "./socket-writer.ts";
import { cutTunnel, fromTarget, targetIsOver } from "./tunnel.ts";

/**
 * Listens, at once.
 * @throws PaastisError `listen_failed` when it cannot
 */
export function createSocketEngine(options: EngineOptions): Engine {
  const context = createContext(options);
  const deadlines = createDeadlines(context);
  const handshakeMs = options.limits.headersTimeoutMs;
  const handler = clientHandler(context, deadlines.watch);
  const listener = listenForClients({ ...options, handshakeMs }, handler);
  const inherited = listenInherited(context, options.inherited, deadlines.watch);
  const listening = {
    stopAccepting: listener.stopAccepting,
    stop() {
      listener.stop();
      inherited.stop();
    },
    get incomplete() {
      return listener.incomplete + (inherited.isOpen() ? 1 : 0);
    },
  };
  const { stop, leave } = createStop(context, { listener: listening, onStopped: deadlines.end });
  return {
    name: "socket",
    port: listener.port,
    get inFlight() {
      let count = context.tunnels.size;
      for (const { trip, relay } of context.clients)
        if (trip !== null || relay !== null) count += 1;
      return count;
    },
    carrier: createSocketCarrier(context),
    closeQuiet: context.quiet.closeQuiet,
    get upstreamSockets() {
      return context.pool.made;
    },
    succession: {
      fd: listener.fd,
      hold: () => holdForSuccessor(context),
      leave(socketPath, graceMs) {
        sendToSuccessor(context, socketPath);
        return leave(graceMs);
      },
    },
    stop,
  };
}

/** Connections of the process whose place we have taken; it is over when that one has no more of them. */
function listenInherited(
  context: SocketContext,
  inherited: InheritedListener | undefined,
  onOpen: () => void,
): { stop(): void; isOpen(): boolean } {
  if (inherited === undefined) return { stop: () => undefined, isOpen: () => false };
  const listener = listenForInherited(inherited.socketPath, inheritedHandler(context, onOpen));
  let isOpen = true;
  const stop = () => {
    if (isOpen) listener.stop();
    isOpen = false;
  };
  void inherited.over.then(stop);
  return { stop, isOpen: () => isOpen };
}

function createContext(options: EngineOptions): SocketContext {
  const { handler, clock, log, limits, upstream, forwarded, newRequestId } = options;
  const scratch = createScratch();
  const context: SocketContext = {
    handler,
    clock,
    log,
    limits,
    upstream,
    forwarded,
    newRequestId,
    withoutSecrets: options.withoutSecrets,
    scheme: options.certificates === null ? "http" : "https",
    isTrusted: createTrust(forwarded.trustedProxies),
    clients: new Set(),
    tunnels: new Set(),
    quiet: createQuietSockets({ handler, clock }),
    scratch,
    nowMs: clock.now(),
    reliefFromMs: 0,
    isStopping: false,
    handingOn: null,
    serveNext: (client) => serveNext(context, client),
    pool: createPool<UpstreamUser>({
      clock,
      log,
      scratch,
      upstream,
      onData: (user, bytes) => onData(context, user, bytes),
      onOver: (user, error) => onOver(context, user, error),
      onFault: (user, error) => onFault(context, user, error),
    }),
  };
  return context;
}

function onData(context: SocketContext, user: UpstreamUser, bytes: Buffer): void {
  if (user.kind === "tunnel") fromTarget(user, bytes);
  else onTargetBytes(context, user, bytes);
}

function onOver(context: SocketContext, user: UpstreamUser, error: string | null) {
  if (user.kind === "tunnel") return targetIsOver(user, context.nowMs);
  guardTrip(context, user, () => onTargetOver(context, user, error));
}

function onFault(context: SocketContext, user: UpstreamUser, error: unknown): void {
  if (user.kind === "tunnel") cutTunnel(user);
  else breakTrip(context, user, error);
}
