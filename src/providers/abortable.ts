/** Gives up waiting when a signal says so, in the words of a provider. */

import { messageOf } from "../errors.ts";
import { ProviderError } from "./provider.ts";

/**
 * @param what what was being done, such as `waking shop`
 * @throws ProviderError `failed` when `signal` has been aborted; its `cause` is the signal's reason
 */
export function throwIfAborted(signal: AbortSignal, what: string): void {
  if (signal.aborted) throw givenUp(signal, what);
}

/**
 * Waits for `work`, which goes on by itself when the wait is given up; a rejection of it is then passed over.
 * @throws ProviderError `failed` when `signal` is aborted first; otherwise what `work` rejects with
 */
export async function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal,
  what: string,
): Promise<T> {
  throwIfAborted(signal, what);
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(givenUp(signal, what));
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

function givenUp(signal: AbortSignal, what: string): ProviderError {
  const why = messageOf(signal.reason);
  return new ProviderError("failed", `${what} was given up: ${why}`, { cause: signal.reason });
}
