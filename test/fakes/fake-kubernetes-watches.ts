/** Watches of the fake cluster: what has changed since a revision, told line by line as it happens. */

import type { Clock } from "../../src/clock.ts";
import type { FakeAnswer } from "./fake-answer.ts";
import { badVersion, type Selection, selectionOf, versionOf } from "./fake-kubernetes-lists.ts";
import { apiVersionOf, RESOURCES, type ResourceName } from "./fake-kubernetes-objects.ts";
import type { KubeCall, LineStream, Reply } from "./fake-kubernetes-server.ts";
import {
  answerOf,
  invalid,
  type Status,
  versionExpired,
  versionTooLarge,
} from "./fake-kubernetes-status.ts";
import type { Change, Store } from "./fake-kubernetes-store.ts";

/** How all open watches come to their end. */
export type WatchEnd =
  /** As when their time is up. */
  | { readonly kind: "end" }
  /** The connection breaks, between two lines. */
  | { readonly kind: "cut" }
  /** It breaks in the middle of a line. */
  | { readonly kind: "half-line" }
  /** An `ERROR` with this status, then the end. */
  | { readonly kind: "error"; readonly status: Status };

/** Made by `createWatches`. */
export interface Watches {
  open(call: KubeCall, resource: ResourceName, namespace: string | null): Reply;
  /** Watches that are open, of this resource or of all. */
  count(resource?: ResourceName): number;
  end(how: WatchEnd, resource?: ResourceName): void;
  /** Bookmarks that were sent so far. */
  bookmarks(): number;
  /** Nothing is told any more, and no watch ends, until `resume`: then all of it is told. */
  pause(): void;
  resume(): void;
  /** While they pause: tells of the oldest change of this resource that was not told yet. */
  tellOne(resource: ResourceName): void;
  /** Those that are open are silent for good: the connection is gone, and nobody was told. */
  strand(): void;
  /** Text between the lines of those that are open. */
  say(text: string): void;
}

export interface WatchOptions {
  readonly store: Store;
  readonly clock: Clock;
  /** Between two bookmarks, where they are wanted. */
  readonly bookmarkEveryMs: number;
  /** How a watch from a revision that is forgotten is refused: with status 410, or 200 and an `ERROR`. */
  readonly tooOldAs: "status" | "event";
}

interface Watch extends Selection {
  readonly lines: LineStream;
  readonly hasBookmarks: boolean;
  /** What is told next comes after it. */
  toldTo: bigint;
  isStranded: boolean;
  /** Is told nothing any more. */
  forget: () => void;
}

interface State extends WatchOptions {
  readonly watches: Set<Watch>;
  /** Path and query -> when it was opened, by the real clock. */
  readonly openings: Map<string, number[]>;
  isPaused: boolean;
  bookmarks: number;
}

/** When the client names no time. Source: kube-apiserver, `--min-request-timeout`. */
const TIMEOUT_SECONDS = 1_800;
/** A last bookmark comes so long before the end. Source: `apiserver`, `cacher.go`. */
const LAST_BOOKMARK_MS = 2_000;
/** More openings of the same watch within a second than this are a loop that nobody holds up. */
const OPENINGS_MAX = 30;

export function createWatches(options: WatchOptions): Watches {
  const state: State = {
    ...options,
    watches: new Set(),
    openings: new Map(),
    isPaused: false,
    bookmarks: 0,
  };
  options.store.subscribe(() => tellAll(state));
  const some = (resource?: ResourceName) =>
    [...state.watches].filter((watch) => resource === undefined || watch.resource === resource);
  return {
    open: (call, resource, namespace) => open(state, { call, resource, namespace }),
    count: (resource) => some(resource).length,
    end(how, resource) {
      for (const watch of some(resource)) end(watch, how);
    },
    bookmarks: () => state.bookmarks,
    pause() {
      state.isPaused = true;
    },
    resume() {
      state.isPaused = false;
      tellAll(state);
    },
    tellOne(resource) {
      for (const watch of some(resource)) tellOne(state, watch);
    },
    strand() {
      for (const watch of state.watches) watch.isStranded = true;
    },
    say(text) {
      for (const { lines } of state.watches) lines.writeText(text);
    },
  };
}

interface Asked {
  readonly call: KubeCall;
  readonly resource: ResourceName;
  readonly namespace: string | null;
}

function open(state: State, { call, resource, namespace }: Asked): Reply {
  checkPace(state, call);
  const selection = selectionOf(call, resource, namespace);
  if ("refusal" in selection) return selection.refusal;
  const from = beginningOf(state, call);
  if ("refusal" in from) return from.refusal;
  const text = call.query.get("timeoutSeconds") ?? String(TIMEOUT_SECONDS);
  const timeoutMs = (Number(text) || TIMEOUT_SECONDS) * 1_000;
  const hasBookmarks = isTrue(call.query.get("allowWatchBookmarks"));
  return {
    stream(lines) {
      const watch: Watch = {
        ...{ ...selection, lines, hasBookmarks, toldTo: from.version, isStranded: false },
        forget: () => undefined,
      };
      if (from.isExpired) {
        const status = versionExpired(from.version, state.store.compactedTo);
        end(watch, { kind: "error", status });
      } else {
        if (from.isFresh) tellPresent(state, watch);
        begin(state, watch, timeoutMs);
      }
    },
  };
}

interface Beginning {
  readonly version: bigint;
  /** All that there is comes first. */
  readonly isFresh: boolean;
  readonly isExpired: boolean;
}

