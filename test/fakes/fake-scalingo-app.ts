/** How an app on the fake Scalingo changes over time: scale, boot, stop, restart, crash. */

import type {
  AppStatus,
  Boot,
  Change,
  Container,
  Operation,
  Quantity,
  ScalingoApp,
  World,
} from "./fake-scalingo-model.ts";

const BUSY: readonly AppStatus[] = ["scaling", "restarting", "booting"];

/** Why no other operation is possible now, as the API words it; `null`: one is. */
export function busyReason(app: ScalingoApp): string | null {
  return BUSY.includes(app.status) ? `is ${app.status}` : null;
}

/** Whether the changes ask for what is there already. */
export function changesNothing(app: ScalingoApp, changes: readonly Change[]): boolean {
  return changes.every(({ name, amount, size }) => {
    const now = app.formation.get(name);
    return now?.amount === amount && (size === "" || now.size === size);
  });
}

/** Whether the router has a container to send requests to. */
export function isServing(world: World, app: ScalingoApp): boolean {
  return app.containers.some(
    ({ type, state, servesFromMs }) =>
      type === "web" && state === "running" && servesFromMs <= world.clock.now(),
  );
}

/** Changes the formation. @returns the operation; `null` when the app was never deployed, so there is nothing to do */
export function scale(
  world: World,
  app: ScalingoApp,
  { changes, isOurs }: { readonly changes: readonly Change[]; readonly isOurs: boolean },
): Operation | null {
  for (const { name, amount, size } of changes) {
    const quantity = app.formation.get(name);
    if (quantity === undefined) throw new Error(`${app.name} has no type ${name}`);
    quantity.amount = amount;
    if (size !== "") quantity.size = size;
    if (isOurs) disableAutoscalers(app, name);
  }
  touch(world, app);
  if (app.status === "new") return null;
  const isOverQuota = isOurs && world.scalesInFlight() >= world.scalesInFlightMax;
  const operation = beginOperation(world, app, { type: "scale", isOurs });
  app.status = "scaling";
  const hasStopping = stopSurplus(world, app);
  const hasBooting = bootMissing(world, app);
  if (isOverQuota) world.later(world.pendingMs, () => failBoot(world, app, operation, "quota"));
  else if (hasBooting) runBoot(world, app, operation);
  else world.later(hasStopping ? world.stopMs : 0, () => endOperation(world, app, operation));
  return operation;
}

function disableAutoscalers(app: ScalingoApp, type: string): void {
  for (const autoscaler of app.autoscalers) {
    if (autoscaler.type === type) autoscaler.disabled = true;
  }
}

/** Now is when it was changed last. */
export function touch(world: World, app: ScalingoApp): void {
  app.updatedAtMs = world.clock.now();
}

function beginOperation(
  world: World,
  app: ScalingoApp,
  { type, isOurs }: { readonly type: Operation["type"]; readonly isOurs: boolean },
): Operation {
  const operation: Operation = {
    id: world.nextId(),
    type,
    isOurs,
    createdAtMs: world.clock.now(),
    status: "pending",
    finishedAtMs: null,
    error: "",
  };
  app.operations.set(operation.id, operation);
  world.later(world.pendingMs, () => {
    if (operation.status === "pending") operation.status = "running";
  });
  return operation;
}

function endOperation(world: World, app: ScalingoApp, operation: Operation, error = ""): void {
  operation.status = error === "" ? "done" : "error";
  operation.error = error;
  operation.finishedAtMs = world.clock.now();
  app.status = restingStatus(app);
  touch(world, app);
}

function liveContainers(app: ScalingoApp): Container[] {
  return app.containers.filter(
    ({ type, state }) => type !== "one-off" && (state === "running" || state === "booting"),
  );
}

/** What the status is when nothing goes on. */
export function restingStatus(app: ScalingoApp): AppStatus {
  return liveContainers(app).length > 0 ? "running" : "stopped";
}

/** Containers above the amount, or of another size, get their SIGTERM. */
function stopSurplus(world: World, app: ScalingoApp): boolean {
  const surplus = liveContainers(app).filter(({ type, index, size }) => {
    const wanted = app.formation.get(type);
    return wanted === undefined || index > wanted.amount || size !== wanted.size;
  });
  for (const container of surplus) container.state = "stopping";
  world.later(world.stopMs, () => {
    for (const container of surplus) container.state = "stopped";
    if (!world.keepsStoppedContainers) forgetStopped(app);
  });
  return surplus.length > 0;
}

function forgetStopped(app: ScalingoApp): void {
  app.containers = app.containers.filter(({ state }) => state !== "stopped");
}

