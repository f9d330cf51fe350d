/**
 * Asks an app on the port of its argument once, over TLS, and prints the answer's body. The app's policy
 * names a certificate that has nothing to do with it: whoever vouches for it is the system.
 */

import { rootCertificates } from "node:tls";
import { exchangeRaw } from "./raw-client.ts";
import { startSocketEngine } from "./socket-engine.ts";

const proxy = startSocketEngine(`https://localhost:${process.argv[2]}`, {
  policy: { tlsCa: rootCertificates[0] ?? "" },
});
const answer = await exchangeRaw(proxy.port, "GET / HTTP/1.1\r\nHost: shop.test\r\n\r\n");
process.stdout.write(answer.body);
process.exit(0);
