/** Certificates for an engine's clients, and a client that speaks TLS and shows what came. */

import { connect as connectTcp, type Socket } from "node:net";
import { connect, type TLSSocket } from "node:tls";
import type { Certificate, CertificateSource } from "../../src/certificate.ts";
import { CERTIFICATE, PRIVATE_KEY } from "./certificate.ts";
import { LOCALHOST_CERTIFICATE, LOCALHOST_KEY } from "./private-ca.ts";
import { until } from "./until.ts";

/** Signs itself. */
export const FIRST: Certificate = { cert: CERTIFICATE, key: PRIVATE_KEY };
/** Vouched for by `PRIVATE_CA`. */
export const SECOND: Certificate = { cert: LOCALHOST_CERTIFICATE, key: LOCALHOST_KEY };

/** A source without files. */
export interface TestCertificates extends CertificateSource {
  change(to: Certificate): void;
}

export function testCertificates(first: Certificate = FIRST): TestCertificates {
  const callbacks = new Set<() => void>();
  let current = first;
  return {
    current: () => current,
    onChange(callback) {
      callbacks.add(callback);
      return () => callbacks.delete(callback);
    },
    change(to) {
      current = to;
      for (const callback of callbacks) callback();
    },
  };
}

export interface TlsClient extends Disposable {
  readonly socket: TLSSocket;
  /** What TLS runs on. */
  readonly tcp: Socket;
  /** Latin-1. */
  readonly received: string;
  /** The other side has said that it sends no more. */
  readonly hasEnded: boolean;
  readonly isClosed: boolean;
  readonly errors: readonly string[];
  send(bytes: string | Uint8Array): void;
  until(condition: () => boolean): Promise<void>;
}

/**
 * Trusts anybody.
 * @param options.allowHalfOpen ends its side only when told to
 */
export async function connectTls(
  port: number,
  { allowHalfOpen = false }: { readonly allowHalfOpen?: boolean } = {},
): Promise<TlsClient> {
  const tcp = connectTcp({ port, host: "127.0.0.1", noDelay: true, allowHalfOpen });
  // The types know `allowHalfOpen` for TCP only, the runtime for both; hence a variable.
  const how = { socket: tcp, rejectUnauthorized: false, servername: "localhost", allowHalfOpen };
  const socket = connect(how);
  const state = { text: "", hasEnded: false, isClosed: false };
  const errors: string[] = [];
  socket.on("data", (data: Buffer) => {
    state.text += data.toString("latin1");
  });
  socket.on("end", () => {
    state.hasEnded = true;
  });
  socket.on("close", () => {
    state.isClosed = true;
  });
  const isSecure = Promise.withResolvers<void>();
  socket.once("secureConnect", isSecure.resolve);
  socket.on("error", (error) => {
    errors.push(error.message);
    isSecure.reject(error);
  });
  await isSecure.promise;
  return {
    socket,
    tcp,
    errors,
    get received() {
      return state.text;
    },
    get hasEnded() {
      return state.hasEnded;
    },
    get isClosed() {
      return state.isClosed;
    },
    send: (bytes) =>
      void socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes),
    until: (condition) => until(condition),
    [Symbol.dispose]() {
      socket.destroy();
      tcp.destroy();
    },
  };
}

/** The fingerprint of the certificate that new connections are shown. */
export async function shownCertificate(port: number): Promise<string> {
  using client = await connectTls(port);
  return client.socket.getPeerX509Certificate()?.fingerprint256 ?? "none";
}
