/** A registry of packages that has one of ours, not published yet, and everything else from the usual one. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import { runCommand } from "./run-command.ts";

export interface PackageRegistry extends Disposable {
  readonly url: string;
}

/** @param archive what `npm pack` has made. @param manifest its `package.json` */
export async function startPackageRegistry(
  archive: string,
  manifest: { readonly name: string; readonly version: string },
): Promise<PackageRegistry> {
  const { stdout } = await runCommand(["npm", "config", "get", "registry"]);
  const usual = stdout.trim().split("\n").at(-1)?.replace(/\/$/, "") ?? "";
  const bytes = readFileSync(archive);
  const integrity = `sha512-${createHash("sha512").update(bytes).digest("base64")}`;
  const server: Bun.Server<undefined> = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    idleTimeout: 120,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      if (pathname.endsWith(".tgz") && pathname.includes(manifest.name)) return new Response(bytes);
      if (pathname !== `/${manifest.name}`) {
        const headers = new Headers(request.headers);
        headers.delete("host");
        const answer = await fetch(`${usual}${pathname}`, { headers });
        const { status } = answer;
        const type = answer.headers.get("content-type") ?? "application/octet-stream";
        return new Response(answer.body, { status, headers: { "content-type": type } });
      }
      const { version } = manifest;
      const tarball = `${server.url.origin}/${manifest.name}/-/${basename(archive)}`;
      return Response.json({
        name: manifest.name,
        "dist-tags": { latest: version },
        versions: { [version]: { ...manifest, dist: { tarball, integrity } } },
      });
    },
  });
  return { url: server.url.origin, [Symbol.dispose]: () => void server.stop(true) };
}
