/** Which containers are one app, and what it is called. Pure. */

import type { Settings } from "../config.ts";
import {
  type ComposePlace,
  type Condition,
  composePlaceOf,
  isOneOff,
  needsOf,
} from "./docker-compose.ts";
import type { Container } from "./docker-json.ts";
import { type ContainerMarks, readLabels, type SleepMode } from "./docker-labels.ts";
import { slugOf } from "./slug.ts";

/** Another member that must be far enough before this one is started. */
export interface MemberNeed {
  readonly member: string;
  readonly condition: Condition;
}

/** A container of an app. */
export interface Member {
  /** Its place in the project, or the container's name: the same after each re-creation. */
  readonly name: string;
  readonly container: Container;
  /** Containers of one service do the same. */
  readonly service: string;
  /** Compose says what it needs, if anything. */
  readonly isComposed: boolean;
  readonly marks: ContainerMarks;
  readonly needs: readonly MemberNeed[];
}

/** Containers that sleep and wake together. */
export interface DockerApp {
  /** The same after each re-creation. */
  readonly id: string;
  readonly key: string;
  readonly aliases: readonly string[];
  /** At least one; by name. */
  readonly members: readonly Member[];
  readonly mode: SleepMode;
  readonly settings: Settings;
  /** Somebody is re-creating it: a container stands beside its successor. */
  readonly isReplaced: boolean;
  /** What cannot be used of its labels; one sentence each. */
  readonly problems: readonly string[];
}

/** A container with all that its labels say. */
interface Labelled {
  readonly container: Container;
  readonly marks: ContainerMarks;
  readonly place: ComposePlace | null;
}

/** Containers that belong together, and what they would like to be called. */
interface Group {
  readonly id: string;
  readonly wish: string;
  readonly aliases: readonly string[];
  readonly labelled: readonly Labelled[];
}

/**
 * Containers with the same `paastis.name` are one app. Without a name, those of one Compose project are, unless
 * several of its services have a `paastis.port`: then each service is. Any other container is one by itself.
 * @param containers those that are opted in
 * @returns apps with unique ids and keys
 */
export function groupContainers(containers: readonly Container[]): readonly DockerApp[] {
  const labelled = containers
    .filter(({ labels }) => !isOneOff(labels))
    .map((container) => ({
      container,
      marks: readLabels(container.labels),
      place: composePlaceOf(container.labels),
    }));
  const named = labelled.filter(({ marks }) => marks.name !== undefined);
  const unnamed = labelled.filter(({ marks }) => marks.name === undefined);
  const composed = Map.groupBy(unnamed, ({ place }) => place?.project ?? "");
  const single = composed.get("") ?? [];
  composed.delete("");
  return withKeys([
    ...[...Map.groupBy(named, ({ marks }) => marks.name ?? "")].map(([name, members]) => ({
      ...{ id: `name/${name}`, wish: name, aliases: [], labelled: members },
    })),
    ...[...composed].flatMap(([project, members]) => groupsOfProject(project, members)),
    ...[...Map.groupBy(single, memberName)].map(([name, members]) => ({
      ...{ id: `container/${name}`, wish: slugOf(name), aliases: [], labelled: members },
    })),
  ]);
}

function groupsOfProject(project: string, labelled: readonly Labelled[]): Group[] {
  const services = Map.groupBy(labelled, ({ place }) => place?.service ?? "");
  const fronts = [...services].filter(([, members]) => members.some(hasPort));
  const longName = (service: string) => slugOf(`${service}-${project}`);
  if (fronts.length > 1) {
    return [...services].map(([service, members]) => {
      const id = `project/${project}/${service}`;
      return { id, wish: longName(service), aliases: [], labelled: members };
    });
  }
  const [front = ""] = fronts[0] ?? (services.size === 1 ? [...services.keys()] : []);
  // It stays good when a second service of the project gets a port.
  const aliases = front === "" ? [] : [longName(front)];
  return [{ id: `project/${project}`, wish: slugOf(project), aliases, labelled }];
}

function hasPort({ marks }: Labelled): boolean {
  return marks.port !== undefined;
}

/** Longest key that still leaves room for a number. */
const KEY_CHARS_MAX = 58;

function withKeys(groups: readonly Group[]): readonly DockerApp[] {
  const taken = new Set<string>();
  return groups.toSorted(compareGroups).map((group) => {
    const wish = group.wish || "container";
    let key = wish;
    for (let number = 2; taken.has(key); number += 1) {
      key = `${wish.slice(0, KEY_CHARS_MAX)}-${number}`;
    }
    taken.add(key);
    const isTaken = key !== wish;
    const why = `another app is called ${wish}, so this one is called ${key}: name it with paastis.name`;
    return appOf(group, key, isTaken ? [why] : []);
  });
}

const KINDS = ["name", "project", "container"];

function compareGroups(one: Group, other: Group): number {
  const rank = ({ id }: Group) => KINDS.indexOf(id.split("/")[0] ?? "");
  return rank(one) - rank(other) || (one.id < other.id ? -1 : 1);
}

function appOf(group: Group, key: string, problems: readonly string[]): DockerApp {
  const byName = Map.groupBy(group.labelled, memberName);
  const current = [...byName.values()].flatMap(currentOf).toSorted(compareLabelled);
  // Who serves speaks first.
  const marks = current.toSorted((a, b) => Number(hasPort(b)) - Number(hasPort(a)));
  return {
    id: group.id,
    key,
    aliases: group.aliases.filter((alias) => alias !== "" && alias !== key),
    members: current.map((one) => memberOf(one, current)),
    mode: marks.find((one) => one.marks.mode !== undefined)?.marks.mode ?? "stop",
    settings: Object.assign({}, ...marks.toReversed().map((one) => one.marks.settings)),
    isReplaced: [...byName.values()].some((same) => same.length > 1),
    problems: [...problems, ...new Set(current.flatMap((one) => one.marks.problems))],
  };
}

/** What a successor is called until its predecessor is gone. Source: docker/compose, `pkg/compose/convergence.go`. */
const SUCCESSOR = /^[0-9a-f]{12}_(?=.)/;

function memberName({ container, place }: Labelled): string {
  if (place === null) return container.name.replace(SUCCESSOR, "");
  return `${place.project}/${place.service}/${place.number}`;
}

const UP = ["running", "paused", "restarting"];

/** Of a container and its successor the one that is up, else the newer one. */
function currentOf(same: readonly Labelled[]): Labelled[] {
  const newestFirst = same.toSorted((a, b) => b.container.createdMs - a.container.createdMs);
  const up = newestFirst.find(({ container }) => UP.includes(container.status));
  return [up ?? newestFirst[0] ?? []].flat();
}

function compareLabelled(one: Labelled, other: Labelled): number {
  const [a, b] = [memberName(one), memberName(other)];
  return a.localeCompare(b, "en", { numeric: true });
}

function memberOf(one: Labelled, all: readonly Labelled[]): Member {
  const { container, marks, place } = one;
  const wanted = place === null ? [] : needsOf(container.labels);
  const needs = wanted.flatMap(({ service, condition }) =>
    all
      .filter((other) => other.place?.project === place?.project)
      .filter((other) => other.place?.service === service && other !== one)
      .map((other) => ({ member: memberName(other), condition })),
  );
  const name = memberName(one);
  const service = place === null ? name : `${place.project}/${place.service}`;
  return { name, container, service, isComposed: place !== null, marks, needs };
}
