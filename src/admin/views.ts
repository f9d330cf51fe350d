/**
 * What the admin endpoints say of apps, as JSON. Times are ISO 8601 in UTC, durations end in `Ms`. The dashboard, the
 * command line and the description of the endpoints are made from the same shapes.
 */

/** The phase of an app, as people see it. */
export type ShownPhase =
  | "unknown"
  | "asleep"
  | "waking"
  | "awake"
  | "draining"
  | "stopping"
  | "failed";

/** How the newest wake went. */
export interface LastWake {
  readonly at: string;
  /** Who or what wanted it: `GET /cart from 192.0.2.1`. */
  readonly cause: string;
  /** `null`: it goes on, or failed. */
  readonly durationMs: number | null;
  /** Why it failed; `null`: it did not. */
  readonly failure: string | null;
}

/** What a sweep would do with the app now. */
export interface NextDecision {
  readonly sleep: boolean;
  /** For people, to follow the app's name: `is in use`, `was used 3 m ago, and may idle for 51 m`. */
  readonly why: string;
  /** When the app may be put to sleep if nobody uses it until then; `null`: not by itself. */
  readonly sleepsAt: string | null;
}

/** One row of the list of apps. */
export interface AppSummary {
  readonly key: string;
  readonly provider: string;
  readonly id: string;
  readonly phase: ShownPhase;
  readonly since: string;
  /** Why it is failed; `null`: it is not. */
  readonly failure: string | null;
  readonly pause: {
    readonly kind: "maintenance" | "paused";
    readonly since: string;
    /** When it ends by itself; `null`: when somebody says so. */
    readonly until: string | null;
    readonly message: string | null;
  } | null;
  /** Requests and sockets that use it now, at this instance; `waiting` of them are held. */
  readonly leases: number;
  readonly waiting: number;
  readonly leasesElsewhere: number;
  /** Since when nobody uses it; `null`: somebody does. */
  readonly idleSince: string | null;
  readonly lastUsed: string | null;
  readonly next: NextDecision;
  /** Until when somebody wants it awake; `null`: nobody said so. */
  readonly keptAwakeUntil: string | null;
  /** Its platform puts it to sleep: nobody here can. */
  readonly sleepsByItself: boolean;
  readonly target: string | null;
  readonly lastWake: LastWake | null;
  /** Requests by half hour, oldest first, 48 of them, as far as this program has run. */
  readonly activity: readonly number[];
}

/** Where one setting of an app comes from. */
export interface ShownSetting {
  readonly name: string;
  readonly value: string | number | boolean | null | readonly string[];
  /** `default`, a variable (`START_AND_STOP_MAX_IDLE_TIME`), `apps` (its own entry), `rules[2] (^pr-)`, `label`. */
  readonly from: string;
}

/** All that is known of one app. */
export interface AppDetails extends AppSummary {
  /** Who holds it: `request`, `WebSocket or event stream`, `held`, `at another instance`, `linked from shop`, an operator; counted. */
  readonly holders: readonly { readonly kind: string; readonly count: number }[];
  readonly settings: readonly ShownSetting[];
  readonly snapshot: unknown;
  readonly targets: {
    readonly active: string | null;
    readonly draining: readonly { readonly address: string; readonly until: string }[];
    /** The way back, while there is one. */
    readonly rollback: { readonly to: string; readonly until: string } | null;
  };
  /** `null`: there was none. */
  readonly lastSwitch: ShownSwitch | null;
  readonly wakes: {
    /** Durations that are known, newest last. */
    readonly historyMs: readonly number[];
    /** `null`: none is known. */
    readonly medianMs: number | null;
    readonly p95Ms: number | null;
  };
  readonly links: readonly string[];
  readonly linkedFrom: readonly string[];
  readonly runsAt: string | null;
  readonly requests: number;
  readonly statuses: Readonly<Record<"2xx" | "3xx" | "4xx" | "5xx", number>>;
  /** The newest events, newest first. */
  readonly events: readonly ShownEvent[];
}

