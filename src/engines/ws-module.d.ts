/** What we use of the `ws` module that is built into Bun; it brings no types of its own. */
declare module "ws" {
  import type { IncomingMessage } from "node:http";

  export interface ClientOptions {
    /** Whether the certificate of a `wss:` server must be good. */
    readonly rejectUnauthorized?: boolean;
    /** PEM: the certificates that vouch for it, in place of the system's. */
    readonly ca?: readonly string[];
    readonly headers: Readonly<Record<string, string>>;
    readonly perMessageDeflate: false;
    readonly followRedirects: false;
    /** Longest message that may arrive, in bytes. */
    readonly maxPayload: number;
  }

  export class WebSocket {
    constructor(url: string, protocols: readonly string[], options: ClientOptions);
    /** Bytes that `send` took and the socket has not. */
    readonly bufferedAmount: number;
    /** The chosen subprotocol; empty when none. */
    readonly protocol: string;
    /** 0 connecting, 1 open, 2 closing, 3 closed. */
    readonly readyState: number;
    send(data: string | Uint8Array, sent: (error?: Error) => void): void;
    ping(data: Uint8Array): void;
    close(code?: number, reason?: string): void;
    terminate(): void;
    pause(): void;
    resume(): void;
    on(event: "upgrade", listener: (answer: IncomingMessage) => void): this;
    on(event: "open", listener: () => void): this;
    on(
      event: "unexpected-response",
      listener: (request: unknown, answer: IncomingMessage) => void,
    ): this;
    on(event: "message", listener: (data: Buffer, isBinary: boolean) => void): this;
    on(event: "ping", listener: (data: Buffer) => void): this;
    on(event: "close", listener: (code: number, reason: Buffer) => void): this;
    on(event: "error", listener: (error: Error) => void): this;
  }
}
