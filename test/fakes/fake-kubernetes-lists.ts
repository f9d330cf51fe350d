/** Lists of the fake cluster: selected, cut into pages, and of one moment from the first page to the last. */

import type { Clock } from "../../src/clock.ts";
import { type FakeAnswer, json } from "./fake-answer.ts";
import {
  apiVersionOf,
  type KubeObject,
  RESOURCES,
  type ResourceName,
} from "./fake-kubernetes-objects.ts";
import {
  parseFieldSelector,
  parseLabelSelector,
  type Selects,
} from "./fake-kubernetes-selectors.ts";
import type { KubeCall } from "./fake-kubernetes-server.ts";
import {
  answerOf,
  badRequest,
  continueExpired,
  invalid,
  type Status,
  versionExpired,
  versionTooLarge,
} from "./fake-kubernetes-status.ts";
import type { Store } from "./fake-kubernetes-store.ts";
import { fieldsOf } from "./request-checks.ts";

/** What a list or a watch is about. */
export interface Selection {
  readonly resource: ResourceName;
  /** `null`: all. */
  readonly namespace: string | null;
  readonly selects: Selects;
}

/** Made by `createLists`. */
export interface Lists {
  answer(call: KubeCall, resource: ResourceName, namespace: string | null): FakeAnswer;
  /** The next calls with a `limit` get so many objects at most, one after the other; 0 is allowed. */
  shortenPages(...items: readonly number[]): void;
  /** No page that is still to come can be had. */
  expirePages(): void;
}

/** A moment of the store that pages are cut from. */
interface Picture {
  readonly objects: readonly KubeObject[];
  readonly madeAtMs: number;
  /** All parameters but those of the paging: they must stay the same. */
  readonly parameters: string;
}

interface State {
  readonly store: Store;
  readonly clock: Clock;
  readonly pageLifeMs: number;
  /** By the token's `rv` and the resource. */
  readonly pictures: Map<string, Picture>;
  shortened: number[];
}

/** @param pageLifeMs how long a `continue` is good */
export function createLists(deps: {
  readonly store: Store;
  readonly clock: Clock;
  readonly pageLifeMs: number;
}): Lists {
  const state: State = { ...deps, pictures: new Map(), shortened: [] };
  return {
    answer: (call, resource, namespace) => answerList(state, { call, resource, namespace }),
    shortenPages(...items) {
      state.shortened = [...items];
    },
    expirePages: () => state.pictures.clear(),
  };
}

/** What the parameters select; or what is wrong with them. */
export function selectionOf(
  { query }: KubeCall,
  resource: ResourceName,
  namespace: string | null,
): Selection | { readonly refusal: FakeAnswer } {
  const labels = parseLabelSelector(query.get("labelSelector") ?? "");
  if ("problem" in labels) return { refusal: answerOf(badRequest(labels.problem)) };
  const fields = parseFieldSelector(resource, query.get("fieldSelector") ?? "");
  if ("problem" in fields) return { refusal: answerOf(badRequest(fields.problem)) };
  const selects: Selects = (object) =>
    (namespace === null || object.metadata.namespace === namespace) &&
    labels(object) &&
    fields(object);
  return { resource, namespace, selects };
}

interface Asked {
  readonly call: KubeCall;
  readonly resource: ResourceName;
  readonly namespace: string | null;
}

interface Token {
  /** A revision; `-1`: whatever there is now. */
  readonly rv: string;
  /** The last object of the page before: `namespace/name`. */
  readonly start: string;
}

function answerList(state: State, asked: Asked): FakeAnswer {
  const { call, resource, namespace } = asked;
  const selection = selectionOf(call, resource, namespace);
  if ("refusal" in selection) return selection.refusal;
  const problem = versionProblem(state, call) ?? limitProblem(call);
  if (problem !== null) return answerOf(problem);
  const token = tokenOf(call);
  if (token === undefined) return answerOf(badRequest("continue key is not valid: illegal base64"));
  const limit = Number(call.query.get("limit") ?? 0);
  if (token === null) {
    const objects = state.store.list(resource);
    return page(state, { ...asked, ...selection, objects, limit, after: "", rv: null });
  }
  if (limit === 0) call.violation("a `continue` without the `limit` of the page before");
  const objects = picturedObjects(state, asked, token);
  if (objects === null)
    return answerOf(continueExpired(tokenText({ rv: "-1", start: token.start })));
  return page(state, { ...asked, ...selection, objects, limit, after: token.start, rv: token.rv });
}

