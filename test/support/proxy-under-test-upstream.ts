/** The app behind the proxy under test: one for a whole test file, scripted anew for each test. */

import { readSent, type SentRequest } from "./proxy-under-test-reading.ts";
import { type RawConnection, startRawUpstream } from "./raw-upstream.ts";
import { until } from "./until.ts";

/** What is done with each piece that arrives. */
export type Script = (connection: RawConnection, piece: string) => void;

export interface UpstreamUnderTest extends Disposable {
  readonly port: number;
  /** Its address as a `Host` header names it. */
  readonly host: string;
  readonly origin: string;
  /** Connections of this test, oldest first. */
  readonly connections: readonly RawConnection[];
  /** Complete requests of this test, by connection. */
  readonly requests: readonly SentRequest[];
  /** What of this test's requests could be read in two ways. */
  readonly ambiguities: readonly string[];
  /** Does nothing by itself from now on, but for this. */
  script(script: Script): void;
  /** Answers every complete request; `null`: not this one. */
  answer(
    answer: string | ((request: SentRequest, connection: RawConnection) => string | null),
  ): void;
  /** Waits until the connection of this test with this number, from 0, has received `text`. */
  received(text: string, index?: number): Promise<RawConnection>;
  /** Waits for the complete request with this number, from 0. */
  request(index?: number): Promise<SentRequest>;
  /** Forgets everything, and ends all connections so that the proxy knows. */
  beginTest(): Promise<void>;
}

/** An answer of 200 with this body. */
export function ok(body = "ok", ...lines: readonly string[]): string {
  const head = ["HTTP/1.1 200 OK", ...lines, `Content-Length: ${body.length}`];
  return `${head.join("\r\n")}\r\n\r\n${body}`;
}

/** How long the proxy may take to notice that an idle connection has ended. */
const NOTICE_MS = 300;

/** @param port 0: any free one */
export async function startUpstreamUnderTest(port: number): Promise<UpstreamUnderTest> {
  const state: { script: Script; mark: number } = { script: answering(ok()), mark: 0 };
  const raw = await startRawUpstream((connection, piece) => state.script(connection, piece), port);
  const url = new URL(raw.origin);
  const connections = () => raw.connections.slice(state.mark);
  const read = () => connections().map((connection) => readSent(connection.received));
  const requests = () => read().flatMap((sent) => sent.requests);
  return {
    port: Number(url.port),
    host: url.host,
    origin: raw.origin,
    get connections() {
      return connections();
    },
    get requests() {
      return requests();
    },
    get ambiguities() {
      return read().flatMap(({ ambiguity }) => ambiguity ?? []);
    },
    script(script) {
      state.script = script;
    },
    answer(answer) {
      state.script = answering(answer);
    },
    async received(text, index = 0) {
      await until(() => connections()[index]?.received.includes(text) === true);
      return connections()[index]!;
    },
    async request(index = 0) {
      await until(() => requests().length > index);
      return requests()[index]!;
    },
    async beginTest() {
      state.script = answering(ok());
      await endAll(raw.connections);
      state.mark = raw.connections.length;
    },
    [Symbol.dispose]: () => raw[Symbol.dispose](),
  };
}

/** Ends politely, and waits for the other side to do the same: it has then noticed. */
async function endAll(connections: readonly RawConnection[]): Promise<void> {
  const open = connections.filter(({ isClosed }) => !isClosed);
  for (const connection of open) connection.end();
  const begunMs = performance.now();
  await until(
    () => open.every(({ isClosed }) => isClosed) || performance.now() - begunMs > NOTICE_MS,
  );
  for (const { socket, isClosed } of open) if (!isClosed) socket.destroy();
}

function answering(answer: Parameters<UpstreamUnderTest["answer"]>[0]): Script {
  const answered = new Map<RawConnection, number>();
  return (connection) => {
    const { requests, ambiguity } = readSent(connection.received);
    const from = answered.get(connection) ?? 0;
    answered.set(connection, requests.length);
    for (const request of requests.slice(from)) {
      const reply = typeof answer === "string" ? answer : answer(request, connection);
      if (reply !== null) connection.write(reply);
    }
    // Nobody can tell what was asked: the test that looks will fail, and need not wait for it.
    if (ambiguity !== null) connection.end();
  };
}
