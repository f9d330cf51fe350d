/** Caddy as a proxy before the upstream, without certificates and without its admin port. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findCommand, firstLineOf } from "../machine.ts";
import { type MeasuredProcess, startPinned } from "../measured-process.ts";
import type { Contender, Place } from "./contender.ts";

/** It as a contender. */
export function caddy(): Contender {
  const command = findCommand("caddy");
  return {
    name: "caddy",
    version: command === null ? null : (firstLineOf([command, "version"]).split(" ")[0] ?? ""),
    remedy: "apt-get install --no-install-recommends caddy",
    start: (place) => start(command ?? "caddy", place),
  };
}

function start(command: string, { core, folder, port, upstreamPort }: Place): MeasuredProcess {
  mkdirSync(folder);
  const file = join(folder, "Caddyfile");
  writeFileSync(
    file,
    `{
	admin off
	auto_https off
	log {
		level ERROR
	}
	servers {
		timeouts {
			idle 300s
		}
	}
}
http://:${port} {
	bind 127.0.0.1
	reverse_proxy 127.0.0.1:${upstreamPort} {
		header_up Host {upstream_hostport}
		header_up X-Forwarded-Port {port}
		header_up Via "1.1 caddy"
		transport http {
			keepalive 300s
			keepalive_idle_conns 4096
			keepalive_idle_conns_per_host 4096
			compression off
		}
	}
}
`,
  );
  return startPinned({
    core,
    folder,
    command: [command, "run", "--config", file, "--adapter", "caddyfile"],
    // One core, one processor: what it would find by itself, said so that nobody has to wonder.
    environment: { GOMAXPROCS: "1" },
  });
}
