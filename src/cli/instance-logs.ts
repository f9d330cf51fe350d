/** The verb `logs`: what an instance has said, from the journal. */

import { cleanFields, cleanText } from "../log-safety.ts";
import { wholeNumber } from "../setting-parsers.ts";
import { listenForSignals } from "../signals.ts";
import { createTerminalFormat } from "../terminal.ts";
import { EXIT_FAILURE, EXIT_USAGE } from "./exit-codes.ts";
import { InstanceFailure } from "./instance-failure.ts";
import { checkExists, machineFor, type PrefixFlag } from "./instance-machine.ts";
import { unitOf } from "./instance-paths.ts";
import { systemdUnavailable } from "./instance-systemd.ts";
import { hasColors } from "./instance-table.ts";
import type { Surroundings } from "./surroundings.ts";

/** Flags of `logs`. */
export interface LogsFlags extends PrefixFlag {
  readonly follow?: true;
  readonly lines: string;
}

const LINES_MAX = 1_000_000;
/** Bits of colour: see `createTerminalFormat`. */
const COLOR_DEPTH = { none: 1, sixteen: 4 } as const;

/**
 * Lines of the program's log as it would show them on a terminal; into a pipe they go as they are, for programs.
 * @returns the exit status: 1 when journalctl failed
 */
export async function runLogs(
  name: string,
  flags: LogsFlags,
  surroundings: Surroundings,
): Promise<number> {
  const lines = wholeNumber(0, LINES_MAX).parse(flags.lines);
  if (!lines.ok) throw wrongLines(flags.lines);
  const machine = machineFor(flags, surroundings);
  checkExists(name, machine);
  const { systemd } = machine;
  const program = systemd.find("journalctl");
  if (program === null) {
    const why = "there is no journalctl on the PATH";
    throw systemdUnavailable(`Cannot read the log of ${name}`, why);
  }
  const follow = flags.follow === true ? ["--follow"] : [];
  const isWatched = surroundings.columns.out !== null;
  const child = Bun.spawn(
    [program, "-u", unitOf(name), "-n", flags.lines, "-o", "cat", "--no-pager", ...follow],
    {
      env: { ...systemd.environment },
      stdin: "ignore",
      stdout: isWatched ? "pipe" : "inherit",
      stderr: "inherit",
    },
  );
  const signals = listenForSignals();
  // Otherwise it would follow the journal for ever.
  void signals.toldToStop.then(() => child.kill());
  if (child.stdout !== undefined) await showLines(child.stdout, surroundings);
  const status = await child.exited;
  signals.end();
  return status === 0 || child.signalCode !== null ? 0 : EXIT_FAILURE;
}

function wrongLines(text: string): InstanceFailure {
  return new InstanceFailure(
    {
      what: `--lines must be ${wholeNumber(0, LINES_MAX).allowed}`,
      why: `it is ${JSON.stringify(text)}`,
      next: "",
    },
    EXIT_USAGE,
  );
}

async function showLines(
  output: ReadableStream<Uint8Array>,
  surroundings: Surroundings,
): Promise<void> {
  const format = createTerminalFormat({
    columns: () => surroundings.columns.out || 80,
    colorDepth: hasColors(surroundings) ? COLOR_DEPTH.sixteen : COLOR_DEPTH.none,
  });
  const decoder = new TextDecoder();
  let rest = "";
  for await (const piece of output) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    surroundings.writeOut(lines.map((line) => shown(line, format)).join(""));
  }
  if (rest !== "") surroundings.writeOut(shown(rest, format));
}

/** systemd itself says things in between. */
function shown(line: string, format: ReturnType<typeof createTerminalFormat>): string {
  try {
    // A line of the program's log: an object with these three and the line's own fields.
    const { level, time, msg, ...fields } = JSON.parse(line) as Record<string, unknown>;
    const timeMs = Date.parse(String(time));
    if (typeof msg === "string" && !Number.isNaN(timeMs)) {
      return format({
        level: cleanText(String(level)),
        timeMs,
        message: cleanText(msg),
        fields: cleanFields(fields),
      });
    }
  } catch {
    // Not JSON: shown as it is.
    return `${cleanText(line)}\n`;
  }
  return `${cleanText(line)}\n`;
}
