/** Reads a certificate and its key from their files, and says what is wrong with them. */

import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { messageOf } from "./errors.ts";
import { readCertificates } from "./pem-certificates.ts";
import { readTextFile } from "./text-file.ts";

/** Where they are; absolute. May be the same file. */
export interface CertificateFiles {
  /** PEM: the certificate first, then those between it and its root. */
  readonly certFile: string;
  /** PEM, without a passphrase. */
  readonly keyFile: string;
}

/** A certificate that fits its key, or why there is none: what follows "because". Never holds the key. */
export type PairReading =
  | {
      readonly kind: "pair";
      /** PEM, the certificates alone. */
      readonly cert: string;
      /** PEM, the key alone. */
      readonly key: string;
      /** Whom it is for: host names and addresses; the subject where it names none. */
      readonly names: string;
      /** ms since the epoch. */
      readonly validFromMs: number;
      readonly validUntilMs: number;
    }
  | { readonly kind: "unusable"; readonly why: string };

const KEY_BLOCK = /-----BEGIN ((?:[A-Z]+ )*PRIVATE KEY)-----(?:[^-]|-(?!----))*-----END \1-----/;

/** Never throws. Whether the certificate has expired is left to the caller. */
export function readPair({ certFile, keyFile }: CertificateFiles): PairReading {
  const certText = readTextFile(certFile);
  if ("why" in certText) return unusable(`${certFile} ${certText.why}`);
  const reading = readCertificates(certText.text);
  if (reading.kind === "none") return unusable(`${certFile} has no certificate in PEM form`);
  if (reading.kind === "broken") {
    return unusable(`certificate ${reading.number} in ${certFile} cannot be read: ${reading.why}`);
  }
  const key = readKey(keyFile);
  if ("why" in key) return unusable(`${keyFile} ${key.why}`);
  const chain = chainOf(reading.pem);
  const [first] = chain;
  if (first === undefined || !first.checkPrivateKey(key.object)) {
    return unusable(mismatch({ certFile, keyFile }, chain, key.object));
  }
  const refusal = refusalOf(reading.pem, key.pem);
  if (refusal !== null) return unusable(`${certFile} and ${keyFile} cannot be used: ${refusal}`);
  return {
    kind: "pair",
    cert: reading.pem,
    key: key.pem,
    names: namesOf(first),
    validFromMs: Date.parse(first.validFrom),
    validUntilMs: Date.parse(first.validTo),
  };
}

function unusable(why: string): PairReading {
  return { kind: "unusable", why };
}

/** `why` goes on after the file's name. */
function readKey(
  file: string,
): { readonly pem: string; readonly object: KeyObject } | { readonly why: string } {
  const reading = readTextFile(file);
  if ("why" in reading) return reading;
  const block = KEY_BLOCK.exec(reading.text);
  if (block === null) return { why: "has no private key in PEM form" };
  const [pem, label = ""] = block;
  if (label.startsWith("ENCRYPTED") || pem.includes("ENCRYPTED")) {
    return { why: "is locked by a passphrase: a key without one is needed" };
  }
  try {
    return { pem: `${pem}\n`, object: createPrivateKey(pem) };
  } catch {
    // What it says names the library's own parts, and may one day quote what it read.
    return { why: "has a private key that cannot be read" };
  }
}

/** Split anew: the texts were found good before. */
function chainOf(pem: string): readonly X509Certificate[] {
  const END = "-----END CERTIFICATE-----";
  const blocks = pem.split(END).filter((block) => block.trim() !== "");
  return blocks.map((block) => new X509Certificate(`${block}${END}`));
}

function mismatch(
  { certFile, keyFile }: CertificateFiles,
  chain: readonly X509Certificate[],
  key: KeyObject,
): string {
  const place = chain.findIndex((certificate) => certificate.checkPrivateKey(key));
  if (place === -1)
    return `the key in ${keyFile} does not belong to the certificate in ${certFile}`;
  return (
    `the key in ${keyFile} belongs to certificate ${place + 1} in ${certFile}: ` +
    "that one must stand first"
  );
}

/** What the runtime has against them, such as a key that is too short. */
function refusalOf(cert: string, key: string): string | null {
  try {
    createSecureContext({ cert, key });
    return null;
  } catch (error) {
    return messageOf(error);
  }
}

function namesOf(certificate: X509Certificate): string {
  const names = certificate.subjectAltName ?? certificate.subject.replaceAll("\n", ", ");
  return names.replaceAll(/(?:DNS|IP Address):/g, "");
}
