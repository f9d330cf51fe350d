/** What the fake Fly.io says, field by field as documented, and its refusals. */

import { type FakeAnswer, json } from "./fake-answer.ts";
import type { FlyApp, Machine, MachineEvent } from "./fake-fly-model.ts";

export function appJson(app: FlyApp): Record<string, unknown> {
  return {
    id: app.id,
    name: app.name,
    machine_count: app.machines.length,
    volume_count: 0,
    network: "default",
  };
}

export function machineJson(machine: Machine): Record<string, unknown> {
  const { check, events, hostStatus } = machine;
  const config = configJson(machine);
  const isKnown = hostStatus !== "unreachable";
  return {
    id: machine.id,
    name: machine.name,
    state: machine.state,
    region: machine.region,
    instance_id: machine.instanceId,
    private_ip: "fdaa:0:18:a7b:196:e274:9ce1:2",
    created_at: dateOf(machine.createdAtMs),
    updated_at: dateOf(machine.updatedAtMs),
    host_status: hostStatus,
    cordoned: false,
    // Of a host that does not answer only a part is known.
    ...(isKnown ? { config } : { config: null, incomplete_config: config }),
    checks: check === null ? [] : [checkJson(machine, check)],
    events: events.slice(0, 5).map(eventJson),
  };
}

function configJson(machine: Machine): Record<string, unknown> {
  const { autostop, autostart, group, hasServices, isScheduled, isDestroyedAtEnd } = machine;
  const service = {
    protocol: "tcp",
    internal_port: 8080,
    autostop,
    autostart,
    ports: [{ port: 443, handlers: ["tls", "http"] }],
  };
  return {
    image: "demo:1",
    metadata: { fly_process_group: group, fly_platform_version: "v2" },
    ...(hasServices ? { services: [service] } : {}),
    ...(isScheduled ? { schedule: "hourly" } : {}),
    ...(isDestroyedAtEnd ? { auto_destroy: true } : {}),
  };
}

function checkJson(machine: Machine, status: string): Record<string, unknown> {
  const updated_at = dateOf(machine.updatedAtMs);
  return { name: "servicecheck-00-http-8080", status, output: "", updated_at };
}

function eventJson({ type, status, source, timestamp, exit }: MachineEvent): object {
  if (exit === null) return { type, status, source, timestamp };
  const { exitCode, requestedStop } = exit;
  const exit_event = {
    requested_stop: requestedStop,
    restarting: false,
    guest_exit_code: exitCode,
    guest_signal: -1,
    exit_code: exitCode,
    signal: -1,
    oom_killed: false,
  };
  return { type, status, source, timestamp, request: { exit_event, restart_count: 0 } };
}

/** @param word `status` of the body; left out: `unknown` */
export function refused(status: number, error: string, word = "unknown"): FakeAnswer {
  return json({ error, status: word }, status);
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}
