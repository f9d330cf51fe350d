/** What the fake Render's router does with a request, and its pages. */

import type { FakeAnswer } from "./fake-answer.ts";
import type { Service, World } from "./fake-render-model.ts";
import type { Routing } from "./fake-router.ts";

/**
 * How the router's own pages look. `marked`: with `x-render-routing`, as many people have seen; no document tells of
 * it, so `bare`: without. `ok`: with status 200 besides, as Render's own report of an outage says was once served.
 */
export type DownPages = "marked" | "bare" | "ok";

/** What a request for this service leads to. */
export function routingOf(world: World, service: Service, pages: DownPages): Routing {
  const { suspenders, isShownSuspended } = service;
  const isLagging = world.clock.now() < service.routerLagsUntilMs;
  if (isShownSuspended || isLagging) {
    const isByUser = isLagging || (suspenders.size === 1 && suspenders.has("user"));
    return { kind: "page", answer: downPage(isByUser ? "suspend-by-user" : "suspend", pages) };
  }
  if (service.spin !== "up") {
    spinUp(world, service);
    const onTimeout = downPage("hibernate-wake-error", pages);
    return { kind: "queue", timeoutMs: 60_000, onTimeout };
  }
  if (!service.isServing) return { kind: "page", answer: errorPage(pages) };
  if (service.isMaintained) {
    return { kind: "page", answer: { status: 503, body: "Back soon" } };
  }
  return { kind: "app", name: service.name, instances: service.numInstances };
}

function spinUp(world: World, service: Service): void {
  if (service.spin !== "down") return;
  service.spin = "rising";
  world.later(world.spinUpMs, () => {
    service.spin = "up";
    world.changed();
  });
}

/** What stands where a service should answer. */
export function downPage(word: string, pages: DownPages): FakeAnswer {
  const mark = pages === "bare" || pages === "ok" ? {} : { "x-render-routing": word };
  return {
    status: pages === "ok" ? 200 : 503,
    headers: { "content-type": "text/html; charset=utf-8", server: "cloudflare", ...mark },
    body: `<!DOCTYPE html>
<html>
<head><title>Service Suspended</title></head>
<body>This service has been suspended by its owner.</body>
</html>
`,
  };
}

function errorPage(pages: DownPages): FakeAnswer {
  const mark = pages === "marked" ? { "x-render-routing": "dynamic-paid-error" } : {};
  return {
    status: 502,
    headers: { "content-type": "text/html; charset=utf-8", server: "cloudflare", ...mark },
    body: "<!DOCTYPE html><title>502</title><h1>Bad Gateway</h1>",
  };
}

/** 404 for a name that leads to nothing. */
export function noServerPage(): FakeAnswer {
  return {
    status: 404,
    headers: { "x-render-routing": "no-server", server: "cloudflare" },
    body: "Not Found\n",
  };
}
