/** Containers as the provider reads them, for tests of its pure parts. */

import type { Container, ContainerDetails } from "../../src/providers/docker-json.ts";

/** A container that is up; its id is made of its name. */
export function containerOf(name: string, fields: Partial<Container> = {}): Container {
  return {
    id: `id-of-${name}`,
    name,
    labels: {},
    createdMs: 1_700_000_000_000,
    status: "running",
    health: "none",
    exitCode: null,
    ports: [],
    networks: new Map(),
    networkMode: "bridge",
    ...fields,
  };
}

/** The same, after a look at it. */
export function detailsOf(name: string, fields: Partial<ContainerDetails> = {}): ContainerDetails {
  return {
    ...containerOf(name, fields),
    error: "",
    isOutOfMemory: false,
    startedMs: 1_700_000_000_000,
    finishedMs: null,
    restartCount: 0,
    stopTimeoutMs: null,
    ...fields,
  };
}

/** A container of a Compose project. */
export function composed(
  project: string,
  service: string,
  {
    labels = {},
    dependsOn = "",
    number = 1,
    ...fields
  }: Partial<Container> & { readonly dependsOn?: string; readonly number?: number } = {},
): Container {
  return containerOf(`${project}-${service}-${number}`, {
    ...fields,
    labels: {
      "com.docker.compose.project": project,
      "com.docker.compose.service": service,
      "com.docker.compose.container-number": String(number),
      "com.docker.compose.oneoff": "False",
      "com.docker.compose.depends_on": dependsOn,
      ...labels,
    },
  });
}
