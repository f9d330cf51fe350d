/** The other end of systemd's notification socket: a unix datagram socket, which Bun has none of. */

import { dlopen, ptr } from "bun:ffi";
import { rmSync } from "node:fs";

/** Listening until the end of its scope. */
export interface NotifySocket extends Disposable {
  /** Everything that was said so far, in order; waiting for the next one is up to the caller. */
  readonly messages: () => readonly string[];
}

const AF_UNIX = 1;
const SOCK_DGRAM_NONBLOCK = 2 | 0o4000 | 0o2000000;

/** @param path absolute, or `@` and the name of an abstract socket */
export function listenForNotify(path: string): NotifySocket {
  const { symbols: c } = dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
    recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i64" },
    close: { args: ["i32"], returns: "i32" },
  });
  const text = path.startsWith("@") ? `\0${path.slice(1)}` : `${path}\0`;
  const address = new Uint8Array([AF_UNIX, 0, ...new TextEncoder().encode(text)]);
  const socket = c.socket(AF_UNIX, SOCK_DGRAM_NONBLOCK, 0);
  rmSync(path, { force: true });
  if (c.bind(socket, ptr(address), address.length) !== 0) throw new Error(`cannot bind ${path}`);
  const heard: string[] = [];
  const buffer = new Uint8Array(4096);
  return {
    messages() {
      for (;;) {
        const bytes = Number(c.recv(socket, ptr(buffer), buffer.length, 0));
        if (bytes <= 0) return [...heard];
        heard.push(new TextDecoder().decode(buffer.subarray(0, bytes)));
      }
    },
    [Symbol.dispose]() {
      c.close(socket);
      rmSync(path, { force: true });
    },
  };
}
