/** What a test does to an app on the fake Scalingo, as its owner, as the dashboard, or as fate. */

import { addOneOff, crash, restart, scale, setFormation } from "./fake-scalingo-app.ts";
import { beginDeployment, endDeployment, stepDeployment } from "./fake-scalingo-deployment.ts";
import type {
  AppStatus,
  Boot,
  Container,
  Deployment,
  DeploymentStatus,
  Quantity,
  ScalingoApp,
  World,
} from "./fake-scalingo-model.ts";

/** Type -> amount, or amount and size; size `M` where it is left out. */
export type Formation = Readonly<Record<string, number | Quantity>>;

/** A handle on one app. */
export interface ScalingoControl {
  readonly id: string;
  /** As it is called now. */
  readonly name: string;
  readonly region: string;
  /** What the API would say, but for `showStatus`. */
  readonly status: AppStatus;
  /** Type -> amount. */
  readonly amounts: Readonly<Record<string, number>>;
  /** Type -> size. */
  readonly sizes: Readonly<Record<string, string>>;
  readonly containers: readonly Container[];
  readonly hasEnabledAutoscaler: boolean;
  /** How the boots to come go, one after the other; then they are normal again. */
  nextBoots(...boots: readonly Boot[]): void;
  /** Ends a boot that hangs. @throws when none does */
  endHang(outcome: "ok" | "error"): void;
  /** Somebody scales on the dashboard: an operation, with `scaling` and all. */
  scaleByHand(amounts: Readonly<Record<string, number>>): void;
  /** As if it had been so for long; `null` takes a type away. No operation. */
  setFormation(formation: Readonly<Record<string, number | Quantity | null>>): void;
  /** Somebody restarts it: `restarting` for as long as a boot takes. */
  restart(): void;
  crash(): void;
  /** A push: `queued`, and then as told. From `starting` on the app is `booting`. */
  beginDeploy(status?: DeploymentStatus): void;
  stepDeploy(status: DeploymentStatus): void;
  finishDeploy(): void;
  failDeploy(status: DeploymentStatus): void;
  /** An autoscaler for a type. A scale by the API disables it, which is a violation unless the fake allows it. */
  addAutoscaler(type: string, disabled?: boolean): void;
  addOneOff(): void;
  /** `name` is a label below `localhost`; the canonical one is what `url` says. */
  addDomain(name: string, canonical: boolean): void;
  /** The list and the app say this word instead of the status; `null`: the true one again. */
  showStatus(word: string | null): void;
  /** Scaling up answers 402. */
  block(isBlocked?: boolean): void;
  /** A new address as well, and none at the old one; the id stays. */
  rename(name: string): void;
  /** Every call for this app answers 403; the list has it all the same. */
  forbid(isForbidden?: boolean): void;
  /** The router answers 502, 503 or 504 although containers run. */
  trouble(kind: ScalingoApp["trouble"]): void;
}

/** @param hostOf makes a hostname of the label of a custom domain */
export function controlOf(
  world: World,
  app: ScalingoApp,
  hostOf: (label: string) => string,
): ScalingoControl {
  return {
    id: app.id,
    get name() {
      return app.name;
    },
    region: app.region,
    get status() {
      return app.status;
    },
    get amounts() {
      return mapFormation(app, ({ amount }) => amount);
    },
    get sizes() {
      return mapFormation(app, ({ size }) => size);
    },
    get containers() {
      return app.containers;
    },
    get hasEnabledAutoscaler() {
      return app.autoscalers.some(({ disabled }) => !disabled);
    },
    nextBoots: (...boots) => void app.nextBoots.push(...boots),
    endHang(outcome) {
      if (app.endHang === null) throw new Error(`no boot of ${app.name} hangs`);
      app.endHang(outcome);
    },
    scaleByHand(amounts) {
      const changes = Object.entries(amounts).map(([name, amount]) => ({ name, amount, size: "" }));
      scale(world, app, { changes, isOurs: false });
    },
    setFormation: (formation) => setFormation(world, app, quantitiesOf(formation)),
    restart: () => void restart(world, app, { types: null, isOurs: false }),
    crash: () => crash(world, app),
    beginDeploy(status = "queued") {
      const deployment = beginDeployment(world, app);
      if (status !== "queued") stepDeployment(world, app, { deployment, status });
    },
    stepDeploy: (status) => stepDeployment(world, app, { deployment: newest(app), status }),
    finishDeploy: () => endDeployment(world, app, newest(app), "success"),
    failDeploy: (status) => endDeployment(world, app, newest(app), status),
    addAutoscaler(type, disabled = false) {
      app.autoscalers.push({ id: `au-${world.nextId()}`, type, disabled });
    },
    addOneOff: () => addOneOff(world, app),
    addDomain(label, canonical) {
      app.domains.push({ id: world.nextId(), name: hostOf(label), canonical });
    },
    showStatus(word) {
      app.shownStatus = word;
    },
    block(isBlocked = true) {
      app.isBlocked = isBlocked;
    },
    forbid(isForbidden = true) {
      app.isForbidden = isForbidden;
    },
    rename(name) {
      app.name = name;
    },
    trouble(kind) {
      app.trouble = kind;
    },
  };
}

/** The same with every size said. */
export function quantitiesOf<T extends number | Quantity | null>(
  formation: Readonly<Record<string, T>>,
): Record<string, Exclude<T, number> | Quantity> {
  return Object.fromEntries(
    Object.entries(formation).map(([type, one]) => [type, quantityOf(one)]),
  );
}

function quantityOf<T extends number | Quantity | null>(one: T): Exclude<T, number> | Quantity {
  if (typeof one === "number") return { amount: one, size: "M" };
  return one as Exclude<T, number>; // The compiler does not narrow a type parameter.
}

function mapFormation<T>(app: ScalingoApp, of: (one: Quantity) => T): Record<string, T> {
  return Object.fromEntries([...app.formation].map(([type, one]) => [type, of(one)]));
}

function newest(app: ScalingoApp): Deployment {
  const [deployment] = app.deployments;
  if (deployment === undefined) throw new Error(`${app.name} has no deployment`);
  return deployment;
}
