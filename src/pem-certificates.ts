/** Finds the certificates in a PEM text. */

import { X509Certificate } from "node:crypto";
import { messageOf } from "./errors.ts";

/** What a PEM text holds. */
export type PemReading =
  /** `pem`: the certificates alone, one after the other: what else stood there, such as a key, is left out. */
  | { readonly kind: "certificates"; readonly pem: string }
  | { readonly kind: "none" }
  /** `number` counts from 1. */
  | { readonly kind: "broken"; readonly number: number; readonly why: string };

const BLOCK = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/** Each one is decoded: the runtime would leave out what it cannot read, and say nothing. */
export function readCertificates(text: string): PemReading {
  const blocks = text.match(BLOCK) ?? [];
  for (const [index, block] of blocks.entries()) {
    try {
      new X509Certificate(block);
    } catch (error) {
      return { kind: "broken", number: index + 1, why: messageOf(error) };
    }
  }
  return blocks.length === 0
    ? { kind: "none" }
    : { kind: "certificates", pem: `${blocks.join("\n")}\n` };
}
