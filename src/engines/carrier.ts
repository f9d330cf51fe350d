/** What a switch needs of an engine: to see and to end what is still under way to the old target. */

import type { App } from "../app.ts";

/** What is under way to one target of one app. */
export interface Carried {
  /** Requests, event streams left out. */
  readonly requests: number;
  /** Upgraded connections and event streams, which may go on for hours, and were not asked to end yet. */
  readonly sockets: number;
  /** Those that were asked, and are still there. */
  readonly closing: number;
}

/** The part of an engine that knows where its connections lead. `address` is as `addressOf` gives it. */
export interface Carrier {
  carried(app: App, address: string): Carried;
  /**
   * Asks upgraded connections (close code 1012, RFC 6455 section 7.4.1 and the IANA registry: "Service Restart") and
   * event streams to end, those not asked yet, `count` at most.
   * @returns how many it asked
   */
  closeSockets(app: App, address: string, count: number): number;
  /**
   * Ends requests at once, and event streams that cannot be asked to end. Requests that can be sent again go where the
   * app is now.
   * @returns how many that were
   */
  cutRequests(app: App, address: string): number;
  /** Ends whatever is left, at once. @returns how much that was */
  cut(app: App, address: string): number;
  /** Closes kept connections to the target that nothing uses. */
  closeIdle(address: string): void;
  /** Whether `carried` knows of requests. Left out: it does. */
  readonly seesRequests?: boolean;
}
