/** The connection to Redis: a single server, one that Sentinels name, or a Cluster. */

import type { Cluster, Redis } from "ioredis";

/** A server of one of the kinds, as it is reached. */
export interface RedisNode {
  /** A name or an address, without brackets. */
  readonly host: string;
  readonly port: number;
}

/** How TLS is spoken. Paths of PEM files; `null`: none. */
export interface RedisTls {
  /** Vouches for the servers, in place of what the system trusts. */
  readonly caFile: string | null;
  /** Shown to the servers. */
  readonly certFile: string | null;
  readonly keyFile: string | null;
  /** What their certificates are for, where that is not the name they are reached by. */
  readonly serverName: string | null;
  /** False: whoever answers is believed. */
  readonly verifies: boolean;
}

/** What stands in the configuration, checked. */
export interface RedisAddress {
  readonly kind: "single" | "sentinel" | "cluster";
  /** For the log and for people: without password. */
  readonly shown: string;
  /** The server, the Sentinels, or some nodes of the Cluster; none with a `socketPath`. */
  readonly nodes: readonly RedisNode[];
  /** The unix socket of a single server. */
  readonly socketPath: string | null;
  readonly user: string | null;
  /** A secret: never in a message. */
  readonly password: string | null;
  readonly db: number;
  /** `null`: TLS is not spoken. */
  readonly tls: RedisTls | null;
  /** What the Sentinels call it; `null` with any other kind. */
  readonly masterName: string | null;
  readonly sentinelUser: string | null;
  /** A secret, too. */
  readonly sentinelPassword: string | null;
}

/** A connection that is made and kept by itself. */
export interface RedisConnection {
  /** For commands. Rejects at once while the server cannot be reached, and after 2 s when it does not answer. */
  readonly client: Redis | Cluster;
  /** `name` as a key of ours: `paastis:<instance>:{<instance>}:<name>`, so that all of them are in one slot. */
  key(name: string): string;
  /** Calls `onMessage` with each message of a channel (a name like a key's), until the returned function is called. */
  subscribe(channel: string, onMessage: (text: string) => void): () => void;
  /** Calls `onReady` whenever commands and subscriptions work, from then on and anew: what was said meanwhile was missed. */
  onReady(onReady: () => void): () => void;
  /** Why it cannot be used; `null`: it can. */
  trouble(): string | null;
  /** Since when that is so, ms since the epoch. */
  sinceMs(): number;
  /** Ends it. Safe to repeat. Never rejects. */
  close(): Promise<void>;
}
