/** The part of the configuration that is about the registry. */

import { resolve } from "node:path";
import type { Config } from "./config.ts";
import type { EnvironmentValues } from "./environment.ts";
import type { RedisTls } from "./redis/connection.ts";
import { parseRedisUrl, REDIS_URL_ALLOWED } from "./redis/redis-url.ts";
import { readTextFile } from "./text-file.ts";

const NAMES = "REGISTRY_REDIS_URL (or REDIS_URL)";
const REASON = "with REGISTRY_TYPE=redis";

/**
 * A URL that cannot be read is a problem of its own, see `registryProblems`.
 * @param workingDirectory absolute; relative paths count from there
 */
export function registryConfigOf(
  values: EnvironmentValues,
  workingDirectory: string,
): Pick<Config, "registryType" | "registryRedis" | "instanceName"> {
  const parsed = redisOf(values, workingDirectory);
  return {
    registryType: values.registryType,
    registryRedis: parsed?.ok === true ? parsed.value : null,
    instanceName: values.instanceName,
  };
}

/** What is missing or wrong of the URL of Redis, and of the files that it names, where there must be one. */
export function registryProblems(values: EnvironmentValues, workingDirectory: string): string[] {
  if (values.registryType !== "redis") return [];
  const parsed = redisOf(values, workingDirectory);
  if (parsed === null) {
    return [`${NAMES} is required ${REASON}: set it to ${REDIS_URL_ALLOWED}`];
  }
  if (!parsed.ok) {
    return [`${NAMES} must be ${REDIS_URL_ALLOWED}, ${REASON} (${parsed.why})`];
  }
  return filesOf(parsed.value.tls).flatMap(([name, path]) => {
    const reading = readTextFile(path);
    if ("text" in reading) return [];
    return [`${NAMES}: the file of its ${name}, ${path}, ${reading.why}`];
  });
}

function redisOf({ registryType, registryRedisUrl }: EnvironmentValues, workingDirectory: string) {
  if (registryType !== "redis" || registryRedisUrl === null) return null;
  return parseRedisUrl(registryRedisUrl, (path) => resolve(workingDirectory, path));
}

function filesOf(tls: RedisTls | null): readonly (readonly [string, string])[] {
  const files = { ca: tls?.caFile, cert: tls?.certFile, key: tls?.keyFile };
  return Object.entries(files).flatMap(([name, path]) => {
    return typeof path === "string" ? [[name, path] as const] : [];
  });
}