/** Source: `apimachinery`, `metainternalversion/validation`. */
function versionProblem({ store }: State, { query }: KubeCall): Status | null {
  const [text, match] = [query.get("resourceVersion") ?? "", query.get("resourceVersionMatch")];
  if (text !== "" && text !== "0" && (query.get("continue") ?? "") !== "") {
    return badRequest("specifying resource version is not allowed when using continue");
  }
  if (match !== null && text === "") {
    const message =
      "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided";
    const field = "resourceVersionMatch";
    const problem = { field, reason: "FieldValueForbidden", message } as const;
    return invalid('ListOptions.meta.k8s.io ""', [problem]);
  }
  if (text === "" || text === "0") return null;
  const version = versionOf(text);
  if (version === null) return badVersion(text);
  if (version > store.revision) return versionTooLarge(version, store.revision);
  const isExact = match === "Exact";
  return isExact && version <= store.compactedTo
    ? versionExpired(version, store.compactedTo)
    : null;
}

/** `null`: it is none. */
export function versionOf(text: string): bigint | null {
  return /^\d{1,20}$/.test(text) ? BigInt(text) : null;
}

/** Source: `apiserver`, `pkg/storage/errors.go`. */
export function badVersion(text: string): Status {
  const message = `Invalid value: "${text}": strconv.ParseUint: parsing "${text}": invalid syntax`;
  const problem = { field: "resourceVersion", reason: "FieldValueInvalid", message } as const;
  return invalid(' ""', [problem]);
}

function limitProblem({ query }: KubeCall): Status | null {
  for (const name of ["limit", "timeoutSeconds"]) {
    const text = query.get(name);
    if (text !== null && !/^-?\d+$/.test(text)) {
      return badRequest(`strconv.ParseInt: parsing ${JSON.stringify(text)}: invalid syntax`);
    }
  }
  return null;
}

/** `null`: no token; `undefined`: none that can be read. */
function tokenOf({ query }: KubeCall): Token | null | undefined {
  const text = query.get("continue") ?? "";
  if (text === "") return null;
  try {
    const { rv, start } = fieldsOf(JSON.parse(Buffer.from(text, "base64url").toString())) ?? {};
    return typeof rv === "string" && typeof start === "string" ? { rv, start } : undefined;
  } catch {
    return undefined; // The client made it up, or broke it.
  }
}

function tokenText(token: Token): string {
  return Buffer.from(JSON.stringify({ v: "meta.k8s.io/v1", ...token })).toString("base64url");
}

/** `null`: that moment is forgotten. */
function picturedObjects(
  { store, clock, pictures, pageLifeMs }: State,
  { call, resource }: Asked,
  { rv }: Token,
): readonly KubeObject[] | null {
  if (rv === "-1") return store.list(resource);
  const picture = pictures.get(`${rv} ${resource}`);
  if (picture === undefined || (versionOf(rv) ?? 0n) <= store.compactedTo) return null;
  if (clock.now() - picture.madeAtMs > pageLifeMs) return null;
  if (picture.parameters !== parametersOf(call)) {
    call.violation("a `continue` with other parameters than those of the first page");
  }
  return picture.objects;
}

function parametersOf({ path, query }: KubeCall): string {
  const others = [...query].filter(([name]) => name !== "continue" && name !== "limit");
  return `${path}?${new URLSearchParams(others.toSorted())}`;
}

interface PageOrder extends Asked, Selection {
  readonly namespace: string | null;
  readonly objects: readonly KubeObject[];
  /** 0: none. */
  readonly limit: number;
  /** `namespace/name` of the last one that was told; empty: from the beginning. */
  readonly after: string;
  /** `null`: the list begins. */
  readonly rv: string | null;
}

function page(state: State, order: PageOrder): FakeAnswer {
  const { call, resource, selects, objects, after, limit } = order;
  const rest = objects.filter((object) => keyOf(object) > after).filter(selects);
  const shortened = limit > 0 ? state.shortened.shift() : undefined;
  const items = limit > 0 ? rest.slice(0, Math.min(limit, shortened ?? limit)) : rest;
  const isLast = items.length === rest.length;
  const rv = order.rv === null || order.rv === "-1" ? String(state.store.revision) : order.rv;
  const last = items.at(-1);
  const start = last === undefined ? after : keyOf(last);
  if (!isLast && order.rv === null) {
    const picture = { objects, madeAtMs: state.clock.now(), parameters: parametersOf(call) };
    state.pictures.set(`${rv} ${resource}`, picture);
  }
  const next = order.rv === "-1" ? "-1" : rv;
  const isSelected = call.query.has("labelSelector") || call.query.has("fieldSelector");
  const metadata = {
    resourceVersion: rv,
    ...(!isLast && { continue: tokenText({ rv: next, start }) }),
    ...(!isLast && !isSelected && { remainingItemCount: rest.length - items.length }),
  };
  const kind = `${RESOURCES[resource].kind}List`;
  // Objects of a list do not say what they are: the list does.
  const bare = items.map(({ kind: _kind, apiVersion: _version, ...object }) => object);
  return json({ kind, apiVersion: apiVersionOf(resource), metadata, items: bare });
}

function keyOf({ metadata }: KubeObject): string {
  return `${metadata.namespace}/${metadata.name}`;
}
