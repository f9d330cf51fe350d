/** nginx, unprivileged and in a folder of its own: as the upstream, and as a proxy before it. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { descriptorLimit, findCommand, firstLineOf } from "../machine.ts";
import { type MeasuredProcess, startPinned } from "../measured-process.ts";
import type { Contender, Place } from "./contender.ts";

/** Connections that a load may need at once, on both sides; it ends idle ones when less than a 16th is left of this. */
const CONNECTIONS_MAX = 32_768;

/** It as a contender. */
export function nginx(): Contender {
  const command = findCommand("nginx");
  return {
    name: "nginx",
    version:
      command === null ? null : firstLineOf([command, "-v"]).replace("nginx version: nginx/", ""),
    remedy: "apt-get install nginx-light",
    start: startProxy,
  };
}

/** What both have in common: one worker, no log, connections that last. */
function configOf(folder: string, http: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `  ${kind}_temp_path ${folder}/${kind};`)
    .join("\n");
  const descriptors = Math.min(CONNECTIONS_MAX, descriptorLimit());
  return `${process.getuid?.() === 0 ? "user root;\n" : ""}daemon off;
worker_processes 1;
worker_rlimit_nofile ${descriptors};
pid ${folder}/nginx.pid;
error_log stderr error;
events { worker_connections ${CONNECTIONS_MAX}; }
http {
${temporary}
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
${http}
}
`;
}

/** Serves the files of a folder, and counts connections at `/-/connections`. */
export function startUpstream(options: {
  readonly core: number;
  readonly folder: string;
  readonly port: number;
  /** Path of what it serves. */
  readonly files: string;
}): MeasuredProcess {
  return start(
    options,
    `  sendfile on;
  tcp_nopush on;
  open_file_cache max=100;
  default_type application/octet-stream;
  server {
    listen 127.0.0.1:${options.port} backlog=4096;
    root ${options.files};
    location = /-/connections { stub_status; }
  }`,
  );
}

/**
 * Forwards to the upstream, and tells it as much about the client as Paastis does. Bodies pass through, as they do
 * in Paastis: none is collected on disk, in neither direction.
 */
function startProxy({ core, folder, port, upstreamPort }: Place): MeasuredProcess {
  return start(
    { core, folder },
    `  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  upstream app {
    server 127.0.0.1:${upstreamPort};
    keepalive 1024;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    client_max_body_size 0;
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_max_temp_file_size 0;
      proxy_read_timeout 1h;
      proxy_send_timeout 1h;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host 127.0.0.1:${upstreamPort};
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;
      proxy_set_header X-Forwarded-Port $server_port;
      proxy_set_header Via "1.1 nginx";
    }
  }`,
  );
}

function start(
  { core, folder }: { readonly core: number; readonly folder: string },
  http: string,
): MeasuredProcess {
  mkdirSync(folder);
  const file = join(folder, "nginx.conf");
  writeFileSync(file, configOf(folder, http));
  const command = findCommand("nginx");
  if (command === null) throw new Error("nginx is missing: apt-get install nginx-light");
  return startPinned({
    core,
    folder,
    command: [command, "-e", "stderr", "-p", folder, "-c", file],
  });
}
