/** The seam between the core, which decides, and an engine, which carries bytes. */

import type { App, Target } from "../app.ts";
import type { CertificateSource } from "../certificate.ts";
import type { Clock } from "../clock.ts";
import type { Config, ListenerConfig, UpstreamConfig } from "../config.ts";
import type { AnswerCode } from "../errors.ts";
import type { WithoutSecrets } from "../headers.ts";
import type { Log } from "../log.ts";
import type { IgnoreRule } from "../wake-policy.ts";
import type { Carrier } from "./carrier.ts";

/** The head of a request, however it was read. */
export interface RequestHead {
  readonly method: string;
  /** Path and query, in origin form. The fetch engine can only give it normalised. */
  readonly target: string;
  /** The `Host` header as it came; `null` when there is none. */
  readonly host: string | null;
  /** The peer's address, without `::ffff:`; empty when the listener has none. */
  readonly clientAddress: string;
  /** A header's value, by lower-case name; several are joined by `, `; `null` when absent. */
  header(name: string): string | null;
}

/** A response that Paastis makes itself. */
export interface Answer {
  readonly status: number;
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The whole body, or its pieces as they come. A stream is ended with `return()` when the client leaves. */
  readonly body: string | AsyncIterable<string>;
}

/**
 * The right to forward one request to one target. It is also the lease that keeps the app awake: whoever
 * holds it must hand it back exactly once, by `release`, `failed` or a non-null `answered`.
 */
export interface Exchange {
  readonly kind: "forward";
  readonly app: App;
  readonly target: Target;
  /** The request, for the case that it must be admitted again. */
  readonly head: RequestHead;
  /** When the request was first admitted; the hold's budget counts from here. */
  readonly admittedMs: number;
  /** How often forwarding this request failed already. */
  readonly failures: number;
  /** The rule by which it neither wakes its app nor counts as its use; `null`: it does both. */
  readonly ignored: IgnoreRule | null;
  /** Of the answer that the client gets; 0: none yet. The core's. */
  status: number;
  /**
   * Bytes that the engine has carried so far: of the answer's body towards the client, of the request's body from it; in
   * an upgraded connection all of them. What the engine does not see is left out.
   */
  sentBytes: number;
  receivedBytes: number;
  /** The id that the engine made for a request that came without one; `null`: it has made none. */
  requestId: string | null;
}

/** Settled at once: forward it, or send this answer. */
export type Decision =
  | Exchange
  | {
      readonly kind: "answer";
      readonly answer: Answer;
      /** Whose request it was; left out: no app's. */
      readonly app?: App;
    };

/** The request waits, its body unread. */
export interface Held {
  readonly kind: "held";
  /** Whose request it is; left out: nobody knows yet. */
  readonly app?: App;
  /** Never rejects. */
  readonly decision: Promise<Decision>;
  /** The client left. Afterwards `decision` may never settle, and nothing is to be handed back. */
  abandon(): void;
  /** The same, as another process goes on with the request. Left out: `abandon` will do. */
  handOn?(): void;
}

export type Admission = Decision | Held;

/** Why a request could not be carried to its target or the answer not back. */
export interface ForwardFailure {
  /**
   * - `unreachable`: no connection could be made, so the target has seen nothing
   * - `broken`: the connection ended or spoke something else before the answer's head was complete
   * - `timeout`: connected, but no answer's head in time
   * - `retired`: we have ended it, as the app has moved to another target and the time for this one is over
   * - `exhausted`: we ourselves have no descriptors, ports or memory left; it says nothing about the target
   */
  readonly kind: "unreachable" | "broken" | "timeout" | "retired" | "exhausted";
  /** For people. */
  readonly message: string;
  /** The request can be sent once more: its body is untouched, and doing it twice does no harm. */
  readonly replayable: boolean;
}

/** The head of a target's answer, as far as the core looks at it. */
export interface AnswerHead {
  readonly status: number;
  header(name: string): string | null;
}

/**
 * The core, as an engine sees it. Everything is synchronous while the app is awake; nothing throws.
 */
