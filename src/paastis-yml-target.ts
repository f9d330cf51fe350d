/** Where an app of a `paastis.yml` answers: an origin, or a unix socket. */

import { resolve } from "node:path";
import { type Target, targetOf } from "./app.ts";
import { show } from "./check-shape.ts";
import { fitsSocket, SOCKET_BYTES_MAX } from "./socket-path.ts";

/** A target, or a sentence that begins with "must". */
export type TargetReading = { readonly target: Target } | { readonly problem: string };

const UNIX = "unix:";

/** @param folder absolute; a relative path of a socket counts from here */
export function readTarget(text: string, folder: string): TargetReading {
  if (text.startsWith(UNIX)) return readSocket(text.slice(UNIX.length), folder);
  if (/^https?:\/\/[^/?#@\\\s]+\/?$/i.test(text) && URL.canParse(text)) {
    return { target: targetOf(text) };
  }
  const allowed =
    "an origin without path, query and credentials, such as http://10.0.0.5:8080, " +
    "or a socket, such as unix:/run/app.sock";
  return { problem: `must be ${allowed}: it is ${show(text.replace(/\/\/.*@/, "//…@"))}` };
}

function readSocket(given: string, folder: string): TargetReading {
  // A zero would end the path early, and the others nobody can mean.
  if (given === "" || /\p{Cc}/u.test(given)) {
    return { problem: `must be unix: and the path of a socket: it is ${show(UNIX + given)}` };
  }
  const path = resolve(folder, given);
  if (!fitsSocket(path)) {
    const limit = `must be the path of a socket of at most ${SOCKET_BYTES_MAX} bytes`;
    return { problem: `${limit}: ${path} has ${Buffer.byteLength(path)}` };
  }
  return { target: targetOf(UNIX + path) };
}
