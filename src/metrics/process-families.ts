/** What is exposed of our process, by the names that every program uses. */

import { readdirSync, readFileSync } from "node:fs";
import { type Family, single } from "./family.ts";

/** What it is read from. */
export interface ProcessFacts {
  /** When the process began, s since the epoch. */
  readonly startedS: number;
  /** By how much the event loop was late as this was asked for, ms. */
  readonly lagMs: () => number;
}

/** In the order in which they are exposed. What the system does not say is left out. */
export function processFamilies({ startedS, lagMs }: ProcessFacts): readonly Family[] {
  return [
    ...processorFamilies(),
    ...memoryFamilies(),
    gauge("process_open_fds", "Number of open file descriptors.", openDescriptors),
    gauge("process_max_fds", "Maximum number of open file descriptors.", descriptorsMax),
    gauge(
      "process_start_time_seconds",
      "Start time of the process since unix epoch in seconds.",
      () => startedS,
    ),
    gauge(
      "paastis_event_loop_lag_seconds",
      "How late the event loop was as the metrics were asked for.",
      () => lagMs() / 1000,
    ),
  ];
}

function gauge(name: string, help: string, read: () => number | null): Family {
  return single({ name, help, type: "gauge" }, read);
}

const MICRO = 1_000_000;

function processorFamilies(): readonly Family[] {
  const counter = (name: string, help: string, read: () => number): Family =>
    single({ name, help, type: "counter" }, read);
  return [
    counter(
      "process_cpu_user_seconds_total",
      "Total user CPU time spent in seconds.",
      () => process.cpuUsage().user / MICRO,
    ),
    counter(
      "process_cpu_system_seconds_total",
      "Total system CPU time spent in seconds.",
      () => process.cpuUsage().system / MICRO,
    ),
    counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", () => {
      const { user, system } = process.cpuUsage();
      return (user + system) / MICRO;
    }),
  ];
}

function memoryFamilies(): readonly Family[] {
  return [
    gauge("process_resident_memory_bytes", "Resident memory size in bytes.", () =>
      process.memoryUsage.rss(),
    ),
    gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", virtualBytes),
    gauge(
      "process_heap_bytes",
      "Process heap size in bytes.",
      () => process.memoryUsage().heapTotal,
    ),
  ];
}

/** Source: proc(5), `/proc/pid/stat`: `vsize` is the 23rd field, the 21st behind the name in parentheses. */
function virtualBytes(): number | null {
  const stat = readOrNull("/proc/self/stat");
  if (stat === null) return null;
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return numberOrNull(fields[20]);
}

function openDescriptors(): number | null {
  try {
    // One of them is the folder that is being read.
    return readdirSync("/proc/self/fd").length - 1;
  } catch {
    return null; // No Linux: nobody says.
  }
}

function descriptorsMax(): number | null {
  const limits = readOrNull("/proc/self/limits");
  return numberOrNull(/^Max open files\s+(\d+)/m.exec(limits ?? "")?.[1]);
}

function readOrNull(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null; // No Linux: nobody says.
  }
}

function numberOrNull(text: string | undefined): number | null {
  const number = Number(text ?? Number.NaN);
  return Number.isFinite(number) ? number : null;
}
