/** Environment, flags, `.env` and `paastis.yml` to one deeply frozen `Config`, with all problems at once. */

import { readFileSync, statSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import type { AppsConfig, Config, ProviderName } from "./config.ts";
import { causesOf, type Findings } from "./config-causes.ts";
import { doubtsAbout } from "./config-doubts.ts";
import type { Places } from "./container-config.ts";
import { parseDotenv } from "./dotenv-file.ts";
import {
  type EnvironmentValues,
  type Layer,
  privateNames,
  readEnvironment,
} from "./environment.ts";
import { PaastisError } from "./errors.ts";
import { eventConfigOf, eventProblems, hiddenFromApps } from "./event-config.ts";
import { type AppsReading, parsePaastisYml } from "./paastis-yml.ts";
import { type PageReading, readPages } from "./page-config.ts";
import { accountProblems, accountsOf } from "./platform-config.ts";
import { registryConfigOf, registryProblems } from "./registry-config.ts";
import { PREDECESSOR_VARIABLE } from "./restart/messages.ts";
import { RUNTIME_VARIABLES } from "./runtime-variables.ts";
import { SERVICE_VARIABLES, serviceManagerOf } from "./service-notify.ts";
import { soleAppOf, switchConfigOf, switchProblems, withSoleApp } from "./switch-config.ts";
import { codeOf, readTextFile, whyUnreadable } from "./text-file.ts";
import { webhookConfigOf, webhooksHideFromApps } from "./webhook-config.ts";

/** Environment, by name, as a process has it. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Everything the configuration is made from. */
export interface ConfigSources {
  readonly environment: Environment;
  /** Values of flags by the name of the variable they win over: `{ PORT: "8080" }`. */
  readonly flags: Environment;
  /** Absolute. `.env` and the default `paastis.yml` are looked for here. */
  readonly workingDirectory: string;
}

/** A configuration that can be used. */
export interface LoadedConfig {
  readonly config: Config;
  /** What is probably not meant, but does no harm. One sentence each. */
  readonly warnings: readonly string[];
  /** Our variables that have a value, by the name it was given by; secrets without their value. */
  readonly given: ReadonlyMap<string, string>;
  /** The file to watch for changes, absolute; it need not exist yet. */
  readonly watchedFile: string;
  /**
   * Reads the file again.
   * @throws PaastisError `config_invalid` with all its problems, and when it is gone
   */
  readonly reload: () => AppsConfig;
}

/** The configuration, or everything that is wrong with it. */
export type ConfigReading =
  | ({ readonly kind: "usable" } & LoadedConfig)
  | {
      readonly kind: "invalid";
      /** One sentence each, with the variable or the line, the value, and what is allowed. */
      readonly problems: readonly string[];
      readonly warnings: readonly string[];
    };

const DEFAULT_FILE = "paastis.yml";
const NOTHING: AppsReading = { apps: { apps: [], rules: [] }, problems: [], warnings: [] };

/** Reads everything once. Never throws for what the user gave; does not change the environment. */
export function loadConfig(sources: ConfigSources): ConfigReading {
  const dotenv = readDotenv(sources.workingDirectory);
  const environment = readEnvironment([
    { kind: "flags", values: sources.flags },
    { kind: "environment", values: sources.environment },
    dotenv.layer,
  ]);
  const { values, given } = environment;
  const file = fileOf(sources, values.configFile);
  const apps = withSoleApp(readAppsFile(file), values);
  const pages = readPages(values, sources.workingDirectory);
  const consequences = [
    ...contradictions(values),
    ...registryProblems(values, sources.workingDirectory),
    ...eventProblems(values),
    ...accountProblems(values, placesOf(sources)),
    ...switchProblems(values, sources.workingDirectory),
  ];
  const causes = causesOf({ environment, consequences, dotenv });
  const problems = [...causes.problems, ...dotenv.problems, ...apps.problems, ...pages.problems];
  const warnings = [...causes.warnings, ...apps.warnings];
  if (problems.length > 0) return { kind: "invalid", problems, warnings };

  const config = deepFreeze(toConfig(sources, values, { file, reading: apps, pages }));
  return {
    kind: "usable",
    config,
    warnings: [...warnings, ...doubtsAbout(config, new Set(given.keys()))],
    given,
    watchedFile: file.path,
    reload: () => reloadApps({ ...file, required: config.file !== null }, values),
  };
}

/** The error for a configuration with problems. */
export function configInvalid(problems: readonly string[]): PaastisError {
  const [first = "", ...others] = problems;
  const all = problems.map((problem) => `\n  - ${problem}`).join("");
  return new PaastisError("config_invalid", {
    what: "This configuration cannot be used",
    why: others.length === 0 ? first : `it has ${problems.length} problems:${all}\n`,
    next: "Fix it, then run `paastis check`",
  });
}

/** What the command line sends to a running Paastis: no app's business. */
const OPERATOR_TOKEN = "PAASTIS_TOKEN";

/** What is said to this process alone. */
const OWN_VARIABLES = [...SERVICE_VARIABLES, OPERATOR_TOKEN, PREDECESSOR_VARIABLE];

/**
 * What child processes get: everything but our own variables and those meant for our runtime or this process.
 * @param hidden names of variables that others know too, and that are ours alone this time
 */
export function childEnvironmentOf(
  environment: Environment,
  hidden: readonly string[] = [],
): Record<string, string> {
  const ours = new Set([...privateNames(), ...OWN_VARIABLES, ...hidden]);
  const child: Record<string, string> = {};
  for (const [name, value] of Object.entries(environment)) {
    if (value === undefined || ours.has(name) || Object.hasOwn(RUNTIME_VARIABLES, name)) continue;
    child[name] = value;
  }
  return child;
}

/** A `paastis.yml` that was named, or the one that may be there. */
interface AppsFile {
  /** Absolute. */
  readonly path: string;
  /** How to call it in messages. */
  readonly label: string;
  /** It must exist. */
  readonly required: boolean;
}

function fileOf(sources: ConfigSources, given: string | null): AppsFile {
  const path = resolve(sources.workingDirectory, given ?? DEFAULT_FILE);
  const inside = relative(sources.workingDirectory, path);
  return { path, label: inside.startsWith("..") ? path : inside, required: given !== null };
}

function reloadApps(file: AppsFile, values: EnvironmentValues): AppsConfig {
  const reading = withSoleApp(readAppsFile(file), values);
  if (reading.problems.length > 0) throw configInvalid(reading.problems);
  return deepFreeze(reading.apps);
}

/** `found` is false when there is no file and none is needed. */
function readAppsFile(file: AppsFile): AppsReading & { readonly found: boolean } {
  const reading = readTextFile(file.path);
  if ("why" in reading) {
    if (!file.required && reading.isMissing) return { ...NOTHING, found: false };
    return { ...NOTHING, found: true, problems: [`${file.label} ${reading.why}`] };
  }
  const folder = dirname(file.path);
  const parsed = parsePaastisYml(reading.text, { folder, readText: readTextFile });
  const { apps, problems, warnings } = parsed;
  return {
    found: true,
    apps,
    problems: problems.map((problem) => `${file.label}, ${problem}`),
    warnings: [...warnings.map((text) => `${file.label}, ${text}`), ...missingFolders(apps)],
  };
}

function readDotenv(folder: string): Findings["dotenv"] & {
  readonly layer: Layer;
  readonly problems: readonly string[];
} {
  try {
    const { values, brokenLines } = parseDotenv(readFileSync(resolve(folder, ".env"), "utf8"));
    return {
      layer: { kind: ".env", values },
      problems: brokenLines.map(({ line, why }) => `.env, line ${line}: ${why}`),
      isUnreadable: false,
      brokenNames: brokenLines.flatMap(({ name }) => name ?? []),
    };
  } catch (error) {
    // A folder of this name is something else, such as a virtual environment of Python.
    const absent = codeOf(error) === "ENOENT" || codeOf(error) === "EISDIR";
    return {
      layer: { kind: ".env", values: {} },
      problems: absent ? [] : [`.env ${whyUnreadable(error)}`],
      isUnreadable: !absent,
      brokenNames: [],
    };
  }
}

function toConfig(
  sources: ConfigSources,
  values: EnvironmentValues,
  found: {
    file: AppsFile;
    reading: AppsReading & { readonly found: boolean };
    pages: PageReading;
  },
): Config {
  const { apps } = found.reading;
  return {
    host: values.host,
    port: values.port,
    dataDir: resolve(sources.workingDirectory, values.dataDir),
    ...registryConfigOf(values, sources.workingDirectory),
    ...eventConfigOf(values),
    ignoredApps: values.ignoredApps,
    sweepCron: values.sweepCron,
    maxIdleMs: values.maxIdleMs,
    price:
      values.pricePerHour === null
        ? null
        : { perHour: values.pricePerHour, currency: values.priceCurrency },
    providers: withDeclared(values.providers, apps),
    ...accountsOf(values, placesOf(sources)),
    hooks: {
      beforeStart: values.hookBeforeStart,
      afterStart: values.hookAfterStart,
      beforeStop: values.hookBeforeStop,
      afterStop: values.hookAfterStop,
      timeoutMs: values.hooksTimeoutMs,
    },
    ...webhookConfigOf(values),
    logLevel: values.logLevel,
    defaultApp: values.defaultApp ?? soleAppOf(values),
    engine: values.engine ?? (values.http2 ? "fetch" : "socket"),
    listener: {
      tls: tlsFilesOf(sources, values),
      http2: values.http2,
      keepAliveMs: values.keepAliveMs,
      headersTimeoutMs: values.headersTimeoutMs,
      headBytesMax: values.headBytesMax,
      bodyBytesMax: values.bodyBytesMax,
    },
    hold: {
      maxMs: values.holdMaxMs,
      graceMs: values.holdGraceMs,
      maxPerApp: values.holdMaxPerApp,
      maxTotal: values.holdMaxTotal,
      maxUploads: values.holdMaxUploads,
    },
    showAppOutput: values.showAppOutput,
    pages: found.pages.pages,
    ...switchConfigOf(values, sources.workingDirectory),
    upstream: {
      connectTimeoutMs: values.upstreamConnectTimeoutMs,
      timeoutMs: values.upstreamTimeoutMs,
      keepAlive: values.upstreamKeepAlive,
      keepAliveMs: values.upstreamKeepAliveMs,
      socketsMax: values.upstreamSocketsMax,
    },
    forwarded: {
      enabled: values.forwardedEnabled,
      trustedProxies: values.trustedProxies,
    },
    shutdownTimeoutMs: values.shutdownTimeoutMs,
    restartTimeoutMs: values.restartTimeoutMs,
    file: found.reading.found ? found.file.path : null,
    apps,
    service: serviceManagerOf(sources.environment, process.pid),
    childEnvironment: childEnvironmentOf(sources.environment, [
      ...hiddenFromApps(values),
      ...webhooksHideFromApps(values),
    ]),
  };
}

function placesOf({ workingDirectory, environment }: ConfigSources): Places {
  return { workingDirectory, home: environment.HOME || null };
}

/** Variables that are right by themselves and wrong together. */
function contradictions(values: EnvironmentValues): string[] {
  const { tlsCert, tlsKey, http2, engine, port, initialTargetPort } = values;
  const problems: string[] = [];
  if (values.systemApiEnabled && values.systemApiToken === null) {
    problems.push(
      "ROUTING_SYSTEM_API_TOKEN is required with ROUTING_SYSTEM_API_ENABLED: without it nobody could be let in",
    );
  }
  if (initialTargetPort !== null && initialTargetPort === port) {
    const same = `INITIAL_TARGET_PORT and PORT are both ${port}`;
    problems.push(`${same}: requests would go in a circle; the app needs a port of its own`);
  }
  if ((tlsCert === null) !== (tlsKey === null)) {
    const [given, missing] = tlsCert === null ? ["TLS_KEY", "TLS_CERT"] : ["TLS_CERT", "TLS_KEY"];
    problems.push(`${missing} is required with ${given}: a certificate and its key go together`);
  }
  if (http2 && tlsCert === null && tlsKey === null) {
    problems.push("HTTP2 needs TLS_CERT and TLS_KEY: browsers speak HTTP/2 over TLS only");
  }
  if (http2 && engine === "socket") {
    problems.push("HTTP2 needs ENGINE=fetch: the socket engine speaks HTTP/1.1 only");
  }
  return problems;
}

function tlsFilesOf(sources: ConfigSources, values: EnvironmentValues) {
  const { tlsCert, tlsKey } = values;
  if (tlsCert === null || tlsKey === null) return null;
  return {
    certFile: resolve(sources.workingDirectory, tlsCert),
    keyFile: resolve(sources.workingDirectory, tlsKey),
  };
}

/** What an app declares is wanted, whether or not `PROVIDER_NAME` lists its provider. */
function withDeclared(named: readonly ProviderName[], apps: AppsConfig): readonly ProviderName[] {
  return [...new Set([...named, ...apps.apps.map(({ provider }) => provider)])];
}

/** The folder may be made later, by the time the app is woken. */
function missingFolders({ apps }: AppsConfig): string[] {
  return apps.flatMap((app) => {
    if (app.provider !== "process" || isFolder(app.cwd)) return [];
    return [`apps.${app.key}: its folder ${app.cwd} does not exist yet`];
  });
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}
