/** nginx, unprivileged and in a folder of its own: as the upstream, and as a proxy before it. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type MeasuredProcess, startPinned } from "./measured-process.ts";

const NGINX = "/usr/sbin/nginx";

/** What both have in common: one worker, no log, connections that last. */
function configOf(folder: string, http: string): string {
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `  ${kind}_temp_path ${folder}/${kind};`)
    .join("\n");
  return `${process.getuid?.() === 0 ? "user root;\n" : ""}daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid ${folder}/nginx.pid;
error_log stderr warn;
events { worker_connections 8192; }
http {
${temporary}
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 60s;
${http}
}
`;
}

/** Serves the files of a folder. */
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
  server { listen 127.0.0.1:${options.port} backlog=4096; root ${options.files}; }`,
  );
}

/** Forwards to the upstream, and tells it as much about the client as Paastis does. */
export function startNginxProxy(options: {
  readonly core: number;
  readonly folder: string;
  readonly port: number;
  readonly upstreamPort: number;
}): MeasuredProcess {
  return start(
    options,
    `  upstream app {
    server 127.0.0.1:${options.upstreamPort};
    keepalive 1024;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:${options.port} backlog=4096;
    location / {
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host 127.0.0.1:${options.upstreamPort};
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
  return startPinned({ core, folder, command: [NGINX, "-e", "stderr", "-p", folder, "-c", file] });
}
