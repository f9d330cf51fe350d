/** The certificate that clients are shown: read from its files, and read again when they change. */

import { type CertificateFiles, type PairReading, readPair } from "./certificate-files.ts";
import type { CancelTimer, Clock } from "./clock.ts";
import { watchConfigFile } from "./config-watch.ts";
import { messageOf, PaastisError } from "./errors.ts";
import type { Log } from "./log.ts";

/** A certificate and its key, as the runtime takes them. */
export interface Certificate {
  /** PEM: the certificate, then those between it and its root. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
}

/** Where new connections get theirs from. */
export interface CertificateSource {
  /** The one to show now. */
  current(): Certificate;
  /** Calls back after each change, until the returned function is called. */
  onChange(callback: () => void): () => void;
}

/** A source that watches its files. */
export interface WatchedCertificate extends CertificateSource {
  /** Watches no longer. Safe to repeat. */
  end(): void;
}

/** Where the files are, and what is needed to watch them. */
export interface CertificateOptions extends CertificateFiles {
  readonly clock: Clock;
  readonly log: Log;
}

/** The two files are replaced one after the other: so long a pair may be unusable before it is told, ms. */
const PATIENCE_MS = 10_000;

const DAY_MS = 24 * 60 * 60 * 1000;

/** From so long before its end on a certificate is warned about, once a day, ms. */
const SOON_MS = 7 * DAY_MS;

type Pair = Extract<PairReading, { readonly kind: "pair" }>;

interface Watching extends CertificateOptions {
  pair: Pair;
  readonly callbacks: Set<() => void>;
  /** Set while what the files hold cannot be used, until that has been told. */
  cancelPatience: CancelTimer | null;
  cancelDay: CancelTimer;
}

/**
 * Reads both files, and goes on watching them: a new pair that can be used is shown from then on, any other leaves
 * the old one in use.
 * @throws PaastisError `certificate_invalid`
 */
export function openCertificates(options: CertificateOptions): WatchedCertificate {
  const pair = readPair(options);
  if (pair.kind === "unusable") throw certificateInvalid(pair.why);
  const watching: Watching = {
    ...options,
    pair,
    callbacks: new Set(),
    cancelPatience: null,
    cancelDay: () => undefined,
  };
  watchDates(watching);
  const { clock, log } = options;
  const ends = [...new Set([options.certFile, options.keyFile])].map((file) =>
    watchConfigFile({ file, clock, log, onChange: () => lookAgain(watching) }),
  );
  return {
    current: () => watching.pair,
    onChange(callback) {
      watching.callbacks.add(callback);
      return () => watching.callbacks.delete(callback);
    },
    end() {
      for (const end of ends) end();
      watching.cancelPatience?.();
      watching.cancelDay();
      watching.callbacks.clear();
    },
  };
}

function certificateInvalid(why: string): PaastisError {
  return new PaastisError("certificate_invalid", {
    what: "Cannot speak TLS with clients",
    why,
    next: "Set TLS_CERT to a PEM file with the certificate first, and TLS_KEY to one with its key",
  });
}

function lookAgain(watching: Watching): void {
  watching.cancelPatience?.();
  watching.cancelPatience = null;
  if (tryPair(watching) === null) return;
  watching.cancelPatience = watching.clock.after(PATIENCE_MS, () => {
    watching.cancelPatience = null;
    // Whatever a file system did not report may have put it right.
    const reason = tryPair(watching);
    if (reason === null) return;
    const { certFile, log } = watching;
    log.warn(
      { file: certFile, reason },
      "the new TLS certificate cannot be used: the old one stays",
    );
  });
}

/** Takes over what the files hold; or why that cannot be used. */
function tryPair(watching: Watching): string | null {
  const pair = readPair(watching);
  if (pair.kind === "unusable") return pair.why;
  takeOver(watching, pair);
  return null;
}

function takeOver(watching: Watching, pair: Pair): void {
  const { certFile, log } = watching;
  if (pair.cert === watching.pair.cert && pair.key === watching.pair.key) return;
  watching.pair = pair;
  const fields = { file: certFile, names: pair.names, until: dateOf(pair.validUntilMs) };
  log.info(fields, "a new TLS certificate is in use");
  watchDates(watching);
  for (const callback of watching.callbacks) {
    try {
      callback();
    } catch (error) {
      log.error({ reason: messageOf(error) }, "a new TLS certificate was not taken over");
    }
  }
}

/** Says now, and once a day, when the certificate is not good any more, or soon. */
function watchDates(watching: Watching): void {
  watching.cancelDay();
  watching.cancelDay = watching.clock.after(DAY_MS, () => watchDates(watching));
  const { certFile, clock, log, pair } = watching;
  const fields = { file: certFile, names: pair.names };
  const nowMs = clock.wallMs();
  const until = dateOf(pair.validUntilMs);
  if (nowMs >= pair.validUntilMs) {
    log.warn(
      { ...fields, until },
      `the TLS certificate has expired on ${until}: clients refuse it`,
    );
  } else if (nowMs >= pair.validUntilMs - SOON_MS) {
    log.warn({ ...fields, until }, `the TLS certificate expires soon, on ${until}`);
  } else if (nowMs < pair.validFromMs) {
    const from = dateOf(pair.validFromMs);
    log.warn({ ...fields, from }, `the TLS certificate is not valid before ${from}`);
  }
}

function dateOf(ms: number): string {
  return new Date(ms).toISOString();
}
