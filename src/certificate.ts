/** The certificate that clients are shown: read from its files, and read again when they change. */

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
