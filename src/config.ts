/** The one frozen result of reading environment, flags and `paastis.yml`. */

import type { Target } from "./app.ts";
import type { ForceSleepWindow } from "./app-schedule.ts";
import type { PostgresAddress } from "./event-store/postgres-url.ts";
import type { AppHooks } from "./hooks.ts";
import type { Theme } from "./pages/look.ts";
import type { RedisAddress } from "./redis/connection.ts";
import type { ServiceManager } from "./service-notify.ts";
import type { SwitchDefaults, SwitchSettings } from "./switch-policy.ts";
import type { TimeWindow } from "./time-windows.ts";
import type { IgnoreRule } from "./wake-policy.ts";
import type { WebhookConfig } from "./webhook-config.ts";

/** Settings that a rule or an app's entry may give. A missing field leaves what earlier rules said. */
export interface Settings {
  /** Key of the app that answers for the label that matched. */
  readonly appName?: string;
  /** Whose app has the key where apps of several providers claim it. Rules only. */
  readonly provider?: ProviderName;
  /** Minutes; 0: as soon as a sweep finds it unused; `"never"`: never. */
  readonly maxIdleMinutes?: number | "never";
  /** Keys of apps that are woken with this one. */
  readonly linkedApps?: readonly string[];
  /** Path that must answer 2xx before the app counts as ready. */
  readonly health?: string;
  /** Longest a wake may take, in seconds. */
  readonly wakeTimeoutSeconds?: number;
  /** Send the client's `Host` to the app instead of the target's. */
  readonly preserveHost?: boolean;
  /** Whether the certificate of an `https` target must be good. */
  readonly tlsVerify?: boolean;
  /** Certificates that vouch for an `https` target besides the system's, PEM. */
  readonly tlsCa?: string;
  /** How its target is switched. */
  readonly switching?: SwitchSettings;
  /** Requests that neither wake it nor count as its use; none takes back what earlier rules said. */
  readonly ignore?: readonly IgnoreRule[];
  /** When it is kept awake; no windows: never. */
  readonly keepAwake?: readonly TimeWindow[];
  /** When it sleeps; no windows: never. */
  readonly forceSleep?: readonly ForceSleepWindow[];
  /** Where it is asked before a stop whether it is busy: a path of its own, or a URL. */
  readonly busyUrl?: string;
  /** Minutes that it may stay awake by its header `Keep-Awake`; `"never"`: the header says nothing. */
  readonly keepAwakeHeaderMaxMinutes?: number | "never";
  /** Minutes without a message after which a WebSocket is no use of it; `"never"`: it always is. */
  readonly websocketMaxQuietMinutes?: number | "never";
  /** Hooks of its own. Not by labels: they run with our rights. */
  readonly hooks?: AppHooks;
}

/** An entry of `rules`. Strings in `settings` may hold `$1`…`$9`, filled from the pattern's groups. */
export interface Rule {
  /** Matches when found anywhere in the key, unless anchored. No flags. */
  readonly pattern: RegExp;
  readonly settings: Settings;
}

/** An app of `apps` that Paastis starts and stops itself. */
export interface ProcessDeclaration {
  readonly provider: "process";
  readonly key: string;
  /** Run by `sh -c`. */
  readonly command: string;
  /** Absolute; relative paths in the file count from the file's folder. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Fixed port, or `null` for a free one at each wake. */
  readonly port: number | null;
  /** Signal that asks it to stop, such as `SIGTERM`. */
  readonly stopSignal: NodeJS.Signals;
  /** How long it may take to stop before it is killed, in ms. */
  readonly stopTimeoutMs: number;
  readonly settings: Settings;
}

/** An app of `apps` that lives elsewhere and sleeps and wakes by itself. */
export interface HttpDeclaration {
  readonly provider: "http";
  readonly key: string;
  /** At least one; the first is the active one. */
  readonly targets: readonly Target[];
  readonly settings: Settings;
}

