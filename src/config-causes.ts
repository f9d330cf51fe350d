/** Leaves out of what is wrong with a configuration all that only follows from something else. Pure. */

import type { EnvironmentReading } from "./environment.ts";

/** Everything that was found, in no particular order of guilt. */
export interface Findings {
  readonly environment: Pick<EnvironmentReading, "problems" | "refused" | "unknown">;
  /** Of values that do not go together, or of those that others make necessary. */
  readonly consequences: readonly string[];
  readonly dotenv: {
    /** It is there, and nobody knows what it holds. */
    readonly isUnreadable: boolean;
    /** Variables in lines that could not be read. */
    readonly brokenNames: readonly string[];
  };
}

/** What is left to say of flags, environment and `.env`. */
export interface Causes {
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * A value that was refused is not missing, one in a broken line of `.env` is not either, and a missing one is told
 * together with the name that was probably mistaken for it.
 */
export function causesOf({ environment, consequences, dotenv }: Findings): Causes {
  const isLost = (name: string | null) =>
    name !== null && (dotenv.isUnreadable || dotenv.brokenNames.includes(name));
  const told = [...environment.refused, ...dotenv.brokenNames];
  const problems = [
    ...environment.problems,
    ...consequences.filter((problem) => !told.some((name) => isAbout(problem, name))),
  ].filter((problem) => !isLost(missingIn(problem)));
  const missing = new Set(problems.flatMap((problem) => missingIn(problem) ?? []));
  const { unknown } = environment;
  return {
    problems: problems.map((problem) => withMistaken(problem, unknown)),
    warnings: unknown
      .filter(({ meant }) => meant === null || !missing.has(meant))
      .map(({ warning }) => warning),
  };
}

/** The variable whose absence is the problem. */
function missingIn(problem: string): string | null {
  return /^([A-Z][A-Z0-9_]*) is required/.exec(problem)?.[1] ?? null;
}

/** That a provider is named is the reason for a problem, not the problem. */
function isAbout(problem: string, name: string): boolean {
  const told = problem.replace(/, as PROVIDER_NAME has [\w-]+/, "");
  return told.split(/\W+/).includes(name);
}

function withMistaken(problem: string, unknown: EnvironmentReading["unknown"]): string {
  const missing = missingIn(problem);
  const mistaken = unknown.filter(({ meant }) => meant !== null && meant === missing);
  if (mistaken.length === 0) return problem;
  const names = mistaken.map(({ name }) => name).join(" or ");
  return `${problem} (did you mean it by ${names}, which is no variable of Paastis?)`;
}
