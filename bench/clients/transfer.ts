/** One large body through a proxy, in either direction. */

import { HOST } from "../contenders/contender.ts";
import { connectHttp, requestOf } from "./http-client.ts";
import { connectRaw } from "./raw-client.ts";

/** How much is handed to the system at a time, bytes. */
const PIECE_BYTES = 1_048_576;

/** Asks for a large file, and reads it to the end. @throws Error when it is not as long as it should be */
export async function download(port: number, path: string, bytes: number): Promise<void> {
  const client = await connectHttp(port);
  try {
    const { status, bodyBytes } = await client.ask(requestOf(path, HOST));
    // In chunks it is longer by their sizes; a hundredth of it would be far too much.
    if (status !== 200 || bodyBytes < bytes || bodyBytes > bytes * 1.01) {
      throw new Error(`${path}: ${status} with ${bodyBytes} bytes instead of ${bytes}`);
    }
  } finally {
    client.close();
  }
}

/** Sends a large body; the answer must be its length. @throws Error when it is not */
export async function upload(port: number, path: string, bytes: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let answer = "";
  const client = await connectRaw(port, {
    onBytes(part) {
      answer += part.toString("latin1");
      if (answer.includes(`\r\n\r\n`) && answer.includes(String(bytes))) resolve(answer);
      else if (!answer.startsWith("HTTP/1.1 200")) reject(new Error(answer));
    },
    onOver: () => reject(new Error(`${path}: it ended with: ${answer}`)),
  });
  const head = [`POST ${path} HTTP/1.1`, `Host: ${HOST}`, `Content-Length: ${bytes}`, "", ""];
  client.send(Buffer.from(head.join("\r\n")));
  const piece = Buffer.alloc(PIECE_BYTES, "u");
  for (let sent = 0; sent < bytes && !client.isOver; sent += piece.length) {
    client.send(piece.subarray(0, Math.min(piece.length, bytes - sent)));
    await client.flushed();
  }
  await promise;
  client.close();
}
