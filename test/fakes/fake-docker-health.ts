/** Health checks of the fake Docker engine. Source: moby `daemon/health.go`, and an engine 20.10. */

import { inRun, tell } from "./fake-docker-life.ts";
import type { Container, World } from "./fake-docker-model.ts";

const LOG_MAX = 5;

/** At each start: `starting` again, without an event. */
export function beginHealth(world: World, container: Container): void {
  if (container.spec.healthcheck === null) return;
  container.health = { status: "starting", failingStreak: 0, log: [], watch: 0 };
  resumeHealth(world, container);
}

/** Nobody looks any more. The engine then calls it `unhealthy`, without an event. */
export function endHealth({ health }: Container): void {
  if (health === null) return;
  health.status = "unhealthy";
  health.watch += 1;
}

/** The next probe comes after a whole interval: until then what was `unhealthy` for a pause stays so. */
export function resumeHealth(world: World, container: Container): void {
  const { spec, health } = container;
  if (spec.healthcheck === null || health === null) return;
  const { watch } = health;
  inRun(world, container, spec.healthcheck.intervalMs, () => {
    // The engine has come back, or it was paused and went on: another one looks.
    if (container.health !== health || health.watch !== watch || world.isEngineDown) return;
    probe(world, container);
    resumeHealth(world, container);
  });
}

function probe(world: World, container: Container): void {
  const { health, spec } = container;
  if (health === null || spec.healthcheck === null) return;
  const isOk = container.isListening && !container.isSick;
  if (world.hasExecEvents) tellExec(world, container, isOk);
  const at = new Date(world.clock.now()).toISOString();
  health.log.push({ Start: at, End: at, ExitCode: isOk ? 0 : 1, Output: isOk ? "ok" : "refused" });
  if (health.log.length > LOG_MAX) health.log.shift();
  if (isOk) health.failingStreak = 0;
  else if (!isStartPeriod(world, container)) health.failingStreak += 1;
  const { retries } = spec.healthcheck;
  const status = isOk ? "healthy" : health.failingStreak >= retries ? "unhealthy" : health.status;
  if (status === health.status) return;
  health.status = status;
  tell(world, container, `health_status: ${status}`);
}

function isStartPeriod({ clock }: World, { spec, startedMs, health }: Container): boolean {
  const ranMs = clock.now() - (startedMs ?? 0);
  return health?.status === "starting" && ranMs < (spec.healthcheck?.startPeriodMs ?? 0);
}

function tellExec(world: World, container: Container, isOk: boolean): void {
  const execID = crypto.randomUUID();
  const command = "/bin/sh -c curl -f http://localhost/";
  tell(world, container, `exec_create: ${command}`, { execID });
  tell(world, container, `exec_start: ${command}`, { execID });
  tell(world, container, "exec_die", { execID, exitCode: isOk ? "0" : "1" });
}