/** An app of `apps` that somebody else starts on a port of this machine, and that a switch moves to another port. */
export interface PortsDeclaration {
  readonly provider: "ports";
  readonly key: string;
  /** Where it answers until the first switch. */
  readonly target: Target;
  readonly settings: Settings;
}

export type Declaration = ProcessDeclaration | HttpDeclaration | PortsDeclaration;

/** Providers this version can be told to use. */
export const PROVIDER_NAMES = [
  "process",
  "ports",
  "http",
  "docker",
  "kubernetes",
  "scalingo",
  "heroku",
  "clever-cloud",
  "render",
  "fly",
  "upsun",
] as const;

export type ProviderName = (typeof PROVIDER_NAMES)[number];

/** What every platform's API is called with. */
export interface PlatformConfig {
  /** Longest to follow one operation, in ms; then the app's own state decides, until the wake's time is up. */
  readonly operationTimeoutMs: number;
  /** Calls that we allow ourselves; the platform's own limit counts besides. */
  readonly callsPerMinute: number;
}

/** An account on Scalingo. */
export interface ScalingoConfig extends PlatformConfig {
  /** An API token, which is exchanged for bearers. */
  readonly token: string;
  /** At least one, each once. */
  readonly regions: readonly string[];
  /** API of every region, `{region}` standing for its name; `null`: Scalingo's own. */
  readonly apiUrl: string | null;
  /** Where tokens are exchanged. */
  readonly authUrl: string;
}

/** An account on Heroku. */
export interface HerokuConfig extends PlatformConfig {
  readonly token: string;
  readonly apiUrl: string;
}

/** An account on Clever Cloud, all of its organisations included. */
export interface CleverCloudConfig extends PlatformConfig {
  readonly credentials:
    | { readonly kind: "token"; readonly token: string }
    | {
        readonly kind: "oauth1";
        readonly consumerKey: string;
        readonly consumerSecret: string;
        readonly token: string;
        readonly secret: string;
      };
  readonly apiUrl: string;
}

/** A Docker or Podman engine. */
export interface DockerConfig {
  readonly api: /** Absolute path of the engine's socket. */
    | { readonly kind: "unix"; readonly socketPath: string }
    | {
        readonly kind: "tcp";
        /** Without a path: `https://docker.example:2376`. */
        readonly origin: string;
        /** Absolute path of a folder with `ca.pem`, `cert.pem` and `key.pem`; `null`: no TLS. */
        readonly certificateDir: string | null;
      };
  /** Where published ports answer: a name or an address, IPv6 in brackets. */
  readonly publishedHost: string;
  /** Name of the network through which containers are reached by their own address; `null`: by published ports. */
  readonly network: string | null;
  /** How long a container may take to stop before the engine kills it. */
  readonly stopTimeoutMs: number;
}

/** A Kubernetes cluster. */
export interface KubernetesConfig {
  readonly api:
    | {
        readonly kind: "in-cluster";
        /** An address, IPv6 without brackets. */
        readonly host: string;
        readonly port: number;
        /** Absolute; holds `token`, `ca.crt` and `namespace`. */
        readonly serviceAccountDir: string;
      }
    | {
        readonly kind: "kubeconfig";
        /** Absolute. */
        readonly file: string;
        /** `null`: the file's current one. */
        readonly context: string | null;
      };
  /** Each once; `"all"`: those of the whole cluster; `null`: the one of the service account or the context. */
  readonly namespaces: readonly string[] | "all" | null;
  readonly clusterDomain: string;
  /** How services are reached: by their name in the cluster's DNS, or by their cluster address. */
  readonly reach: "dns" | "cluster-ip";
}

/** An account on Render. */
export interface RenderConfig extends PlatformConfig {
  readonly token: string;
  /** With its path: `https://api.render.com/v1`. */
  readonly apiUrl: string;
}

/** An organization on Fly.io. */
export interface FlyConfig extends PlatformConfig {
  readonly token: string;
  /** Its slug. */
  readonly organization: string;
  /** What a sleep does where the machine allows both. */
  readonly sleepMode: "suspend" | "stop";
  /** Where each app answers, `{app}` standing for its name. */
  readonly appUrl: string;
  readonly apiUrl: string;
}

