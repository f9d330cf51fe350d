/** Who hears the messages that come on a channel. */

import type { Channel } from "./messages.ts";

/** Those who hear, and how they are told. */
export interface Hearers<Message> {
  readonly onMessage: Channel<never, Message>["onMessage"];
  /** Tells all that are there now. */
  tell(message: Message): void;
}

/** Nobody hears yet. */
export function createHearers<Message>(): Hearers<Message> {
  const heard = new Set<(message: Message) => void>();
  return {
    onMessage(callback) {
      heard.add(callback);
      return () => heard.delete(callback);
    },
    tell(message) {
      for (const callback of [...heard]) callback(message);
    },
  };
}