function beginningOf(
  { store, tooOldAs }: State,
  { query }: KubeCall,
): Beginning | { readonly refusal: FakeAnswer } {
  const text = query.get("resourceVersion") ?? "";
  const problem = optionProblem(query);
  if (problem !== null) return { refusal: answerOf(problem) };
  if (text === "" || text === "0") {
    return { version: store.revision, isFresh: true, isExpired: false };
  }
  const version = versionOf(text);
  if (version === null) return { refusal: answerOf(badVersion(text)) };
  if (version > store.revision) {
    return { refusal: answerOf(versionTooLarge(version, store.revision)) };
  }
  const isExpired = version < store.compactedTo;
  if (isExpired && tooOldAs === "status") {
    return { refusal: answerOf(versionExpired(version, store.compactedTo)) };
  }
  return { version, isFresh: false, isExpired };
}

/** Source: `apimachinery`, `metainternalversion/validation`, without the feature WatchList. */
function optionProblem(query: URLSearchParams): Status | null {
  const names = ["sendInitialEvents", "resourceVersionMatch"].filter((name) => query.has(name));
  const problems = names.map((field) => ({
    field,
    reason: "FieldValueForbidden" as const,
    message: `Forbidden: ${field} is forbidden for watch unless the WatchList feature gate is enabled`,
  }));
  return problems.length === 0 ? null : invalid('ListOptions.meta.k8s.io ""', problems);
}

/** As Go reads it in a query. */
export function isTrue(text: string | null): boolean {
  return text !== null && !["", "0", "false"].includes(text.toLowerCase());
}

function checkPace({ openings }: State, call: KubeCall): void {
  const [nowMs, url] = [performance.now(), call.path + call.query.get("labelSelector")];
  const lately = (openings.get(url) ?? []).filter((time) => time > nowMs - 1_000);
  openings.set(url, [...lately, nowMs]);
  if (lately.length === OPENINGS_MAX) call.violation("the watch is opened again without a pause");
}

function tellPresent({ store }: State, { lines, resource, selects }: Watch): void {
  for (const object of store.list(resource).filter(selects)) lines.write({ type: "ADDED", object });
}

function begin(state: State, watch: Watch, timeoutMs: number): void {
  state.watches.add(watch);
  const { clock, bookmarkEveryMs } = state;
  let cancelBookmark = () => undefined as unknown;
  const bookmarkLater = () => {
    cancelBookmark = clock.after(bookmarkEveryMs, () => {
      bookmark(state, watch);
      bookmarkLater();
    });
  };
  if (watch.hasBookmarks) bookmarkLater();
  const cancelLast = clock.after(Math.max(0, timeoutMs - LAST_BOOKMARK_MS), () => {
    if (watch.hasBookmarks) bookmark(state, watch);
  });
  const cancelEnd = clock.after(timeoutMs, () => {
    if (!state.isPaused) end(watch, { kind: "end" });
  });
  watch.forget = () => {
    for (const cancel of [cancelBookmark, cancelLast, cancelEnd]) cancel();
    state.watches.delete(watch);
  };
  watch.lines.onOver(watch.forget);
  tell(state, watch);
}

function tellAll(state: State): void {
  for (const watch of state.watches) tell(state, watch);
}

function tell({ store, isPaused }: State, watch: Watch): void {
  if (isPaused || watch.isStranded) return;
  for (const change of store.changesAfter(watch.toldTo)) {
    const event = change.resource === watch.resource ? eventOf(watch, change) : null;
    if (event !== null) watch.lines.write(event);
  }
  watch.toldTo = store.revision;
}

function tellOne({ store }: State, watch: Watch): void {
  const changes = store.changesAfter(watch.toldTo);
  const change = changes.find(({ resource }) => resource === watch.resource);
  const event = change === undefined ? null : eventOf(watch, change);
  if (event !== null) watch.lines.write(event);
  watch.toldTo = change?.revision ?? watch.toldTo;
}

/** What begins or ceases to be selected is added or deleted, for this watch. */
function eventOf({ selects }: Watch, { type, object, before }: Change) {
  const [is, was] = [type !== "DELETED" && selects(object), before !== null && selects(before)];
  if (!is && !was) return null;
  if (is) return { type: was ? "MODIFIED" : "ADDED", object };
  // As it was when it was selected, with the revision of the change.
  const { resourceVersion } = object.metadata;
  const last = before ?? object;
  return { type: "DELETED", object: { ...last, metadata: { ...last.metadata, resourceVersion } } };
}

/** All that a bookmark's object has is where it stands; the rest is what Go writes of an empty one. */
function bookmark(state: State, { lines, resource, isStranded }: Watch): void {
  const { store, isPaused } = state;
  if (isPaused || isStranded) return;
  state.bookmarks += 1;
  const metadata = { resourceVersion: String(store.revision), creationTimestamp: null };
  const isWorkload = resource === "deployments" || resource === "statefulsets";
  const template = { metadata: { creationTimestamp: null }, spec: { containers: null } };
  const empty = isWorkload ? { spec: { selector: null, template }, status: {} } : {};
  const { kind } = RESOURCES[resource];
  const object = { kind, apiVersion: apiVersionOf(resource), metadata, ...empty };
  lines.write({ type: "BOOKMARK", object });
}

function end({ lines, isStranded, forget }: Watch, how: WatchEnd): void {
  if (isStranded) return;
  forget();
  switch (how.kind) {
    case "end":
      lines.end();
      return;
    case "cut":
      lines.cut();
      return;
    case "half-line":
      lines.writeText('{"type":"MODIFIED","object":{"kind":"Depl');
      // What was written goes first.
      setTimeout(() => lines.cut(), 5).unref();
      return;
    case "error":
      lines.write({ type: "ERROR", object: how.status });
      lines.end();
      return;
    default:
      how satisfies never;
  }
}