/** An account on Upsun. */
export interface UpsunConfig extends PlatformConfig {
  /** An API token, which is exchanged for bearers. */
  readonly token: string;
  /** Ids of projects; `null`: all that the account sees. */
  readonly projects: readonly string[] | null;
  readonly apiUrl: string;
  /** Where tokens are exchanged. */
  readonly authUrl: string;
}

/** What each platform is reached with; `null` when it is not named in `PROVIDER_NAME`. */
export interface Accounts {
  readonly docker: DockerConfig | null;
  readonly kubernetes: KubernetesConfig | null;
  readonly scalingo: ScalingoConfig | null;
  readonly heroku: HerokuConfig | null;
  readonly cleverCloud: CleverCloudConfig | null;
  readonly render: RenderConfig | null;
  readonly fly: FlyConfig | null;
  readonly upsun: UpsunConfig | null;
}

/** The part of the configuration that `paastis.yml` gives and that is replaced when the file changes. */
export interface AppsConfig {
  readonly apps: readonly Declaration[];
  readonly rules: readonly Rule[];
}

/** Shell commands around wakes and sleeps. */
export interface HookCommands {
  readonly beforeStart: string | null;
  readonly afterStart: string | null;
  readonly beforeStop: string | null;
  readonly afterStop: string | null;
  /** Longest a hook may run before it is killed and counts as failed. */
  readonly timeoutMs: number;
}

/** Limits on requests that wait for an app. */
export interface HoldLimits {
  /** Longest a request waits before it is told to come back. */
  readonly maxMs: number;
  /** How long a browser navigation waits before it gets the waiting page. */
  readonly graceMs: number;
  readonly maxPerApp: number;
  readonly maxTotal: number;
  /** Requests among them with a large body: the runtime reads up to about 2 MB of each ahead. */
  readonly maxUploads: number;
}

/** How clients are listened to. */
export interface ListenerConfig {
  /** Absolute paths of PEM files; `null`: plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | null;
  /** HTTP/2 over TLS; only the fetch engine can. */
  readonly http2: boolean;
  /** Longest a connection may be idle between two requests. */
  readonly keepAliveMs: number;
  /** From a request head's first byte to its last. */
  readonly headersTimeoutMs: number;
  /** What the head of a request may take up. */
  readonly headBytesMax: number;
  /** What the body of a request may take up; `null`: no limit. */
  readonly bodyBytesMax: number | null;
}

/** How apps are connected to. */
export interface UpstreamConfig {
  /** Longest to wait for a connection; the fetch engine does not watch targets on this machine. */
  readonly connectTimeoutMs: number;
  /** Longest to wait for an answer's head; `null`: no limit. */
  readonly timeoutMs: number | null;
  /** Connections are kept for the next request. */
  readonly keepAlive: boolean;
  /** How long a connection is kept unused. */
  readonly keepAliveMs: number;
  /** Requests under way to one target; more wait. Upgraded connections do not count. */
  readonly socketsMax: number;
}

/** Who may use the admin endpoints, and how. */
export interface AdminConfig {
  /** `null`: nobody has given one. */
  readonly token: string | null;
  /** Made up at the start where nobody has given one: it holds until the program ends. Left out: there is none. */
  readonly startToken?: string;
  /** Names and addresses without ports, in lower case: whatever begins with `/__` is ours there. */
  readonly hosts: readonly string[];
  /** So many wrong tokens, and so many changes, may come from one address within a minute. */
  readonly rateLimit: number;
  /** Whether clients speak TLS with us. */
  readonly isTls: boolean;
  /** Addresses and CIDRs. */
  readonly allowlist: readonly string[];
  /** Addresses and CIDRs: what they say of whom they ask for is believed. */
  readonly trustedProxies: readonly string[];
  /** Absolute; `null`: wherever there is room. */
  readonly socketPath: string | null;
  /** Key of the one app whose endpoints answer on every host; `null`: on those that lead to no app by their name. */
  readonly soleApp: string | null;
  /** What opens the system API; `null`: it is disabled, and a request for it is like any other. */
  readonly systemToken: string | null;
}

