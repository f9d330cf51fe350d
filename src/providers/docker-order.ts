/** Which member of an app serves it, what comes before what, and what a wake and a sleep are about. Pure. */

import type { Snapshot } from "../app.ts";
import type { DockerApp, Member, MemberNeed } from "./docker-groups.ts";
import type { ContainerPort } from "./docker-json.ts";

/** Who answers the app's requests, or why that cannot be told. */
export type Serving =
  | { readonly kind: "member"; readonly member: Member }
  | { readonly kind: "unclear"; readonly why: string };

/**
 * The one with a `paastis.port`, or the only one there is. `null`: only the ports of all members can tell, of which a
 * list says nothing while they are down.
 */
export function servingByLabel({ members }: DockerApp): Serving | null {
  const labelled = members.filter(({ marks }) => marks.port !== undefined);
  const candidates = labelled.length > 0 ? labelled : members;
  const services = new Set(candidates.map(({ service }) => service));
  if (services.size === 1) return chosen(candidates);
  if (labelled.length === 0) return null;
  const why = `several of its containers have the label paastis.port: ${namesOf(labelled)}; one of them serves the app, so give each app a name of its own with paastis.name`;
  return { kind: "unclear", why };
}

/**
 * The only one with a usable port: one that is published, or any where containers are reached by their own address.
 * @param portsOf all ports of a member, whether it is up or not
 */
export function servingByPorts(
  { members }: DockerApp,
  portsOf: (member: Member) => readonly ContainerPort[],
  isByNetwork: (member: Member) => boolean,
): Serving {
  const candidates = members.filter((member) =>
    portsOf(member).some(({ isPublished }) => isPublished || isByNetwork(member)),
  );
  const services = new Set(candidates.map(({ service }) => service));
  if (services.size === 1) return chosen(candidates);
  const what =
    services.size === 0
      ? "none of its containers has a usable port"
      : "several of its containers have ports";
  const why = `${what}: ${namesOf(candidates.length === 0 ? members : candidates)}; say which serves it with the label paastis.port on that one`;
  return { kind: "unclear", why };
}

/** Of several that do the same one that is up. */
function chosen(candidates: readonly Member[]): Serving {
  const up = candidates.find(({ container }) => container.status === "running");
  const member = up ?? candidates[0];
  if (member === undefined) throw new Error("an app without containers");
  return { kind: "member", member };
}

function namesOf(members: readonly Member[]): string {
  return members.map(({ container }) => container.name).join(", ");
}

/** What each member needs, by name. */
export type Needs = ReadonlyMap<string, readonly MemberNeed[]>;

/** What the members say. The serving one needs all that are not of Compose, of which nobody could say anything. */
export function needsIn({ members }: DockerApp, serving: Member): Needs {
  const unsaid = members
    .filter(({ isComposed, service }) => !isComposed && service !== serving.service)
    .map(({ name }) => ({ member: name, condition: "started" }) as const);
  return new Map(
    members.map((member) => {
      const isServing = member.service === serving.service;
      return [member.name, isServing ? [...member.needs, ...unsaid] : member.needs];
    }),
  );
}

/** These members and all that they need, each after what it needs. A circle is cut where it closes. */
export function inOrder(names: Iterable<string>, needs: Needs): readonly string[] {
  const found = new Set<string>();
  const visiting = new Set<string>();
  function visit(name: string): void {
    if (found.has(name) || visiting.has(name) || !needs.has(name)) return;
    visiting.add(name);
    for (const { member } of needs.get(name) ?? []) visit(member);
    found.add(name);
  }
  for (const name of names) visit(name);
  return [...found];
}

/**
 * Members that must be up for the app to be up: the serving one and all that it needs. Not those that were to come
 * to their end.
 */
export function neededNow(serving: Member, needs: Needs): readonly string[] {
  const lasting = [...needs].map(
    ([name, all]) => [name, all.filter(({ condition }) => condition !== "completed")] as const,
  );
  return inOrder([serving.name], new Map(lasting));
}

/** Members that a wake brings up, in order: those of the snapshot, the serving one, and all that they need. */
export function toWake(
  app: DockerApp,
  { serving, needs, snapshot }: { serving: Member; needs: Needs; snapshot: Snapshot | null },
): readonly string[] {
  const remembered = snapshot?.kind === "members" ? snapshot.ids : [];
  const wanted = remembered.length > 0 ? remembered : app.members.map(({ name }) => name);
  return inOrder([...wanted, serving.name], needs);
}

/** Members that a sleep takes down, each before what it needs, the serving one first where nothing is against it. */
export function toSleep(
  app: DockerApp,
  { serving, needs, snapshot }: { serving: Member | null; needs: Needs; snapshot: Snapshot },
): readonly string[] {
  const wanted = new Set(
    snapshot.kind === "members" ? snapshot.ids : app.members.map(({ name }) => name),
  );
  const others = app.members.map(({ name }) => name).filter((name) => name !== serving?.name);
  const last = serving === null ? [] : [serving.name];
  // Who serves is to come first of all that nobody needs: the order is turned around.
  return inOrder([...others, ...last], needs)
    .toReversed()
    .filter((name) => wanted.has(name));
}
