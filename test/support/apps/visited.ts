/** A small web page that counts who loads it. `READY_AFTER_MS`: how long it takes to listen. */

let visits = 0;

function answer(request: Request): Response {
  // Paastis looks whether somebody answers, too.
  if (request.headers.get("accept")?.includes("text/html") === true) visits += 1;
  const head = `<meta charset="utf-8"><title>the app</title><link rel="icon" href="data:,">`;
  return new Response(`<!doctype html><html lang="en">${head}<p id="visits">${visits}</p>`, {
    headers: { "content-type": "text/html" },
  });
}

const listen = () =>
  Bun.serve({ hostname: "127.0.0.1", port: Number(process.env.PORT), fetch: answer });

void Bun.sleep(Number(process.env.READY_AFTER_MS ?? 0)).then(listen);
