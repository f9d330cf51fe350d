/** HAProxy with one thread, as a proxy before the upstream. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { carriedMax, findCommand, firstLineOf } from "../machine.ts";
import { type MeasuredProcess, startPinned } from "../measured-process.ts";
import type { Contender, Place } from "./contender.ts";

/** It as a contender. */
export function haproxy(): Contender {
  const command = findCommand("haproxy");
  const said = command === null ? "" : firstLineOf([command, "-v"]);
  return {
    name: "haproxy",
    version: command === null ? null : (/version (\S+)/.exec(said)?.[1] ?? said),
    remedy: "apt-get install --no-install-recommends haproxy",
    start: (place) => start(command ?? "haproxy", place),
  };
}

function start(command: string, { core, folder, port, upstreamPort }: Place): MeasuredProcess {
  mkdirSync(folder);
  const file = join(folder, "haproxy.cfg");
  writeFileSync(
    file,
    `global
  nbthread 1
  maxconn ${carriedMax(16_384) + 100}
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  timeout http-keep-alive 300s
  option http-keep-alive
  http-reuse always
frontend clients
  bind 127.0.0.1:${port} backlog 4096
  default_backend app
backend app
  option forwardfor
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  http-request set-header Via "1.1 haproxy"
  http-request set-header Host 127.0.0.1:${upstreamPort}
  server one 127.0.0.1:${upstreamPort} pool-max-conn 1024 pool-purge-delay 300s
`,
  );
  return startPinned({ core, folder, command: [command, "-q", "-db", "-f", file] });
}
