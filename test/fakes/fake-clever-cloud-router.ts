/**
 * The fake Clever Cloud's public router: the kit's, and a gate before it where TLS or odd bytes are
 * wanted.
 */

import type { Clock } from "../../src/clock.ts";
import { startGate } from "./fake-clever-cloud-gate.ts";
import { downPage, unknownHostPage } from "./fake-clever-cloud-json.ts";
import { type FakeRouter, type Routing, startFakeRouter } from "./fake-router.ts";

export interface CleverRouterOptions {
  readonly clock: Clock;
  /** What the apps speak with the world; with `https` the certificate is one of `ROUTER_CA`. */
  readonly scheme: "http" | "https";
  /** "Not up" has LF line ends, as it had in 2022. */
  readonly hasBareLineFeeds: boolean;
  /** How many instances serve a host; `null`: no app is called like this. */
  readonly instancesOf: (host: string) => { readonly name: string; readonly count: number } | null;
}

export interface CleverRouter extends AsyncDisposable {
  /** The kit's; its own addresses go round the gate. */
  readonly inner: FakeRouter;
  /** The one that vhosts lead to. */
  readonly port: number;
  /** Requests for this host that the platform answered with its own "not up". */
  pages(host: string): number;
  /** Looks again at `instancesOf`. Call it after every change of state. */
  changed(): void;
}

export async function startCleverRouter(options: CleverRouterOptions): Promise<CleverRouter> {
  const routeOf = (host: string): Routing | null => {
    const found = options.instancesOf(host);
    if (found === null) return null;
    const { name, count } = found;
    if (count === 0) return { kind: "page", answer: downPage() };
    return { kind: "app", name, instances: count };
  };
  const inner = startFakeRouter({ clock: options.clock, routeOf, unknownHost: unknownHostPage() });
  const isTls = options.scheme === "https";
  const needsGate = isTls || options.hasBareLineFeeds;
  const gate = needsGate
    ? await startGate({
        routerPort: inner.port,
        isTls,
        bytesFor: (host) =>
          options.hasBareLineFeeds && routeOf(host)?.kind === "page" ? bareDownPage() : null,
      })
    : null;
  return {
    inner,
    port: gate?.port ?? inner.port,
    pages: (host) => inner.pages(host) + (gate?.answered(host) ?? 0),
    changed() {
      inner.changed();
      gate?.changed();
    },
    async [Symbol.asyncDispose]() {
      await gate?.[Symbol.asyncDispose]();
      await inner[Symbol.asyncDispose]();
    },
  };
}

/**
 * Not HTTP/1.1 by the letter: RFC 9112 section 2.2 lets a recipient take a single LF, and
 * `node:http` does not.
 */
function bareDownPage(): string {
  const { status, headers = {}, body } = downPage();
  const text = String(body);
  const head = [
    `HTTP/1.1 ${status} Not Found`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    `Content-Length: ${text.length}`,
    "Connection: close",
  ];
  return `${head.join("\n")}\n\n${text}`;
}