export interface RequestHandler {
  /** Decides on a request. Called once its head is complete and found well-formed. */
  admit(head: RequestHead): Admission;
  /**
   * Reports the head of the target's answer before it is passed on.
   * @returns `null`: pass it on. Otherwise the answer was the platform's "down" page: drop it and follow the
   *   admission; `exchange` has been handed back. An answer of ours when it was not `replayable`.
   */
  answered(exchange: Exchange, answer: AnswerHead, replayable: boolean): Admission | null;
  /** Reports that no answer came. Hands `exchange` back; follow the admission instead. */
  failed(exchange: Exchange, failure: ForwardFailure): Admission;
  /** Hands an exchange back after its last byte, or after the upgraded connection has closed. */
  release(exchange: Exchange): void;
  /**
   * An upgraded connection has said nothing for as long as its app allows: it is no use of the app any more. Followed by
   * `resume`, or by `closed`.
   */
  rest(exchange: Exchange): void;
  /** It has closed while it rested: there is nothing to be handed back. */
  closed(exchange: Exchange): void;
  /** It says something again, and holds its lease anew. */
  resume(exchange: Exchange): void;
  /** The answer for a request that the engine itself must refuse. */
  refuse(code: RefusalCode, why: string, head: RequestHead): Answer;
}

/** What an engine itself may find wrong with a request. */
export type RefusalCode = Extract<
  AnswerCode,
  | "body_too_large"
  | "head_too_large"
  | "invalid_host"
  | "invalid_request"
  | "method_refused"
  | "not_implemented"
  | "request_timeout"
  | "target_too_long"
  | "version_refused"
>;

/** What a process listens with whose place another one had: its port stays open all the while. */
export interface InheritedListener {
  /** The descriptor that listens on `EngineOptions.port`. */
  readonly fd: number;
  /** Where connections come that the other process has had: it reads nothing of them any more. */
  readonly socketPath: string;
  /** The other process has no more of them. */
  readonly over: Promise<unknown>;
}

/** What every engine is made of. */
export interface EngineOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Left out: the port is to be opened. */
  readonly inherited?: InheritedListener;
  readonly handler: RequestHandler;
  readonly clock: Clock;
  readonly log: Log;
  readonly limits: Omit<ListenerConfig, "tls">;
  /** For TLS towards clients; `null`: plain HTTP. */
  readonly certificates: CertificateSource | null;
  readonly upstream: UpstreamConfig;
  readonly forwarded: Config["forwarded"];
  /** For requests that come without an `X-Request-Id`; no two alike. */
  readonly newRequestId: () => string;
  /** Takes from headers what no app may see. Left out: there is nothing of the kind. */
  readonly withoutSecrets?: WithoutSecrets;
}

/** The end of an engine whose place another process takes, in three steps. */
export interface Succession {
  /** What listens, for the other process to inherit. */
  readonly fd: number;
  /** From here on no request is begun: what comes, and what waits for its app, waits for the other process. */
  hold(): void;
  /**
   * The other process listens. Takes no more connections; what waits goes to its private socket, as does what comes on
   * connections that are there, each of which ends with its answer. What is under way may take `graceMs`.
   * Resolves when all is done.
   */
  leave(socketPath: string, graceMs: number): Promise<void>;
}

/** An engine that listens. */
export interface Engine {
  readonly name: "fetch" | "socket";
  /** The port it listens on. */
  readonly port: number;
  /** Requests and sockets under way. */
  readonly inFlight: number;
  /** For a switch: what is under way to one target. */
  readonly carrier: Carrier;
  /** Asks WebSockets of an app to close (1001) that have been quiet for longer than counts as use of it. */
  readonly closeQuiet: (app: App) => void;
  /** Connections made to targets so far; `null`: the runtime does not say. */
  readonly upstreamSockets: number | null;
  /** `null`: another process cannot take its place. */
  readonly succession: Succession | null;
  /**
   * Stops accepting, lets what is under way finish for at most `graceMs`, closes WebSockets with 1001, then
   * cuts what is left. Resolves when all is closed. A second call with a shorter grace hurries the first.
   */
  stop(graceMs: number): Promise<void>;
}
