/** How a receiver can tell that a delivery comes from us, is whole, and is new. Pure. */

import { createHmac } from "node:crypto";

/**
 * The value of `paastis-signature`: `t=<time>,v1=<hex>`, where the latter is the HMAC-SHA-256 (RFC 2104) of
 * `<time>.<body>`. As the time is signed, an old delivery cannot be sent again by others as a new one.
 * @param atMs when it is sent, ms since the epoch; whole seconds of it are signed
 * @param body exactly what is sent
 */
export function signatureOf(secret: string, atMs: number, body: string): string {
  const seconds = Math.floor(atMs / 1000);
  const mac = createHmac("sha256", secret).update(`${seconds}.${body}`).digest("hex");
  return `t=${seconds},v1=${mac}`;
}