/** What is counted, and who is told. */
export interface InsightConfig {
  /** `/__metrics` has the essentials only. */
  readonly isFast: boolean;
  /** `/__metrics` tells of connections to apps, too. */
  readonly showsUpstream: boolean;
  /** Each request has a line in the log. */
  readonly logsRequests: boolean;
  /** Clients read the cause of a 502 or 504. */
  readonly verboseErrors: boolean;
}

/** Everything the program was told. Deeply frozen. */
export interface Config extends Accounts {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** Absolute. */
  readonly dataDir: string;
  readonly registryType: "sqlite" | "in-memory" | "redis";
  /** Of a `redis` registry; `null` with any other. */
  readonly registryRedis: RedisAddress | null;
  /** `INSTANCE_NAME`, in lower case: instances that share a registry have the same, and their keys in it carry it. */
  readonly instanceName: string;
  readonly eventsStoreType: "sqlite" | "in-memory" | "postgres";
  /** Of a `postgres` event store; `null` with any other. */
  readonly eventsDatabase: PostgresAddress | null;
  /** What stays of the events; `forMs` `null`: however old. */
  readonly eventsKept: { readonly newest: number; readonly forMs: number | null };
  /** Keys in lower case. */
  readonly ignoredApps: readonly string[];
  /** Five fields, or six with seconds first. */
  readonly sweepCron: string;
  /** Default idle time of every app; 0: as soon as a sweep finds it unused. */
  readonly maxIdleMs: number;
  /** What an app costs for each hour that it is awake; `null`: nobody has said so. */
  readonly price: { readonly perHour: number; readonly currency: string } | null;
  /** In the order given, each once; providers that apps of `paastis.yml` need are added. */
  readonly providers: readonly ProviderName[];
  readonly hooks: HookCommands;
  /** `null`: nobody is told of events by HTTP. */
  readonly webhooks: WebhookConfig | null;
  readonly logLevel: "trace" | "debug" | "info" | "warn" | "error" | "silent";
  /** Key of the app that answers where no other does. */
  readonly defaultApp: string | null;
  /** What carries the bytes. */
  readonly engine: "fetch" | "socket";
  readonly listener: ListenerConfig;
  readonly hold: HoldLimits;
  /** Who is shown the last lines of output of an app that failed; `local`: clients on this machine. */
  readonly showAppOutput: "local" | "always" | "never";
  /** Templates of our pages, and the folder they were read from, absolute; `null`: our own look. */
  readonly pages: { readonly folder: string; readonly theme: Theme } | null;
  readonly admin: AdminConfig;
  readonly insight: InsightConfig;
  readonly switches: SwitchDefaults;
  /** Absolute; remembers switches. `null`: they are forgotten with the program. */
  readonly stateFile: string | null;
  /** What somebody named stays where it was named, or ends the start; what nobody named may be done without. */
  readonly named: { readonly adminSocket: boolean; readonly stateFile: boolean };
  readonly upstream: UpstreamConfig;
  readonly forwarded: {
    /** Whether `X-Forwarded-*` and `Via` are sent. */
    readonly enabled: boolean;
    /** Addresses and CIDRs whose own `X-Forwarded-*` are believed. */
    readonly trustedProxies: readonly string[];
  };
  /** How long what is in flight may take when the program stops, and when another process takes its place. */
  readonly shutdownTimeoutMs: number;
  readonly restartTimeoutMs: number;
  /** The `paastis.yml` that was read, absolute; `null` when there is none. */
  readonly file: string | null;
  readonly apps: AppsConfig;
  /** Who started this as a service and wants to be told how it is; `null`: nobody. */
  readonly service: ServiceManager | null;
  /** What child processes inherit: the environment without our own variables, so without our secrets. */
  readonly childEnvironment: Readonly<Record<string, string>>;
}
