/**
 * The data plane of the fake cluster: a Service answers at its addresses while one of its endpoints is ready, and refuses
 * connections otherwise.
 */

import type { CancelTimer, Clock } from "../../src/clock.ts";
import { type FakeAnswer, toWire } from "./fake-answer.ts";
import { holdPort, type OwnPort } from "./fake-kubernetes-ports.ts";
import type { AppAnswer } from "./fake-router.ts";

/** What stands behind a Service now. */
export interface Backing {
  /** Who answers. */
  readonly app: string;
  /** How many endpoints take connections; 0: none does. */
  readonly instances: number;
}

/** One address of a Service; each of its ports has one. */
export interface Entrance {
  readonly port: number;
  /** A loopback address of its own. */
  readonly clusterIp: string;
  /** Requests that were answered by the app; WebSockets count when they open. */
  readonly requests: number;
  readonly isOpen: boolean;
  /** Another answer than the usual one, from now on; `null`: the usual. */
  answerWith(answer: FakeAnswer | null): void;
  /** Opens, closes or goes on. Connections of one that closes are gone as well. */
  follow(backing: Backing): void;
  close(): void;
}

interface SocketData {
  readonly app: string;
}

interface State {
  readonly clusterIp: string;
  readonly held: OwnPort;
  servers: Bun.Server<SocketData>[];
  backing: Backing;
  answer: FakeAnswer | null;
  requests: number;
}

/** Closed at first. @param clusterIp a loopback address; the entrance is at `127.0.0.1` as well, for names */
export function createEntrance(clusterIp: string): Entrance {
  const held = holdPort();
  const backing = { app: "", instances: 0 };
  const state: State = { clusterIp, held, servers: [], backing, answer: null, requests: 0 };
  return {
    port: held.port,
    clusterIp,
    get requests() {
      return state.requests;
    },
    get isOpen() {
      return state.servers.length > 0;
    },
    answerWith(answer) {
      state.answer = answer;
    },
    follow(next) {
      state.backing = next;
      if (next.instances > 0) open(state);
      else shut(state);
    },
    close() {
      shut(state);
      held.release();
    },
  };
}

function open(state: State): void {
  if (state.servers.length > 0) return;
  state.servers = ["127.0.0.1", state.clusterIp].map((hostname) =>
    Bun.serve<SocketData>({
      hostname,
      port: state.held.port,
      idleTimeout: 0,
      fetch: (request, server) => respond(state, request, server),
      websocket: {
        open: (socket) => void socket.send(`hello from ${socket.data.app}`),
        message: (socket, message) => void socket.send(message),
      },
    }),
  );
}

function shut(state: State): void {
  for (const server of state.servers) void server.stop(true);
  state.servers = [];
}

async function respond(
  state: State,
  request: Request,
  server: Bun.Server<SocketData>,
): Promise<Response | undefined> {
  state.requests += 1;
  const number = state.requests;
  const { app, instances } = state.backing;
  if (server.upgrade(request, { data: { app } })) return undefined;
  const bodyBytes = (await request.arrayBuffer()).byteLength;
  const url = new URL(request.url);
  const usual: AppAnswer = {
    app,
    instances,
    request: number,
    method: request.method,
    path: url.pathname + url.search,
    host: request.headers.get("host") ?? "",
    bodyBytes,
  };
  const { status, headers, text } = toWire(state.answer ?? { status: 200, body: usual });
  return new Response(text === "" ? null : text, {
    status,
    headers: { "x-fake-app": app, ...headers },
  });
}

/** Does something once, a while after it was asked for, however often that was. */
export interface Soon {
  ask(key: string): void;
  end(): void;
}

/** @param act is called with the key */
export function createSoon(clock: Clock, delayMs: number, act: (key: string) => void): Soon {
  const waiting = new Map<string, CancelTimer>();
  return {
    ask(key) {
      if (waiting.has(key)) return;
      const cancel = clock.after(delayMs, () => {
        waiting.delete(key);
        act(key);
      });
      waiting.set(key, cancel);
    },
    end() {
      for (const cancel of waiting.values()) cancel();
      waiting.clear();
    },
  };
}