/** One switch. Ports are of this machine; of any other target it is the whole address. */
export interface ShownSwitch {
  readonly from: number | string | null;
  readonly to: number | string;
  readonly at: string;
  readonly reason: "deploy" | "manual" | "rollback";
  readonly id: string;
}

/** One event. */
export interface ShownEvent {
  readonly id: string;
  readonly at: string;
  readonly name: string;
  readonly app: string;
  readonly cause: string;
  readonly reason: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

/** A page of apps: `GET /__apps?search=&phase=&provider=&sort=key|phase|lastUsed|sleepsAt&page=1&size=100`. */
export interface AppPage {
  readonly apps: readonly AppSummary[];
  readonly page: number;
  readonly pages: number;
  readonly total: number;
}

/** `GET /__explain`: what would become of a request now. */
export interface Explained {
  readonly request: { readonly method: string; readonly host: string; readonly path: string };
  /** The host's first label; `null`: it has none, as an address. */
  readonly label: string | null;
  /** Key of the app that it leads to; `null`: to none. */
  readonly app: string | null;
  /** The rules that say something about the app, in their order: later ones win. */
  readonly rules: readonly { readonly index: number; readonly pattern: string }[];
  /**
   * `forward`: at once; `hold`: it waits; `page`: it gets the waiting page; `ignored`: it is answered without waking the
   * app; `refused`; `admin`: Paastis itself answers.
   */
  readonly outcome: "admin" | "forward" | "hold" | "ignored" | "page" | "refused";
  /** What it would be answered with by Paastis; `null`: not by Paastis, or nobody knows. */
  readonly status: number | null;
  /** `paastis-error` of that answer. */
  readonly code: string | null;
  readonly wakes: boolean;
  /** Whether it would keep the app awake. */
  readonly countsAsUse: boolean;
  /** For people. */
  readonly why: string;
  readonly settings: readonly ShownSetting[];
  /** What a sweep would do with the app; `null`: there is none. */
  readonly next: NextDecision | null;
}

/** `GET /__sweep`, `POST /__sweep`: what a sweep would do, or has begun to do. */
export interface SweepAnswer {
  /** Nothing was done. */
  readonly dryRun: boolean;
  readonly entries: readonly {
    readonly app: string;
    readonly provider: string;
    readonly sleep: boolean;
    /** To follow the app's name. */
    readonly why: string;
  }[];
}

/** What an action came to. */
export interface ActionAnswer {
  readonly app: string;
  readonly phase: ShownPhase;
  /** For people. */
  readonly message: string;
  readonly keptAwakeUntil: string | null;
  readonly pause: AppSummary["pause"];
}

/** `GET /__events`. */
export interface EventList {
  /** Oldest first. */
  readonly events: readonly ShownEvent[];
}

/** `GET /__config`: what the program was told, as it counts. */
export interface ShownConfig {
  readonly variables: readonly {
    readonly name: string;
    /** Secrets are `(secret)`; `null`: none. */
    readonly value: string | null;
    /** `given` by environment, `.env` or a flag, or the `default`. */
    readonly from: "default" | "given";
    readonly doc: string;
  }[];
  /** The file with apps and rules; `null`: there is none. */
  readonly file: string | null;
  readonly apps: readonly {
    readonly key: string;
    readonly provider: string;
    readonly settings: readonly ShownSetting[];
  }[];
  readonly rules: readonly {
    readonly index: number;
    readonly pattern: string;
    /** Names of what it says. */
    readonly says: readonly string[];
  }[];
}

/** `GET /__savings`: since this program counts. */
export interface Savings {
  readonly since: string;
  readonly asleepHours: number;
  readonly awakeHours: number;
  /** 0 to 1. */
  readonly share: number;
  /** What was not paid for; `null`: no price per hour is configured. */
  readonly money: { readonly amount: number; readonly currency: string } | null;
}

/** RFC 9457. `code` is one of those that answers of Paastis carry in `paastis-error`. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly app?: string;
  readonly remedy?: string;
}
