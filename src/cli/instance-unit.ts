/** The template unit from which systemd makes each instance's service. */

import { type InstancePaths, ownPaths } from "./instance-paths.ts";

/** What the template depends on. */
export interface UnitOptions {
  readonly paths: InstancePaths;
  /** Absolute path of the executable. */
  readonly binary: string;
  /** Whom a unit below a prefix runs as; `null`: whom systemd runs it as. */
  readonly user: string | null;
}

/** How long systemd waits for a sign of life before it starts the program again, s. */
export const WATCHDOG_S = 30;

/**
 * Pure. The whole file. Hardened as far as `systemd-analyze security` rewards it, with what a proxy needs left open:
 * no `MemoryDenyWriteExecute` (the runtime compiles while it runs), no `ProcSubset=pid` (apps read `/proc/meminfo`),
 * no `PrivateUsers` (it would take the right to ports below 1024), `AF_UNIX` (Docker's socket), `AF_NETLINK` (apps
 * list the machine's addresses).
 */
export function templateUnit(options: UnitOptions): string {
  const { paths, binary } = options;
  const own = ownPaths(paths, "%i");
  return `# Written by \`paastis init\`, which writes it again: change one instance with \`systemctl edit paastis@<name>\`.
# For apps that the provider process starts, or that use Docker's socket, such a change may say, below [Service]:
#   User=deploy
#   SupplementaryGroups=docker
#   ReadWritePaths=/srv/my-app
[Unit]
Description=Paastis instance %i
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=60
StartLimitBurst=5

[Service]
Type=notify
NotifyAccess=main
EnvironmentFile=${own.file}
ExecStart=${binary} serve
ExecReload=/bin/kill -HUP $MAINPID
WorkingDirectory=${own.dataDir}
WatchdogSec=${WATCHDOG_S}
# The usual SIGABRT would only make the runtime report a crash of its own.
WatchdogSignal=SIGKILL
TimeoutStartSec=60
TimeoutStopSec=90
Restart=on-failure
RestartSec=1
# A wrong configuration or command line does not get better by itself.
RestartPreventExitStatus=64 78
# Paastis stops the apps it has started; what is left after that is killed.
KillMode=mixed
LimitNOFILE=524288
UMask=0077

${whereItWrites(options)}
ReadWritePaths=${own.dataDir} ${own.runtime}

NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
PrivateMounts=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RemoveIPC=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
# Ports below 1024, and nothing else.
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
AmbientCapabilities=CAP_NET_BIND_SERVICE

[Install]
WantedBy=multi-user.target
`;
}

/** systemd makes and owns folders for a user of its own below /var/lib and /run alone. */
function whereItWrites({ paths, user }: UnitOptions): string {
  if (paths.prefix !== null) {
    return user === null ? "# The folders were made by `paastis add`." : `User=${user}`;
  }
  return [
    "# A user of its own that exists only while the instance runs, and owns its two folders.",
    "DynamicUser=yes",
    "User=paastis-%i",
    "StateDirectory=paastis/%i",
    "StateDirectoryMode=0700",
    "RuntimeDirectory=paastis/%i",
    "RuntimeDirectoryMode=0700",
  ].join("\n");
}
