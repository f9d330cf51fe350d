/** What the owner of a workload wrote on it for Paastis: labels and annotations that begin with `paastis.dev/`. Pure. */

import type { Settings } from "../config.ts";
import {
  idleMinutesLabel,
  ignoreLabel,
  keyLabel,
  keysLabel,
  type LabelReader,
  pathLabel,
  quietMinutesLabel,
  shownLabel,
  sleepSettingsOf,
  sleepWindowsLabel,
  wakeTimeoutLabel,
  wholeNumberLabel,
  windowsLabel,
} from "./label-values.ts";

/** Every label and annotation of ours begins with it. */
const PREFIX = "paastis.dev/";

/** Where the size of a workload is kept while it sleeps; written by Paastis itself. */
export const PREVIOUS_REPLICAS = `${PREFIX}previous-replicas`;

/** What is written on a workload. */
export interface Marks {
  /** Anything of ours is written on it. */
  readonly isMarked: boolean;
  /** It wants to be looked after. */
  readonly isEnabled: boolean;
  /** What it wants to be called, in lower case; `null`: as the workload is. */
  readonly key: string | null;
  readonly settings: Settings;
  /** Name of the Service in front of it; `null`: to be found out. */
  readonly service: string | null;
  /** Number or name of that Service's port; `null`: to be found out. */
  readonly port: number | string | null;
  /** How many replicas a wake gives it when nothing else is known. */
  readonly replicas: number | null;
  /** How many it had when it was put to sleep. */
  readonly previousReplicas: number | null;
  /** What cannot be used and is ignored; one sentence each. */
  readonly problems: readonly string[];
}

type Texts = Readonly<Record<string, string>>;

const REPLICAS_MAX = 10_000;
const PORT_MAX = 65_535;
/** Source: Kubernetes, "Service", names are labels of RFC 1035. */
const SERVICE_NAME = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** Source: RFC 6335, section 5.1. */
const PORT_NAME = /^(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*$/;

/** What can be written, without the prefix. */
const READERS = {
  enabled: choice(),
  name: keyLabel(),
  "max-idle-time": idleMinutesLabel(),
  health: pathLabel(),
  "wake-timeout": wakeTimeoutLabel(),
  "linked-apps": keysLabel(),
  "wake-ignore": ignoreLabel(),
  "keep-awake": windowsLabel(),
  "force-sleep": sleepWindowsLabel(),
  busy: pathLabel(),
  "keep-awake-header-max": quietMinutesLabel(),
  "websocket-max-quiet-time": quietMinutesLabel(),
  service: serviceName(),
  port: port(),
  replicas: wholeNumberLabel(1, REPLICAS_MAX),
  "previous-replicas": wholeNumberLabel(0, REPLICAS_MAX),
} as const;

/**
 * What labels and annotations say; of the same name the annotation counts. A value that cannot be used is left out,
 * and said in `problems`.
 */
export function readMarks(labels: Texts, annotations: Texts): Marks {
  const written = new Map(
    Object.entries({ ...labels, ...annotations })
      .filter(([name]) => name.startsWith(PREFIX))
      .map(([name, text]) => [name.slice(PREFIX.length), text] as const),
  );
  const problems = [...written.keys()]
    .filter((name) => !Object.hasOwn(READERS, name))
    .map(unknownName);
  function get<T>(name: keyof typeof READERS, reader: LabelReader<T>): T | undefined {
    const text = written.get(name)?.trim();
    const value = text === undefined ? undefined : reader.read(text);
    if (text !== undefined && value === undefined) {
      problems.push(`${PREFIX}${name} must be ${reader.allowed}: it is ${shownLabel(text)}`);
    }
    return value;
  }
  return {
    isMarked: written.size > 0,
    isEnabled: get("enabled", READERS.enabled) ?? false,
    key: get("name", READERS.name) ?? null,
    settings: settingsOf({
      maxIdleMinutes: get("max-idle-time", READERS["max-idle-time"]),
      health: get("health", READERS.health),
      wakeTimeoutSeconds: get("wake-timeout", READERS["wake-timeout"]),
      linkedApps: get("linked-apps", READERS["linked-apps"]),
      ignore: get("wake-ignore", READERS["wake-ignore"]),
      keepAwake: get("keep-awake", READERS["keep-awake"]),
      forceSleep: get("force-sleep", READERS["force-sleep"]),
      busyUrl: get("busy", READERS.busy),
      keepAwakeHeaderMaxMinutes: get("keep-awake-header-max", READERS["keep-awake-header-max"]),
      websocketMaxQuietMinutes: get(
        "websocket-max-quiet-time",
        READERS["websocket-max-quiet-time"],
      ),
    }),
    service: get("service", READERS.service) ?? null,
    port: get("port", READERS.port) ?? null,
    replicas: get("replicas", READERS.replicas) ?? null,
    previousReplicas: get("previous-replicas", READERS["previous-replicas"]) ?? null,
    problems,
  };
}

/** The name of a workload as the key of an app; names may have dots. `null`: it cannot be one. */
export function keyOfName(name: string): string | null {
  return keyLabel().read(name.replaceAll(".", "-")) ?? null;
}

function settingsOf(
  given: {
    readonly [name in keyof Settings]: Settings[name] | undefined;
  },
): Settings {
  const { maxIdleMinutes, health, wakeTimeoutSeconds, linkedApps } = given;
  return {
    ...sleepSettingsOf(given),
    ...(maxIdleMinutes !== undefined && { maxIdleMinutes }),
    ...(health !== undefined && { health }),
    ...(wakeTimeoutSeconds !== undefined && { wakeTimeoutSeconds }),
    ...(linkedApps !== undefined && { linkedApps }),
  };
}

function unknownName(name: string): string {
  const known = Object.keys(READERS).filter((one) => one !== "previous-replicas");
  return `${PREFIX}${name} means nothing; there are ${known.map((one) => PREFIX + one).join(", ")}`;
}

function choice(): LabelReader<boolean> {
  const words = new Map([
    ...["true", "1", "yes", "on"].map((word) => [word, true] as const),
    ...["false", "0", "no", "off"].map((word) => [word, false] as const),
  ]);
  return { allowed: "true or false", read: (text) => words.get(text.toLowerCase()) };
}

function serviceName(): LabelReader<string> {
  return {
    allowed: "the name of a Service",
    read: (text) => (SERVICE_NAME.test(text) ? text : undefined),
  };
}

function port(): LabelReader<number | string> {
  const number = wholeNumberLabel(1, PORT_MAX);
  return {
    allowed: "the number or the name of a port of the Service",
    read: (text) => number.read(text) ?? (PORT_NAME.test(text) ? text : undefined),
  };
}
