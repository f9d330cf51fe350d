/** What the owner of a container wrote on it for Paastis: labels that begin with `paastis.`. Pure. */

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
  textLabel,
  wakeTimeoutLabel,
  wholeNumberLabel,
  windowsLabel,
  wordLabel,
} from "./label-values.ts";

const PREFIX = "paastis.";

/** Opts a container in, with exactly this value: engines look for it themselves. */
export const ENABLED = `${PREFIX}enable=true`;

/** What a sleep does to a container. */
export type SleepMode = "stop" | "pause";

/** What is written on a container. A field that is left out says nothing. */
export interface ContainerMarks {
  /** What its app wants to be called, in lower case. */
  readonly name?: string;
  /** Port in the container. */
  readonly port?: number;
  readonly scheme?: "http" | "https";
  /** Through which the container is reached by its own address. */
  readonly network?: string;
  readonly mode?: SleepMode;
  readonly settings: Settings;
  /** What cannot be used and is ignored; one sentence each. */
  readonly problems: readonly string[];
}

/** What can be written, without the prefix. */
const READERS = {
  enable: wordLabel(["true", "false"]),
  name: keyLabel(),
  port: wholeNumberLabel(1, 65_535),
  scheme: wordLabel(["http", "https"]),
  network: textLabel("the name of a network"),
  mode: wordLabel(["stop", "pause"]),
  max_idle_time: idleMinutesLabel(),
  health: pathLabel(),
  linked_apps: keysLabel(),
  wake_timeout: wakeTimeoutLabel(),
  wake_ignore: ignoreLabel(),
  keep_awake: windowsLabel(),
  force_sleep: sleepWindowsLabel(),
  busy: pathLabel(),
  keep_awake_header_max: quietMinutesLabel(),
  websocket_max_quiet_time: quietMinutesLabel(),
} as const;

/** Reads the labels. A value that cannot be used is left out, and said in `problems`. */
export function readLabels(labels: Readonly<Record<string, string>>): ContainerMarks {
  const problems = Object.keys(labels).flatMap(unknownName);
  function get<N extends keyof typeof READERS, T>(
    label: N,
    { allowed, read }: LabelReader<T>,
  ): { readonly [name in N]?: T } {
    const text = labels[PREFIX + label]?.trim();
    if (text === undefined) return {};
    const value = read(text);
    if (value === undefined) {
      problems.push(
        `${PREFIX}${label} is ignored: it must be ${allowed}, and is ${shownLabel(text)}`,
      );
      return {};
    }
    // The one field that its type promises.
    return { [label]: value } as { readonly [name in N]?: T };
  }
  get("enable", READERS.enable);
  const { max_idle_time: maxIdleMinutes } = get("max_idle_time", READERS.max_idle_time);
  const { linked_apps: linkedApps } = get("linked_apps", READERS.linked_apps);
  const { wake_timeout: wakeTimeoutSeconds } = get("wake_timeout", READERS.wake_timeout);
  return {
    ...get("name", READERS.name),
    ...get("port", READERS.port),
    ...get("scheme", READERS.scheme),
    ...get("network", READERS.network),
    ...get("mode", READERS.mode),
    settings: {
      ...sleepSettingsOf({
        ignore: get("wake_ignore", READERS.wake_ignore).wake_ignore,
        keepAwake: get("keep_awake", READERS.keep_awake).keep_awake,
        forceSleep: get("force_sleep", READERS.force_sleep).force_sleep,
        busyUrl: get("busy", READERS.busy).busy,
        keepAwakeHeaderMaxMinutes: get("keep_awake_header_max", READERS.keep_awake_header_max)
          .keep_awake_header_max,
        websocketMaxQuietMinutes: get("websocket_max_quiet_time", READERS.websocket_max_quiet_time)
          .websocket_max_quiet_time,
      }),
      ...get("health", READERS.health),
      ...(maxIdleMinutes !== undefined && { maxIdleMinutes }),
      ...(linkedApps !== undefined && { linkedApps }),
      ...(wakeTimeoutSeconds !== undefined && { wakeTimeoutSeconds }),
    },
    problems,
  };
}

function unknownName(label: string): string[] {
  if (!label.startsWith(PREFIX) || Object.hasOwn(READERS, label.slice(PREFIX.length))) return [];
  const known = Object.keys(READERS).map((name) => PREFIX + name);
  return [`${label} means nothing; there are ${known.join(", ")}`];
}
