/** An app that says which path it was asked for and which headers it got, at `/slow` after a while. */

const SLOW_MS = 1500;

Bun.serve({
  port: Number(process.env.PORT),
  hostname: "127.0.0.1",
  async fetch({ headers, url }) {
    const { pathname } = new URL(url);
    if (pathname === "/slow") await Bun.sleep(SLOW_MS);
    return Response.json({ path: pathname, ...headers.toJSON() });
  },
});
