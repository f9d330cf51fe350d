/** What Compose writes on the containers of a project: where each belongs, and what it depends on. Pure. */

/** Prefix of its labels. Source: docker/compose, `pkg/api/labels.go`. */
const PREFIX = "com.docker.compose.";

/** Where a container belongs. */
export interface ComposePlace {
  readonly project: string;
  readonly service: string;
  /** 1 for the first container of a service. */
  readonly number: number;
}

/** When what a container depends on is far enough for it. */
export type Condition = "started" | "healthy" | "completed";

/** Another service of the same project that a container needs. */
export interface ServiceNeed {
  readonly service: string;
  readonly condition: Condition;
}

type Labels = Readonly<Record<string, string>>;

/** `null`: it is not of Compose. */
export function composePlaceOf(labels: Labels): ComposePlace | null {
  const project = labels[`${PREFIX}project`] ?? "";
  const service = labels[`${PREFIX}service`] ?? "";
  if (project === "" || service === "") return null;
  const number = Number(labels[`${PREFIX}container-number`]);
  return { project, service, number: Number.isInteger(number) && number > 0 ? number : 1 };
}

/** Whether it is a passing copy, as `docker compose run` makes, with all labels of its service. */
export function isOneOff(labels: Labels): boolean {
  return labels[`${PREFIX}oneoff`]?.toLowerCase() === "true";
}

const CONDITIONS: ReadonlyMap<string, Condition> = new Map([
  ["service_healthy", "healthy"],
  ["service_completed_successfully", "completed"],
]);

/**
 * `db:service_healthy:false,cache:service_started:true`; older ones say `db,cache`. What is not known of a condition
 * means that it has been started.
 */
export function needsOf(labels: Labels): readonly ServiceNeed[] {
  const entries = (labels[`${PREFIX}depends_on`] ?? "").split(",").map((entry) => entry.trim());
  return entries
    .filter((entry) => entry !== "")
    .map((entry) => {
      const [service = "", condition = ""] = entry.split(":");
      return { service, condition: CONDITIONS.get(condition) ?? "started" };
    });
}
