/** What the fetch engine still carries to one target of one app: only WebSockets, as the runtime keeps the rest to itself. */

import { type App, addressOf } from "../app.ts";
import type { Carrier } from "./carrier.ts";
import type { FetchContext, OpenBridge } from "./fetch-context.ts";

/** RFC 6455 section 7.4.1, and the IANA registry of close codes: the server is restarting. */
const SERVICE_RESTART = 1012;

/** Requests and event streams to the old target end by themselves, however long that takes; nothing is cut. */
export function createFetchCarrier(context: FetchContext): Carrier {
  const asked = new WeakSet<OpenBridge>();
  const bridgesTo = (app: App, address: string) =>
    [...context.bridges].filter(
      ({ exchange }) => exchange.app === app && addressOf(exchange.target) === address,
    );
  return {
    carried(app, address) {
      const bridges = bridgesTo(app, address);
      const closing = bridges.filter((bridge) => asked.has(bridge)).length;
      return { requests: 0, sockets: bridges.length - closing, closing };
    },
    closeSockets(app, address, count) {
      const open = bridgesTo(app, address).filter((bridge) => !asked.has(bridge));
      const chosen = open.slice(0, count);
      for (const bridge of chosen) {
        asked.add(bridge);
        bridge.close(SERVICE_RESTART, "");
      }
      return chosen.length;
    },
    // Nobody sees them.
    cutRequests: () => 0,
    cut(app, address) {
      const bridges = bridgesTo(app, address);
      for (const bridge of bridges) bridge.cut();
      return bridges.length;
    },
    seesRequests: false,
    closeIdle() {
      // The runtime keeps its connections to itself, and closes idle ones by itself.
    },
  };
}
