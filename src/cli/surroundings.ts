/** What a verb may touch of the process it runs in. */

import { messageOf, PaastisError } from "../errors.ts";
import type { Environment } from "../load-config.ts";
import { type ConnectedProcess, type Predecessor, predecessorOf } from "../restart/predecessor.ts";
import type { Image } from "../restart/successor.ts";
import { codeOf } from "../text-file.ts";
import { fold } from "./fold.ts";
import { imageOf } from "./reexec.ts";

/** Handed in, so that verbs can be run in a test. */
export interface Surroundings {
  readonly environment: Environment;
  /** Absolute. @throws PaastisError `config_invalid` when it is there no more */
  readonly workingDirectory: string;
  /** For texts that programs read: as they are. */
  readonly writeOut: (text: string) => void;
  readonly writeErr: (text: string) => void;
  /** Width of the terminal that shows each; `null`: it goes elsewhere. */
  readonly columns: { readonly out: number | null; readonly err: number | null };
  /** How this program is started again, and whose place it takes. Left out: that is nobody's business. */
  readonly own?: { readonly image: Image; readonly predecessor: Predecessor | null };
}

/** Writes a text for people. */
export function tell({ writeOut, columns }: Surroundings, text: string): void {
  writeOut(fold(text, columns.out));
}

/** The same for what is wrong. */
export function complain({ writeErr, columns }: Surroundings, text: string): void {
  writeErr(fold(text, columns.err));
}

/** The part of a stream that is used here. */
interface Output {
  readonly columns?: number | undefined;
  write(text: string, done: (error?: Error | null) => void): boolean;
  on(event: "error", listener: (error: Error) => void): unknown;
}

/** The part of `process` that is used here. */
export interface OwnProcess extends ConnectedProcess {
  readonly pid: number;
  readonly argv: readonly string[];
  readonly execArgv: readonly string[];
  readonly execPath: string;
  readonly env: Environment;
  readonly stdout: Output;
  readonly stderr: Output;
  cwd(): string;
}

/** Those of a process. */
export interface ProcessSurroundings extends Surroundings {
  /** Waits until everything is written. @returns the exit status: 1 instead of 0 when that could not be */
  readonly finish: (status: number) => Promise<number>;
}

/** Nothing is touched yet. */
export function surroundingsOf(self: OwnProcess): ProcessSurroundings {
  // At once: later the executable may have another name.
  const image = imageOf(self);
  const predecessor = predecessorOf(self);
  const pending: Promise<string | null>[] = [];
  const heard = new Set<Output>();
  const writeTo = (stream: Output, text: string) => {
    // The callback gets it too; without anybody who listens, it would end the program with a stack.
    if (!heard.has(stream)) stream.on("error", () => undefined);
    heard.add(stream);
    pending.push(write(stream, text));
  };
  return {
    environment: self.env,
    own: { image, predecessor },
    get workingDirectory() {
      return workingDirectoryOf(self);
    },
    writeOut: (text) => writeTo(self.stdout, text),
    writeErr: (text) => writeTo(self.stderr, text),
    get columns() {
      return { out: self.stdout.columns ?? null, err: self.stderr.columns ?? null };
    },
    async finish(status) {
      const [why] = (await Promise.all(pending)).filter((failure) => failure !== null);
      if (why === undefined) return status;
      await write(self.stderr, `Cannot write all there is to say: ${why}\n`);
      return status === 0 ? 1 : status;
    },
  };
}

/** Why it could not be written; `null` when it was. */
function write(stream: Output, text: string): Promise<string | null> {
  const { promise, resolve } = Promise.withResolvers<string | null>();
  stream.write(text, (error) => {
    // Whoever reads may have had enough of it, as `head` has.
    const isLeft = error !== null && error !== undefined && codeOf(error) === "EPIPE";
    resolve(error === null || error === undefined || isLeft ? null : messageOf(error));
  });
  return promise;
}

function workingDirectoryOf(self: OwnProcess): string {
  try {
    return self.cwd();
  } catch (error) {
    throw new PaastisError(
      "config_invalid",
      {
        what: "Cannot look for paastis.yml and .env",
        why: "the working directory was removed or renamed",
        next: "Change to a folder that exists, then try again",
      },
      error,
    );
  }
}
