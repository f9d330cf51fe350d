/**
 * What the fake cluster remembers: all objects, and every change of them since it was last compacted. As with etcd there
 * is one revision for all of it, and an object's `resourceVersion` is the revision of its last change.
 */

import { isDeepStrictEqual } from "node:util";
import {
  type KubeObject,
  type ObjectOf,
  RESOURCES,
  type ResourceName,
} from "./fake-kubernetes-objects.ts";

/** One change. */
export interface Change {
  readonly revision: bigint;
  readonly resource: ResourceName;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** As it is now; what was deleted: as it was last, with the revision of its end. */
  readonly object: KubeObject;
  /** `null`: it is new. */
  readonly before: KubeObject | null;
}

/** Made by `createStore`. */
export interface Store {
  /** Of the newest change. */
  readonly revision: bigint;
  /** Changes up to this one cannot be had any more. */
  readonly compactedTo: bigint;
  /** In the order of namespace and name. */
  list<R extends ResourceName>(resource: R): readonly ObjectOf<R>[];
  get<R extends ResourceName>(resource: R, namespace: string, name: string): ObjectOf<R> | null;
  /** @throws Error when it is there already */
  create<R extends ResourceName>(resource: R, object: ObjectOf<R>): ObjectOf<R>;
  /** The same object anew; nothing happens when nothing is different. @throws Error when it is not there */
  replace<R extends ResourceName>(resource: R, object: ObjectOf<R>): ObjectOf<R>;
  /** Nothing happens when it is not there. */
  remove(resource: ResourceName, namespace: string, name: string): void;
  /** Oldest first. */
  changesAfter(revision: bigint): readonly Change[];
  /** Forgets all changes that were. */
  compact(): void;
  /** Something happens elsewhere in the cluster: the revision goes up, and none of these objects has changed. */
  pass(revisions: number): void;
  /** Called after each change, in the order of subscription. @returns how to end that */
  subscribe(listener: (change: Change) => void): () => void;
}

/** Beyond what a number can hold exactly: whoever reckons with resource versions is found out. */
const FIRST_REVISION = 9_007_199_254_740_993n;

interface State {
  readonly objects: Readonly<Record<ResourceName, Map<string, KubeObject>>>;
  readonly listeners: Set<(change: Change) => void>;
  /** Keys of each resource in their order; what is not there is found out when it is asked for. */
  readonly order: Map<ResourceName, readonly string[]>;
  changes: Change[];
  revision: bigint;
  compactedTo: bigint;
}

export function createStore(): Store {
  const state: State = {
    objects: {
      deployments: new Map(),
      statefulsets: new Map(),
      services: new Map(),
      pods: new Map(),
      endpointslices: new Map(),
      horizontalpodautoscalers: new Map(),
    },
    listeners: new Set(),
    order: new Map(),
    changes: [],
    revision: FIRST_REVISION,
    compactedTo: FIRST_REVISION - 1n,
  };
  return {
    get revision() {
      return state.revision;
    },
    get compactedTo() {
      return state.compactedTo;
    },
    list: (resource) => sorted(state, resource),
    get: (resource, namespace, name) => typed(state.objects[resource].get(`${namespace}/${name}`)),
    create: (resource, object) => typed(put(state, resource, object)),
    replace: (resource, object) => typed(put(state, resource, object, true)),
    remove: (resource, namespace, name) => remove(state, resource, `${namespace}/${name}`),
    changesAfter: (revision) =>
      state.changes.slice(state.changes.findLastIndex((change) => change.revision <= revision) + 1),
    compact() {
      state.compactedTo = state.revision;
      state.changes = [];
    },
    pass(revisions) {
      state.revision += BigInt(revisions);
    },
    subscribe(listener) {
      state.listeners.add(listener);
      return () => state.listeners.delete(listener);
    },
  };
}

/** Each map has objects of its resource alone, as `create` and `replace` take no others. */
function typed<R extends ResourceName>(object: KubeObject | undefined): ObjectOf<R> {
  return (object ?? null) as ObjectOf<R>;
}

function sorted<R extends ResourceName>(state: State, resource: R): readonly ObjectOf<R>[] {
  const objects = state.objects[resource];
  const keys = state.order.get(resource) ?? [...objects.keys()].toSorted();
  state.order.set(resource, keys);
  return keys.map((key) => typed<R>(objects.get(key)));
}

function put(state: State, resource: ResourceName, object: KubeObject, isThere = false) {
  const key = keyOf(object);
  const before = state.objects[resource].get(key) ?? null;
  if (isThere !== (before !== null)) {
    throw new Error(`${RESOURCES[resource].kind} ${key} is ${isThere ? "not there" : "there"}`);
  }
  if (before !== null && isDeepStrictEqual(stamped(object, ""), stamped(before, ""))) return before;
  state.revision += 1n;
  const after = stamped(object, String(state.revision));
  if (before === null) state.order.delete(resource);
  state.objects[resource].set(key, after);
  tell(state, { resource, type: before ? "MODIFIED" : "ADDED", object: after, before });
  return after;
}

function remove(state: State, resource: ResourceName, key: string): void {
  const before = state.objects[resource].get(key);
  if (before === undefined) return;
  state.objects[resource].delete(key);
  state.order.delete(resource);
  state.revision += 1n;
  const object = stamped(before, String(state.revision));
  tell(state, { resource, type: "DELETED", object, before });
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function stamped(object: KubeObject, resourceVersion: string): KubeObject {
  return { ...object, metadata: { ...object.metadata, resourceVersion } };
}

function tell(state: State, change: Omit<Change, "revision">): void {
  const whole = { ...change, revision: state.revision };
  state.changes.push(whole);
  for (const listener of [...state.listeners]) listener(whole);
}
