/** Whether the pods behind a Service take requests, as its EndpointSlices say. Pure. */

import { fieldsOf, listOf, textOf } from "./kubernetes-json.ts";

/**
 * Whether an EndpointSlice has an address that takes requests. Nothing said about being ready counts as ready.
 * Source: Kubernetes' OpenAPI schema, EndpointConditions.
 */
export function hasReadyEndpoint(slice: unknown): boolean {
  return listOf(fieldsOf(slice).endpoints).some((entry) => {
    const { addresses, conditions } = fieldsOf(entry);
    const isReady = fieldsOf(conditions).ready !== false;
    return isReady && listOf(addresses).some((address) => textOf(address) !== "");
  });
}

/** Query that finds the EndpointSlices of a Service. Source: Kubernetes, "EndpointSlices". */
export function slicesQuery(service: string): string {
  return `labelSelector=${encodeURIComponent(`kubernetes.io/service-name=${service}`)}`;
}
