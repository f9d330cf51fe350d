/** The connection that commands go over: it is asked now and then whether it works, and made anew when it does not. */

import { Cluster, type Redis } from "ioredis";

import type { CancelTimer, Clock } from "../clock.ts";
import { createBackoff } from "./backoff.ts";
import type { RedisNode } from "./connection.ts";
import { clearerError } from "./redis-errors.ts";
import type { RedisMaker } from "./redis-maker.ts";

/** What it is made from. */
export interface CommandLineDeps {
  readonly maker: RedisMaker;
  readonly clock: Clock;
  readonly random: () => number;
  /** A key of ours; nothing needs to be there. In a Cluster whoever has its slot is asked. */
  readonly probeKey: string;
  /** Called with `null` when it has come to work, and with why whenever it does not. */
  readonly tell: (error: Error | null) => void;
}

/** The client, and what is known of the Cluster behind it. */
export interface CommandLine {
  readonly client: Redis | Cluster;
  /** Nodes of the Cluster that are known now. */
  nodes(): readonly RedisNode[];
  /** Safe to repeat. */
  close(): void;
}

interface Context extends CommandLineDeps {
  readonly client: Redis | Cluster;
  readonly pauseMs: () => number;
  /** The last thing that went wrong, for when the connection is closed because of it. */
  error: Error | null;
  isUp: boolean;
  mayAskRole: boolean;
  isProbing: boolean;
  /** Something happened since the probe under way has begun. */
  isAskedAgain: boolean;
  isClosed: boolean;
  cancel: CancelTimer;
}

/** How often it is asked whether it still works, ms. */
const PROBE_EVERY_MS = 2_000;

/** Begins to connect. */
export function createCommandLine(deps: CommandLineDeps): CommandLine {
  const backoff = createBackoff(deps.random);
  const hooks = { pauseMs: backoff.next, refused: (error: Error) => note(context, error) };
  const context: Context = {
    ...deps,
    client: deps.maker.commands(hooks),
    pauseMs: backoff.next,
    ...{
      error: null,
      isUp: false,
      mayAskRole: true,
      isProbing: false,
      isAskedAgain: false,
      isClosed: false,
    },
    cancel: () => undefined,
    tell(error) {
      if (error === null) backoff.reset();
      deps.tell(error);
    },
  };
  const { client } = context;
  listen(context);
  return {
    client,
    nodes: () => (client instanceof Cluster ? client.nodes().flatMap(placeOf) : []),
    close() {
      context.isClosed = true;
      context.cancel();
      client.disconnect();
    },
  };
}

function listen(context: Context): void {
  // One of the two has every method: TypeScript cannot tell that of overloads.
  const client = context.client as Redis;
  client.on("error", (error: Error) => note(context, error));
  client.on("ready", () => {
    if (!isReadyTooLate(context.client)) void probe(context);
  });
  client.on("close", () => down(context, new Error("Connection is closed.")));
  // Somebody of a Cluster has failed: not the whole of it is closed then.
  client.on("-node", () => void probe(context));
  client.on("node error", (error: Error) => {
    context.error = clearerError(error, context.error);
  });
  client.on("end", () => {
    // It has given up, which it does without any Sentinel.
    if (context.isClosed) return;
    context.cancel();
    context.cancel = context.clock.after(context.pauseMs(), () => {
      // Its failure comes as an "error", too.
      client.connect().catch(() => undefined);
    });
  });
}

/**
 * What is closed as soon as it is accepted, as by a load balancer with nothing behind it, is "ready" after it was closed:
 * the library then takes the dead connection for a good one, and its next attempt is refused. It goes on when it knows.
 */
function isReadyTooLate(client: Redis | Cluster): boolean {
  if (client instanceof Cluster || !client.stream.destroyed) return false;
  client.status = "reconnecting";
  return true;
}

/** While it works, what comes of an error is told by what follows. */
function note(context: Context, error: Error): void {
  context.error = clearerError(error, context.error);
  if (!context.isUp) down(context, error);
  // The library would go on in the database 0.
  if (error.message.includes("DB index")) renew(context.client, error);
}

function down(context: Context, error: Error): void {
  context.isUp = false;
  context.error = clearerError(error, context.error);
  if (!context.isClosed) context.tell(context.error);
}

/** Asks whether it works, and does something about it when it does not. Never rejects. */
async function probe(context: Context): Promise<void> {
  context.isAskedAgain = context.isProbing;
  if (context.isProbing || context.isClosed) return;
  context.isProbing = true;
  try {
    await ask(context);
    context.error = null;
    if (!context.isUp && context.client.status === "ready") {
      context.isUp = true;
      context.tell(null);
    }
    plan(context, context.isAskedAgain ? 0 : PROBE_EVERY_MS);
  } catch (thrown) {
    const error = thrown instanceof Error ? thrown : new Error(String(thrown));
    down(context, error);
    renew(context.client, error);
    plan(context, context.pauseMs());
  } finally {
    context.isProbing = false;
  }
}

function plan(context: Context, delayMs: number): void {
  // Nothing that is not connected needs to be asked: it says so when it is.
  if (context.isClosed || context.client.status !== "ready") return;
  context.cancel();
  context.cancel = context.clock.after(delayMs, () => void probe(context));
}

async function ask(context: Context): Promise<void> {
  const { client, probeKey } = context;
  const [, role] = await Promise.all([client.exists(probeKey), roleOf(context)]);
  if (role === "slave") throw new Error("READONLY");
}

/** `null`: it does not matter, or may not be asked. */
async function roleOf(context: Context): Promise<string | null> {
  const { client } = context;
  if (client instanceof Cluster || !context.mayAskRole) return null;
  const [role] = await client.role().catch((error: Error) => {
    // Asking on and on would fill its list of refusals.
    if (error.message.includes("NOPERM")) context.mayAskRole = false;
    return [null];
  });
  return typeof role === "string" ? role : null;
}

/** Has the library connect anew, or in a Cluster to whomever it has to. */
function renew(client: Redis | Cluster, error: Error): void {
  if (!(client instanceof Cluster)) {
    cut(client);
    return;
  }
  // All at once would have it lose count of them: it goes by their addresses.
  if (/timed out/.test(error.message)) for (const node of client.nodes()) cut(node);
  client.refreshSlotsCache((failure) => {
    if (!failure || client.status !== "ready") return;
    // Nobody answers whom it knows: those that stand in the URL are next.
    for (const node of client.nodes()) node.disconnect();
  });
}

/** Ends a connection at once, whatever the other side does. */
function cut(redis: Redis): void {
  if (redis.status === "ready" || redis.status === "connect") redis.stream.destroy();
}

function placeOf({ options }: Redis): readonly RedisNode[] {
  const { host, port } = options;
  return host === undefined || port === undefined ? [] : [{ host, port }];
}
