/** Listens for admin requests on a unix socket that only this user can open. */

import { chmodSync, existsSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { type Clock, createSystemClock, sleep } from "../clock.ts";
import { messageOf, PaastisError } from "../errors.ts";
import { fitsSocket, SOCKET_BYTES_MAX } from "../socket-path.ts";

const MODE_USER_ONLY = 0o600;

/** So long the end waits for answers that are on their way, and looks so often whether they are; ms. */
const LAST_ANSWERS_MS = 1_000;
const LOOK_MS = 10;

/** What listens. */
export interface AdminListener {
  /** Ends it, once what is being answered is, but soon, and removes the socket. Safe to repeat. */
  close(): Promise<void>;
}

/**
 * Listens, at once. A socket that a killed run left behind is replaced; one that somebody listens on is not.
 * @throws PaastisError `listen_failed`
 */
export async function listenForAdmin(options: {
  /** Absolute. */
  readonly socketPath: string;
  readonly handle: (request: Request) => Promise<Response>;
  /** Left out: the system's. */
  readonly clock?: Clock;
}): Promise<AdminListener> {
  const { socketPath, handle, clock = createSystemClock() } = options;
  if (!fitsSocket(socketPath)) {
    throw failure(socketPath, `the path of a socket has at most ${SOCKET_BYTES_MAX} bytes`);
  }
  if (await isListeningOn(socketPath)) throw failure(socketPath, "another program listens there");
  try {
    mkdirSync(dirname(socketPath), { recursive: true, mode: 0o700 });
    if (existsSync(socketPath)) rmSync(socketPath);
    const server = listen(socketPath, handle);
    chmodSync(socketPath, MODE_USER_ONLY);
    return {
      async close() {
        const untilMs = clock.now() + LAST_ANSWERS_MS;
        while (server.pendingRequests > 0 && clock.now() < untilMs) await sleep(clock, LOOK_MS);
        await server.stop(true);
        rmSync(socketPath, { force: true });
      },
    };
  } catch (error) {
    throw failure(socketPath, messageOf(error), error);
  }
}

/** The mask keeps others out from the first moment on; nothing else runs in between. */
function listen(unix: string, fetch: (request: Request) => Promise<Response>) {
  const mask = process.umask(0o177);
  try {
    // The runtime heeds it on unix sockets as well, which its types do not know: without it a switch that takes longer
    // than ten seconds is cut off (measured with Bun 1.4.5).
    const patience = { idleTimeout: 0 };
    const options: Pick<Bun.Serve.Options<undefined>, "maxRequestBodySize"> = {
      maxRequestBodySize: 1_048_576,
      ...patience,
    };
    return Bun.serve({ unix, fetch, ...options });
  } finally {
    process.umask(mask);
  }
}

/** Whether somebody listens on a socket. @throws PaastisError `listen_failed` for what is no socket */
export async function isListeningOn(path: string): Promise<boolean> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (!found.isSocket()) throw failure(path, "something stands there that is no socket");
  try {
    const socket = await Bun.connect({ unix: path, socket: { data: () => undefined } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}

function failure(path: string, why: string, cause?: unknown): PaastisError {
  return new PaastisError(
    "listen_failed",
    {
      what: `The admin endpoints cannot listen on ${path}`,
      why,
      next: "Set ADMIN_UNIX_SOCKET to another path, or DATA_DIR to another folder",
    },
    cause,
  );
}
