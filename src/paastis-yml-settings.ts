/** The settings that rules and apps of a `paastis.yml` have in common. */

import { resolve } from "node:path";
import { show } from "./check-shape.ts";
import type { Settings } from "./config.ts";
import type { Reader } from "./paastis-yml.ts";
import type { RuleEntry } from "./paastis-yml-schema.ts";
import { readSwitch } from "./paastis-yml-switch.ts";
import { readBusy, readHooks, readIgnore } from "./paastis-yml-wake.ts";
import { readForceSleep, readKeepAwake } from "./paastis-yml-windows.ts";
import { readCertificates } from "./pem-certificates.ts";
import { KEY_ALLOWED, keyOf } from "./setting-parsers.ts";
import type { YamlPath } from "./yaml-source.ts";

/** All that stands in an entry but its own part. */
export type SettingsEntry = Omit<Partial<RuleEntry>, "pattern" | "app_name" | "provider">;

/** Reads them; what is wrong is reported and left out. */
export function readSettings(entry: SettingsEntry, at: YamlPath, reader: Reader): Settings {
  entry.linked_apps?.forEach((text, index) => {
    checkKey(text, [...at, "linked_apps", index], reader);
  });
  const tlsCa = readCa(entry, [...at, "tls_ca"], reader);
  return {
    ...(entry.app_max_idle_time !== undefined && { maxIdleMinutes: entry.app_max_idle_time }),
    ...(entry.linked_apps !== undefined && { linkedApps: entry.linked_apps }),
    ...(entry.health !== undefined && { health: entry.health }),
    ...(entry.wake_timeout !== undefined && { wakeTimeoutSeconds: entry.wake_timeout }),
    ...(entry.preserve_host !== undefined && { preserveHost: entry.preserve_host }),
    ...(entry.tls_verify !== undefined && { tlsVerify: entry.tls_verify }),
    ...(tlsCa !== null && { tlsCa }),
    ...(entry.switch !== undefined && {
      switching: readSwitch(entry.switch, [...at, "switch"], reader),
    }),
    ...readSleepSettings(entry, at, reader),
  };
}

/** What says when it sleeps and wakes, besides its idle time. */
function readSleepSettings(entry: SettingsEntry, at: YamlPath, reader: Reader): Settings {
  const { wake, keep_awake: keepAwake, force_sleep: forceSleep, busy, hooks } = entry;
  const { websocket_max_quiet_time: quietMinutes } = entry;
  return {
    ...(wake?.ignore !== undefined && {
      ignore: readIgnore(wake.ignore, [...at, "wake", "ignore"], reader),
    }),
    ...(keepAwake !== undefined && {
      keepAwake: readKeepAwake(keepAwake, [...at, "keep_awake"], reader),
    }),
    ...(forceSleep !== undefined && {
      forceSleep: readForceSleep(forceSleep, [...at, "force_sleep"], reader),
    }),
    ...(busy !== undefined && readBusy(busy, [...at, "busy"], reader)),
    ...(quietMinutes !== undefined && { websocketMaxQuietMinutes: quietMinutes }),
    ...(hooks !== undefined && { hooks: readHooks(hooks) }),
  };
}

/** What holds a `$1` in a rule becomes a key only later. */
export function checkKey(text: string, at: YamlPath, reader: Reader): void {
  const mayHaveGroups = at[0] === "rules" && /\$[1-9]/.test(text);
  if (mayHaveGroups || keyOf(text) !== null) return;
  reader.problem(at, `must be the key of an app (${KEY_ALLOWED}): it is ${show(text)}`);
}

function readCa(entry: SettingsEntry, at: YamlPath, reader: Reader): string | null {
  const { tls_ca: given, tls_verify: verify } = entry;
  if (given === undefined) return null;
  if (verify === false) {
    reader.warning(at, "has no effect: with tls_verify: false any certificate is accepted");
  }
  const path = resolve(reader.folder, given);
  const file = reader.readText(path);
  if ("why" in file) {
    reader.problem(at, `${file.why} (${path})`);
    return null;
  }
  const reading = readCertificates(file.text);
  switch (reading.kind) {
    case "certificates":
      return reading.pem;
    case "none":
      reader.problem(at, `holds no certificate: ${path} needs a -----BEGIN CERTIFICATE----- line`);
      return null;
    case "broken":
      reader.problem(
        at,
        `holds a broken certificate: number ${reading.number} in ${path} (${reading.why})`,
      );
      return null;
  }
}
