/** What looks at containers have shown, while their lines in lists say that it still holds. */

import type { Clock } from "../clock.ts";
import type { Container, ContainerDetails } from "./docker-json.ts";

/**
 * What was seen. A look costs a call for each container, and a list one for all: what a look has shown holds until a
 * list shows the container otherwise, or the engine tells that something has happened to it.
 */
export interface DockerLooks {
  /** Takes over a list; containers that are not in it are forgotten. */
  listed(containers: readonly Container[]): void;
  /** Something has happened to a container: what was seen of it holds no more. */
  changed(containerId: string): void;
  /** To be asked for before a look begins: what happens meanwhile makes it worthless. `null`: it was never listed. */
  mark(containerId: string): object | null;
  /** What a look has shown. */
  looked(details: ContainerDetails, before: object | null): void;
  /** What still holds of a container that a list shows so; `null`: nothing is known. */
  detailsOf(listed: Container): ContainerDetails | null;
  /** A look at the container whose network this one uses. @param host `null`: there is none */
  sawHost(guestId: string, host: ContainerDetails | null): void;
  /** What that look has shown, for a while; `undefined`: nothing is known, `null`: there is none. */
  hostOf(guestId: string): ContainerDetails | null | undefined;
}

/** One container, between two changes. */
interface Stretch {
  readonly line: string;
  details: ContainerDetails | null;
  host: { readonly seen: ContainerDetails | null; readonly atMs: number } | null;
}

/** Of a container that others use the network of, lists and events need not tell: it is looked at again, ms. */
const HOST_KNOWN_MS = 15_000;

/** Nothing was seen yet. */
export function createLooks(clock: Clock): DockerLooks {
  const stretches = new Map<string, Stretch>();
  const begin = (id: string, line: string) =>
    void stretches.set(id, { line, details: null, host: null });
  const holding = (container: Container) => {
    const stretch = stretches.get(container.id);
    return stretch?.line === lineOf(container) ? stretch : undefined;
  };
  return {
    listed(containers) {
      const ids = new Set(containers.map(({ id }) => id));
      for (const id of stretches.keys()) if (!ids.has(id)) stretches.delete(id);
      for (const container of containers) {
        if (holding(container) === undefined) begin(container.id, lineOf(container));
      }
    },
    changed(containerId) {
      const stretch = stretches.get(containerId);
      if (stretch !== undefined) begin(containerId, stretch.line);
    },
    mark: (containerId) => stretches.get(containerId) ?? null,
    looked(details, before) {
      const stretch = stretches.get(details.id);
      if (stretch !== undefined && stretch === before) stretch.details = details;
    },
    detailsOf: (listed) => holding(listed)?.details ?? null,
    sawHost(guestId, host) {
      const stretch = stretches.get(guestId);
      if (stretch !== undefined) stretch.host = { seen: host, atMs: clock.now() };
    },
    hostOf(guestId) {
      const host = stretches.get(guestId)?.host ?? null;
      return host === null || clock.now() - host.atMs >= HOST_KNOWN_MS ? undefined : host.seen;
    },
  };
}

/** All that a list says of how a container is now. */
function lineOf({ status, health, exitCode, ports, networks, networkMode }: Container): string {
  return JSON.stringify([status, health, exitCode, ports, [...networks], networkMode]);
}
