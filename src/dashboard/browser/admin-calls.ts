/** Asks the admin endpoints, at our own origin and with the cookie of the log-in. */

import type { ActionAnswer, AppDetails, Problem, Savings } from "../../admin/views.ts";
import type { BrowserClock } from "./browser-clock.ts";

/** What was asked for was refused, or nobody answered: in words for people. */
export class CallError extends Error {
  /** What to do; empty: nothing is known. */
  readonly remedy: string;
  /** 0: nobody answered. */
  readonly status: number;
  constructor(message: string, { remedy, status }: { remedy: string; status: number }) {
    super(message);
    this.remedy = remedy;
    this.status = status;
  }
}

/** What an operator can do with an app. */
export type Order =
  | { readonly kind: "wake" | "resume" }
  | { readonly kind: "sleep" /** How long its last requests may take. */; readonly drain?: string }
  | { readonly kind: "pause"; readonly for?: string }
  | { readonly kind: "keep-awake"; readonly for: string }
  | { readonly kind: "keep-awake"; readonly until: string };

/** The endpoints that the dashboard uses. Everything throws `CallError`. */
export interface AdminCalls {
  details(key: string, signal: AbortSignal): Promise<AppDetails>;
  savings(): Promise<Savings>;
  status(): Promise<InstanceStatus>;
  order(key: string, order: Order): Promise<ActionAnswer>;
  /** The stream of rows, begun. */
  stream(signal: AbortSignal): Promise<ReadableStream<Uint8Array>>;
}

/** The part of `GET /__status?details=1` that is about more than apps. */
export interface InstanceStatus {
  readonly stores?: {
    readonly registry: StoreStatus & {
      readonly instance: string;
      readonly otherInstances: readonly string[];
    };
    readonly events: StoreStatus & { readonly waiting: number; readonly dropped: number };
  };
  readonly providers?: Readonly<
    Record<string, { readonly reachable: boolean; readonly trouble: string | null }>
  >;
}

interface StoreStatus {
  readonly type: string;
  readonly trouble: string | null;
  readonly since: string | null;
}

/** What calls need from outside. */
export interface AdminCallsDeps {
  readonly fetch: typeof fetch;
  readonly clock: BrowserClock;
  /** Who is not logged in goes there; the page is left. */
  readonly onLoggedOut: () => void;
}

/** Longest that an answer may take, ms; a drain takes as long as it was given. */
const PATIENCE_MS = 30_000;
const ORDER_PATIENCE_MS = 10 * 60_000;

/** Calls to our own origin. */
export function createAdminCalls(deps: AdminCallsDeps): AdminCalls {
  const read = async <T>(path: string, signal: AbortSignal): Promise<T> => {
    const answer = await ask(deps, path, { signal });
    // The endpoint's own shape: both ends are built from one source.
    return (await answer.json()) as T;
  };
  const limited = () => AbortSignal.timeout(PATIENCE_MS);
  return {
    details: (key, signal) =>
      read(`/__apps/${encodeURIComponent(key)}`, AbortSignal.any([signal, limited()])),
    savings: () => read("/__savings", limited()),
    status: () => read("/__status?details=1", limited()),
    async order(key, { kind, ...span }) {
      const path = `/__apps/${encodeURIComponent(key)}/${kind}`;
      const answer = await ask(deps, `${path}?${new URLSearchParams(span)}`, {
        method: "POST",
        signal: AbortSignal.timeout(ORDER_PATIENCE_MS),
      });
      return (await answer.json()) as ActionAnswer;
    },
    async stream(signal) {
      const headers = { accept: "text/event-stream" };
      const { body } = await ask(deps, "/__apps/stream", { headers, signal });
      if (body === null) throw new CallError("The stream is empty", { remedy: "", status: 0 });
      return body;
    },
  };
}

async function ask(deps: AdminCallsDeps, path: string, init: RequestInit): Promise<Response> {
  let answer: Response;
  try {
    answer = await deps.fetch(path, { ...init, cache: "no-store", credentials: "same-origin" });
  } catch (error) {
    const isLate = error instanceof DOMException && error.name === "TimeoutError";
    const why = isLate ? "Paastis did not answer in time" : "Paastis cannot be reached";
    throw new CallError(why, { remedy: "Look whether it runs, then try again", status: 0 });
  }
  deps.clock.hear(answer.headers.get("date"));
  if (answer.ok) return answer;
  if (answer.status === 401) deps.onLoggedOut();
  throw await refusalOf(answer);
}

/** Both forms of refusals: problem details, and `{error, message}` of the older endpoints. */
async function refusalOf(answer: Response): Promise<CallError> {
  const { status, statusText } = answer;
  // Whatever it is, it is read with care.
  const body = (await answer.json().catch(() => ({}))) as Partial<
    Problem & { readonly message: string }
  >;
  const message =
    body.detail ?? body.message ?? body.title ?? `It answered ${status} ${statusText}`;
  const wait = answer.headers.get("retry-after");
  if (status === 429 && wait !== null) return tooFast(Number(wait));
  return new CallError(message, { remedy: body.remedy ?? "", status });
}

/** Whoever goes through many apps meets it: nothing is wrong. */
function tooFast(waitS: number): CallError {
  const remedy = `You can go on in ${waitS} s. ADMIN_RATE_LIMIT says how many changes a minute may come from one address`;
  return new CallError("That was one change too many for this minute, and nothing was done", {
    remedy,
    status: 429,
  });
}
