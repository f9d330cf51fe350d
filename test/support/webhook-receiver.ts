/** A receiver of webhooks that keeps what it is sent, and answers as it is told. */

/** One request. */
export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  /** As it came. */
  readonly body: string;
}

export interface WebhookReceiver extends Disposable {
  readonly url: string;
  readonly port: number;
  readonly received: readonly Received[];
  /** What the events' `app` was, in the order they came. */
  apps(): readonly string[];
  /** How many were under way at a time, at most. */
  busiest(): number;
}

/**
 * Listens on a free port.
 * @param answer by what came; 204 without it
 * @param port one that must be free
 */
export function startWebhookReceiver(
  answer: (received: Received, count: number) => Response | Promise<Response> = () =>
    new Response(null, { status: 204 }),
  port = 0,
): WebhookReceiver {
  const received: Received[] = [];
  let underWay = 0;
  let busiest = 0;
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port,
    idleTimeout: 0,
    async fetch(request) {
      underWay += 1;
      busiest = Math.max(busiest, underWay);
      const { method, headers, url } = request;
      const one = { method, headers, path: new URL(url).pathname, body: await request.text() };
      received.push(one);
      const response = await answer(one, received.length);
      underWay -= 1;
      return response;
    },
  });
  return {
    url: `http://127.0.0.1:${server.port}/hook`,
    port: server.port ?? 0,
    received,
    apps: () => received.map(({ body }) => String(JSON.parse(body).app)),
    busiest: () => busiest,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

/** What a receiver does to trust a delivery, by other means than the sender's. */
export async function isSignedWith(secret: string, { body, headers }: Received): Promise<boolean> {
  const signature = headers.get("paastis-signature") ?? "";
  const [, time, mac] = /^t=(\d+),v1=([0-9a-f]{64})$/.exec(signature) ?? [];
  if (time === undefined || mac === undefined) return false;
  const bytes = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", bytes.encode(secret), algorithm, false, [
    "verify",
  ]);
  const signed = bytes.encode(`${time}.${body}`);
  return await crypto.subtle.verify("HMAC", key, Buffer.from(mac, "hex"), signed);
}
