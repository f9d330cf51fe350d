/** How the runtime's `fetch` gets to a target: what it must know besides the URL. */

import { getCACertificates } from "node:tls";
import type { Policy, Target } from "./app.ts";

/** Whom an `https` target's certificate must come from. */
export type TargetTrust = Pick<Policy, "tlsVerify" | "tlsCa">;

/** Options for `fetch`. */
export interface TargetRoute {
  readonly unix?: string;
  readonly tls?: TargetTls;
}

/** Options for a TLS connection, as the runtime takes them everywhere. */
export interface TargetTls {
  readonly rejectUnauthorized: boolean;
  /** PEM, each text one or several certificates. */
  readonly ca?: string[];
}

/**
 * Connections made with other options are kept apart by the runtime, and the certificate is compared with the
 * URL's host, whatever `Host` says (seen in Bun 1.4.5; `test/wire/tls-targets.test.ts` holds it to that).
 */
export function routeTo(target: Target, trust: TargetTrust): TargetRoute {
  if (target.socketPath !== undefined) return { unix: target.socketPath };
  const tls = tlsTo(target, trust);
  return tls === null ? {} : { tls };
}

/**
 * `null`: the target speaks plain HTTP. Certificates that the runtime is given replace those that it trusts
 * otherwise (seen in Bun 1.4.5), so all are named; that costs `fetch` 0.15 ms a request, for those who ask for it.
 */
export function tlsTo(target: Target, { tlsVerify, tlsCa }: TargetTrust): TargetTls | null {
  if (!target.origin.startsWith("https:")) return null;
  // Said even where it is the default: NODE_TLS_REJECT_UNAUTHORIZED=0 would turn it around.
  if (!tlsVerify || tlsCa === null) return { rejectUnauthorized: tlsVerify };
  return { rejectUnauthorized: true, ca: [...getCACertificates("default"), tlsCa] };
}
