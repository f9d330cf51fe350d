/** Keeps lines that nobody reads from filling memory: drops what comes while too much of it waits. */

/** What lines are written to. `process.stdout` fits. */
export interface LineSink {
  /**
   * @param written called once the text is out, or can never be
   * @returns `false` when the text has to wait until somebody reads; only then `written` is counted on
   */
  write(text: string, written?: () => void): unknown;
}

/** Waiting bytes above which lines are dropped; the text of a line and what the runtime needs to keep it. */
const WAITING_BYTES_MAX = 8 * 1024 * 1024;
/** Waiting bytes at which lines are taken again: far below the limit, so that this is said seldom. */
const ROOM_BYTES = WAITING_BYTES_MAX / 2;
/**
 * What a line that waits costs besides its text. Measured in Bun 1.4.5, resident memory for each line that waits:
 * 500 to 800 bytes for lines of 100, 2,300 for lines of 1,000.
 */
const LINE_COST_BYTES = 700;

/**
 * A function that writes lines to `sink`, or drops them while more than about 8 MiB wait to be read.
 *
 * Counts for itself what waits: in Bun 1.4.5 `writableLength` of `process.stdout` is always 0 and `drain` does not
 * tell how much is left, but `write` returns `false` when a pipe is full and calls back when the text is out
 * (measured with a pipe, a file, and a pipe whose reader has gone).
 * @param onRoom called once there is room again, with the number of lines that were dropped
 */
export function createBacklog(
  sink: LineSink,
  onRoom: (dropped: number) => void,
): (line: string) => void {
  let waitingBytes = 0;
  let dropped = 0;
  function release(bytes: number): void {
    waitingBytes -= bytes;
    if (dropped === 0 || waitingBytes > ROOM_BYTES) return;
    const count = dropped;
    dropped = 0;
    onRoom(count);
  }
  return (line) => {
    if (dropped > 0 || waitingBytes > WAITING_BYTES_MAX) {
      dropped += 1;
      return;
    }
    const bytes = Buffer.byteLength(line) + LINE_COST_BYTES;
    let isCounted = true;
    const settle = () => {
      if (isCounted) release(bytes);
      isCounted = false;
    };
    waitingBytes += bytes;
    if (sink.write(line, settle) !== false) settle();
  };
}
