/** The servers of the fetch engine on their one port: one, and those that still have old certificates. */

import type { Server, WebSocketHandler } from "bun";
import type { CertificateSource } from "../certificate.ts";
import { messageOf } from "../errors.ts";
import type { EngineOptions } from "./engine.ts";
import type { Bridge } from "./fetch-websocket.ts";
import { listenFailure } from "./listen-failure.ts";

/** What a listener does with requests. */
export interface FetchHandler {
  fetch(request: Request, server: Server<Bridge>): Promise<Response | undefined>;
  /** Only called when an answer's body breaks together with its head. */
  error(error: unknown): Response;
  readonly websocket: WebSocketHandler<Bridge>;
}

/**
 * All servers as one. `requestIP` and `timeout` of any server answer for the requests of all (seen in Bun 1.4.5;
 * `test/wire` holds it to that); `upgrade` does not: that is for the server that brought the request.
 */
export interface FetchListener
  extends Pick<
    Server<Bridge>,
    "stop" | "pendingRequests" | "requestIP" | "timeout" | "closeIdleConnections"
  > {
  readonly port: number;
}

/** Where and how. */
export interface FetchListenOptions
  extends Pick<EngineOptions, "host" | "port" | "limits" | "certificates" | "log"> {
  /** How long a connection may be silent, in seconds, unless `timeout` says otherwise. */
  readonly idleS: number;
}

interface Listening {
  readonly options: FetchListenOptions;
  readonly handler: FetchHandler;
  /** Takes new connections. */
  current: Server<Bridge>;
  /** Those that had older certificates, until their last connection has ended. */
  readonly leaving: Map<Server<Bridge>, Promise<void>>;
}

/**
 * Listens, at once.
 * @throws PaastisError `listen_failed` when it cannot
 */
export function listenForRequests(
  options: FetchListenOptions,
  handler: FetchHandler,
): FetchListener {
  const { certificates } = options;
  const current =
    certificates === null ? openAlone(options, handler) : openShared(options, handler);
  const listening: Listening = { options, handler, current, leaving: new Map() };
  const endChanges = certificates?.onChange(() => replace(listening));
  return {
    // A TCP listener always has one; the type also covers unix sockets.
    port: current.port ?? options.port,
    get pendingRequests() {
      let count = 0;
      for (const server of serversOf(listening)) count += server.pendingRequests;
      return count;
    },
    requestIP: (request) => listening.current.requestIP(request),
    timeout: (request, seconds) => listening.current.timeout(request, seconds),
    closeIdleConnections() {
      let count = 0;
      for (const server of serversOf(listening)) count += server.closeIdleConnections();
      return count;
    },
    async stop(isCut) {
      endChanges?.();
      const stops = serversOf(listening).map((server) => server.stop(isCut));
      await Promise.all([...stops, ...listening.leaving.values()]);
    },
  };
}

function serversOf({ current, leaving }: Listening): readonly Server<Bridge>[] {
  return [current, ...leaving.keys()];
}

function openAlone(options: FetchListenOptions, handler: FetchHandler): Server<Bridge> {
  // Outside of development Bun shares the port by default: two instances would take turns unnoticed.
  return open(options, handler, { port: options.port, reusePort: false });
}

/** Servers can only follow each other on a port that they share; that nobody else has it is looked at before. */
function openShared(options: FetchListenOptions, handler: FetchHandler): Server<Bridge> {
  const probe = openAlone(options, handler);
  const port = probe.port ?? options.port;
  void probe.stop(true);
  return open(options, handler, { port, reusePort: true });
}

function open(
  { host, limits, certificates, idleS }: FetchListenOptions,
  handler: FetchHandler,
  place: { readonly port: number; readonly reusePort: boolean },
): Server<Bridge> {
  try {
    return Bun.serve<Bridge>({
      hostname: host,
      ...place,
      ...(certificates === null ? {} : secure(certificates, limits.http2)),
      development: false,
      idleTimeout: idleS,
      maxRequestBodySize: limits.bodyBytesMax ?? Number.MAX_SAFE_INTEGER,
      fetch: (request, server) => handler.fetch(request, server),
      error: (error) => handler.error(error),
      websocket: handler.websocket,
    });
  } catch (error) {
    throw listenFailure({ host, port: place.port }, error);
  }
}

function secure(certificates: CertificateSource, http2: boolean) {
  const { cert, key } = certificates.current();
  return { tls: { cert, key }, http2 };
}

/**
 * A server keeps its certificate for good (Bun 1.4.5: `reload` ignores it), so another one takes its place. What
 * is under way on the old one goes on; its idle connections end, as do those whose handshake is not complete.
 */
function replace(listening: Listening): void {
  const { options, handler, leaving } = listening;
  const old = listening.current;
  try {
    const port = old.port ?? options.port;
    listening.current = open(options, handler, { port, reusePort: true });
  } catch (error) {
    const fields = { reason: messageOf(error) };
    options.log.error(fields, "the new TLS certificate is not shown to clients: the old one stays");
    return;
  }
  const left = old.stop().then(
    () => void leaving.delete(old),
    (error) => options.log.error({ reason: messageOf(error) }, "a server could not be stopped"),
  );
  leaving.set(old, left);
}
