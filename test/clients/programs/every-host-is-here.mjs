/** Lets Node find every host name on this machine, global `fetch` included. */

import dns from "node:dns";

const HERE = { address: "127.0.0.1", family: 4 };

/** Must run before the first connection. */
export function resolveEverythingHere() {
  dns.lookup = (_host, options, done = options) => {
    if (options.all) done(null, [HERE]);
    else done(null, HERE.address, HERE.family);
  };
}
