/** From the `Host` header to an app's key. */

/** A host, read. `label` is the first label in lower case; `address`: an IP literal, which is never an app. */
export type Host =
  | { readonly kind: "label"; readonly label: string }
  | { readonly kind: "address" }
  | { readonly kind: "invalid"; readonly why: string };

/** Longest DNS label (RFC 1035, section 2.3.4) and longest host name with a port we look at. */
const LABEL_MAX = 63;
const HOST_MAX = 260;

const HOST_FORM = /^([a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{0,5})?$/i;
const IPV4_FORM = /^\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\.?$/;

/** Reads a raw `Host` header (RFC 9110, section 7.2). Never throws. */
export function readHost(host: string | null): Host {
  if (host === null || host === "") return { kind: "invalid", why: "there is no Host header" };
  if (host.length > HOST_MAX) return { kind: "invalid", why: "the Host header is too long" };
  const form = HOST_FORM.exec(host);
  const name = form?.[1];
  if (name === undefined) {
    return { kind: "invalid", why: "the Host header is not a host name with an optional port" };
  }
  if (name.startsWith("[") || IPV4_FORM.test(name)) return { kind: "address" };
  const label = name.slice(0, endOfLabel(name)).toLowerCase();
  if (label === "" || label.length > LABEL_MAX) {
    return { kind: "invalid", why: "the host name's first label is empty or too long" };
  }
  return { kind: "label", label };
}

function endOfLabel(name: string): number {
  const dot = name.indexOf(".");
  return dot === -1 ? name.length : dot;
}

/** What a request's host leads to. `unknown` carries the label, or `null` for an address. */
export type Route<A> =
  | { readonly kind: "app"; readonly app: A }
  | { readonly kind: "unknown"; readonly label: string | null }
  | { readonly kind: "invalid"; readonly why: string };

/** Finds the app of a host. A map look-up for labels seen before. */
export interface Router<A> {
  match(host: string | null): Route<A>;
  /** Forgets what was looked up: apps or rules have changed. */
  reset(): void;
}

/** How many labels are remembered; more are looked up afresh, so that invented ones cannot fill memory. */
const MEMORY_MAX = 10_000;

/**
 * @param deps.find the app with this key, or `null`
 * @param deps.keyOf the key a label stands for, by the rules' `app_name`
 * @param deps.defaultKey key of the app that answers where no other does
 */
export function createRouter<A>(deps: {
  readonly find: (key: string) => A | null;
  readonly keyOf: (label: string) => string;
  readonly defaultKey: string | null;
}): Router<A> {
  // Only what leads to an app by its own label: what anybody can invent leaves no trace.
  const memory = new Map<string, Route<A>>();
  function byLabel(label: string): Route<A> | null {
    const known = memory.get(label);
    if (known !== undefined) return known;
    const app = deps.find(deps.keyOf(label));
    if (app === null) return null;
    const route: Route<A> = { kind: "app", app };
    if (memory.size < MEMORY_MAX) memory.set(label, route);
    return route;
  }
  function byDefault(label: string | null): Route<A> {
    const app = deps.defaultKey === null ? null : deps.find(deps.defaultKey);
    return app === null ? { kind: "unknown", label } : { kind: "app", app };
  }
  return {
    match(host) {
      const read = readHost(host);
      if (read.kind === "invalid") return read;
      if (read.kind === "address") return byDefault(null);
      return byLabel(read.label) ?? byDefault(read.label);
    },
    reset: () => memory.clear(),
  };
}