function bootMissing(world: World, app: ScalingoApp): boolean {
  let hasBooting = false;
  for (const [type, { amount, size }] of app.formation) {
    for (let index = 1; index <= amount; index += 1) {
      if (liveContainers(app).some((one) => one.type === type && one.index === index)) continue;
      app.containers.push(newContainer(world, { type, index, size }));
      hasBooting = true;
    }
  }
  return hasBooting;
}

function newContainer(
  world: World,
  { type, index, size }: { readonly type: string; readonly index: number; readonly size: string },
): Container {
  return {
    id: world.nextId(),
    type,
    index,
    size,
    createdAtMs: world.clock.now(),
    command: type === "one-off" ? "bash" : "",
    state: "booting",
    servesFromMs: Number.POSITIVE_INFINITY,
  };
}

function runBoot(world: World, app: ScalingoApp, operation: Operation): void {
  const boot = app.nextBoots.shift() ?? {};
  const { ms = world.bootMs, outcome = "ok" } = boot;
  if (outcome === "hangs") {
    app.endHang = (end) => {
      app.endHang = null;
      if (end === "ok") finishBoot(world, app, { operation, boot });
      else failBoot(world, app, operation);
    };
    return;
  }
  world.later(ms, () => {
    if (outcome === "error") failBoot(world, app, operation);
    else finishBoot(world, app, { operation, boot });
  });
}

function finishBoot(
  world: World,
  app: ScalingoApp,
  { operation, boot }: { readonly operation: Operation; readonly boot: Boot },
): void {
  const { routerLagMs = 0, apiLagMs = 0, crashesAfterMs } = boot;
  for (const container of app.containers) {
    if (container.state !== "booting" || container.type === "one-off") continue;
    container.state = "running";
    container.servesFromMs = world.clock.now() + routerLagMs;
  }
  if (apiLagMs === 0) endOperation(world, app, operation);
  else world.later(apiLagMs, () => endOperation(world, app, operation));
  if (crashesAfterMs === undefined) return;
  world.later(crashesAfterMs, () => {
    if (liveContainers(app).length > 0) crash(world, app);
  });
}

function failBoot(world: World, app: ScalingoApp, operation: Operation, why?: string): void {
  const failed = app.containers.find(({ state }) => state === "booting");
  app.containers = app.containers.filter(
    ({ type, state }) => state !== "booting" || type === "one-off",
  );
  const name = failed === undefined ? "web-1" : `${failed.type}-${failed.index}`;
  const verb = operation.type === "restart" ? "restart" : "start";
  endOperation(world, app, operation, why ?? `container ${name} failed to ${verb}`);
  if (app.status === "stopped" && failed !== undefined && why === undefined) app.status = "crashed";
}

/** It has crashed more than twelve times in a row: no containers, formation as it was. */
export function crash(world: World, app: ScalingoApp): void {
  app.containers = app.containers.filter(({ type }) => type === "one-off");
  app.status = "crashed";
  touch(world, app);
}

/** Fresh containers in place of those of `types`, `null`: of all, and of what should run and does not. */
export function restart(
  world: World,
  app: ScalingoApp,
  { types, isOurs }: { readonly types: readonly string[] | null; readonly isOurs: boolean },
): Operation {
  const operation = beginOperation(world, app, { type: "restart", isOurs });
  for (const container of liveContainers(app)) {
    if (types !== null && !types.includes(container.type)) continue;
    container.state = "booting";
    container.servesFromMs = Number.POSITIVE_INFINITY;
  }
  bootMissing(world, app);
  app.status = "restarting";
  touch(world, app);
  runBoot(world, app, operation);
  return operation;
}

/** Somebody runs a command in a container of its own. */
export function addOneOff(world: World, app: ScalingoApp): void {
  const container = newContainer(world, { type: "one-off", index: 9410, size: "M" });
  container.state = "running";
  app.containers.push(container);
}

/** As if it had been so for long: amounts and containers at once, no operation. */
export function setFormation(
  world: World,
  app: ScalingoApp,
  formation: Readonly<Record<string, Quantity | null>>,
): void {
  for (const [type, quantity] of Object.entries(formation)) {
    if (quantity === null) app.formation.delete(type);
    else app.formation.set(type, { ...quantity });
  }
  touch(world, app);
  if (app.status === "new") return;
  replaceContainers(world, app);
  app.status = restingStatus(app);
}

/** Fresh containers by the formation, up at once. */
export function replaceContainers(world: World, app: ScalingoApp): void {
  app.containers = app.containers.filter(({ type }) => type === "one-off");
  bootMissing(world, app);
  for (const container of liveContainers(app)) {
    container.state = "running";
    container.servesFromMs = world.clock.now();
  }
}
