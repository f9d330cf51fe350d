/** What the socket engine still carries to one target of one app, and how that is ended. */

import { type App, addressOf } from "../app.ts";
import type { Carrier } from "./carrier.ts";
import type { Exchange } from "./engine.ts";
import { breakOff } from "./socket-answer.ts";
import type { SocketContext, Trip } from "./socket-context.ts";
import { guardTrip, isUnanswered, retire } from "./socket-exchange.ts";
import { canEndStream, endStream, isStream } from "./socket-stream.ts";
import { closeTunnel, cutTunnel, type Tunnel } from "./tunnel.ts";

/** RFC 6455 section 7.4.1, and the IANA registry of close codes: the server is restarting. */
const SERVICE_RESTART = 1012;

/** Looks through all connections: for switches, not for requests. */
export function createSocketCarrier(context: SocketContext): Carrier {
  return {
    carried(app, address) {
      const tunnels = tunnelsTo(context, app, address);
      const trips = tripsTo(context, app, address);
      const streams = trips.filter(isStream);
      const asked = tunnels.filter(({ code }) => code !== 0).length;
      const ending = streams.filter(({ isEnding }) => isEnding).length;
      return {
        requests: trips.length - streams.length,
        sockets: tunnels.length - asked + streams.length - ending,
        closing: asked + ending,
      };
    },
    closeSockets(app, address, count) {
      const tunnels = tunnelsTo(context, app, address).filter(({ code }) => code === 0);
      const streams = tripsTo(context, app, address).filter(
        (trip) => isStream(trip) && canEndStream(trip),
      );
      const chosen = [...tunnels, ...streams].slice(0, count);
      for (const one of chosen) {
        if (one.kind === "tunnel") closeTunnel(one, SERVICE_RESTART);
        else endStream(context, one);
      }
      return chosen.length;
    },
    cutRequests(app, address) {
      const all = tripsTo(context, app, address);
      const trips = all.filter((trip) => !endsByItself(trip));
      return cutTrips(context, trips);
    },
    cut(app, address) {
      const tunnels = tunnelsTo(context, app, address);
      for (const tunnel of tunnels) cutTunnel(tunnel);
      return tunnels.length + cutTrips(context, tripsTo(context, app, address));
    },
    closeIdle: (address) => context.pool.closeIdle(address),
  };
}

function cutTrips(context: SocketContext, trips: readonly Trip[]): number {
  for (const trip of trips) guardTrip(context, trip, () => cutTrip(context, trip));
  return trips.length;
}

/** Whether it was asked to end, or can be. */
function endsByItself(trip: Trip): boolean {
  return isStream(trip) && (trip.isEnding || canEndStream(trip));
}

/** What has not begun can still be answered by somebody else. */
function cutTrip(context: SocketContext, trip: Trip): void {
  const { exchange } = trip;
  if (isUnanswered(trip)) {
    retire(context, trip);
  } else if (trip.stage === "answering" && exchange !== null) {
    const fields = { app: exchange.app.key, upstream: addressOf(exchange.target) };
    context.log.warn(fields, "an answer was cut off: the time for its old target is over");
    breakOff(context, trip);
  }
}

function leadsTo(exchange: Exchange | null, app: App, address: string): boolean {
  return exchange !== null && exchange.app === app && addressOf(exchange.target) === address;
}

function tunnelsTo(context: SocketContext, app: App, address: string): Tunnel[] {
  return [...context.tunnels].filter(({ exchange }) => leadsTo(exchange, app, address));
}

function tripsTo(context: SocketContext, app: App, address: string): Trip[] {
  const trips = [...context.clients].flatMap(({ trip }) => trip ?? []);
  return trips.filter(({ exchange }) => leadsTo(exchange, app, address));
}
