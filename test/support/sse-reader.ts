/** Reads server-sent events from an answer, one at a time. */

/** One event. */
export interface SentEvent {
  readonly id: string | null;
  readonly name: string | null;
  // biome-ignore lint/suspicious/noExplicitAny: each test says what it expects in it.
  readonly data: any;
}

export interface SentEvents {
  /** The next one; `null`: the stream has ended. Comments, and what only says when to come back, are passed over. */
  next(): Promise<SentEvent | null>;
  /** The client leaves. */
  leave(): Promise<void>;
}

export function readSentEvents(answer: Response): SentEvents {
  const reader = answer.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (reader === undefined) throw new Error("the answer has no body");
  let pending = "";
  async function next(): Promise<SentEvent | null> {
    for (;;) {
      const end = pending.indexOf("\n\n");
      if (end !== -1) {
        const block = pending.slice(0, end);
        pending = pending.slice(end + 2);
        if (block.startsWith("retry:") || block.startsWith(":")) continue;
        return parse(block);
      }
      const { done, value } = await (reader as ReadableStreamDefaultReader<string>).read();
      if (done) return null;
      pending += value;
    }
  }
  return { next, leave: () => reader.cancel() };
}

function parse(block: string): SentEvent {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(block)?.[1] ?? null;
  const data = field("data");
  return { id: field("id"), name: field("event"), data: data === null ? null : JSON.parse(data) };
}
