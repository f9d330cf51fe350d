/** How calls to Clever Cloud's API are authorized: a bearer token, or a signature for each call. */

import type { Clock } from "../clock.ts";
import type { CleverCloudConfig } from "../config.ts";
import { oauth1Header } from "./clever-cloud-oauth1.ts";
import type { Credentials } from "./platform-api.ts";

const NONCE_WORDS = 4;

/** Neither kind can be renewed: a refused one stays refused until somebody makes a new one. */
export function createCleverCloudCredentials(
  credentials: CleverCloudConfig["credentials"],
  deps: { readonly clock: Clock; readonly random: () => number },
): Credentials {
  if (credentials.kind === "token") {
    const headers = { authorization: `Bearer ${credentials.token}` };
    return { headers: async () => headers };
  }
  return {
    async headers({ method, url }) {
      const nonce = nonceOf(deps.random);
      // The platform compares it with its own wall clock.
      const timestampS = Math.floor(deps.clock.wallMs() / 1000);
      const request = { method, url, nonce, timestampS };
      return { authorization: oauth1Header(request, credentials) };
    },
  };
}

function nonceOf(random: () => number): string {
  const words = Array.from({ length: NONCE_WORDS }, () =>
    Math.floor(random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0"),
  );
  return words.join("");
}
