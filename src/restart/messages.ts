/** What a process and the one that takes its place say to each other, over a channel that only the two of them have. */

import type { ProcessDeclaration } from "../config.ts";
import type { PeerUse } from "../peers.ts";
import type { ChildExit } from "../providers/process-child.ts";

/** Says to a process whose place it is to take: the number of that one. */
export const PREDECESSOR_VARIABLE = "PAASTIS_PREDECESSOR";

/** Where a successor finds what listens: behind the three that every process has. */
export const LISTENER_FD = 3;

/** An app that goes on running as a child of the process that has started it. */
export interface KeptApp {
  readonly pid: number;
  readonly port: number;
  /** What it was started with. */
  readonly declaration: ProcessDeclaration;
  /** Private socket of the process that it is a child of. */
  readonly keeper: string;
}

/** Everything that is handed over, once nobody else writes or decides. */
export interface Estate {
  /** What was asked for, and what it came to: they differ where any free port would do. */
  readonly host: string;
  readonly askedPort: number;
  readonly port: number;
  /** What opens the admin endpoints when nobody has configured a token; `null`: somebody has. */
  readonly startToken: string | null;
  readonly apps: readonly KeptApp[];
  /** What is still under way to apps. */
  readonly uses: readonly PeerUse[];
}

/** From the process that is there. */
export type ToSuccessor =
  | { readonly kind: "begin"; readonly estate: Estate }
  | { readonly kind: "uses"; readonly uses: readonly PeerUse[] }
  /** Nothing is under way there any more, and no connection is left. */
  | { readonly kind: "drained" }
  | { readonly kind: "exited"; readonly pid: number; readonly exit: ChildExit }
  /** The answer to `end`; `why`: it could not be ended. */
  | { readonly kind: "ended"; readonly pid: number; readonly why: string | null };

/** From the process that takes its place. */
export type ToPredecessor =
  /** The configuration is good, and everything is loaded. */
  | { readonly kind: "prepared" }
  | { readonly kind: "listening"; readonly socketPath: string }
  /** What is still under way may take so long, ms. */
  | { readonly kind: "stop"; readonly limitMs: number }
  | { readonly kind: "end" | "kill"; readonly pid: number }
  /** These are ours to command from here on: those of them that have ended are to be said so. */
  | { readonly kind: "attend"; readonly pids: readonly number[] }
  /** Another process will command them. */
  | { readonly kind: "hand-on" };

/** One end of the channel. */
export interface Channel<Sent, Heard> {
  /** Does nothing when nobody is there any more. */
  send(message: Sent): void;
  /** Calls back for each message from now on. @returns how to stop that */
  onMessage(callback: (message: Heard) => void): () => void;
  /** The other process has ended, or let go. */
  readonly closed: Promise<void>;
}
