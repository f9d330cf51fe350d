/** A server for the tests of real clients, under Node: downloads, uploads, redirects, cookies. */

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { gzipSync } from "node:zlib";
import { madeUpBytes } from "../made-up-bytes.mjs";

const seen = { broken: 0, continued: 0 };

const json = (response, value, headers = {}) => {
  const body = JSON.stringify(value);
  response.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Length": Buffer.byteLength(body),
    ...headers,
  });
  response.end(body);
};

const pages = {
  "/file"(request, response, query) {
    const bytes = madeUpBytes(Number(query.get("bytes")));
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const first = range === null ? 0 : Number(range[1]);
    const last = range?.[2] ? Number(range[2]) : bytes.length - 1;
    response.writeHead(range === null ? 200 : 206, {
      "Accept-Ranges": "bytes",
      "Content-Type": "application/octet-stream",
      "Content-Length": last - first + 1,
      ...(range && { "Content-Range": `bytes ${first}-${last}/${bytes.length}` }),
    });
    response.end(request.method === "HEAD" ? undefined : bytes.subarray(first, last + 1));
  },
  "/stream"(_request, response, query) {
    response.write(madeUpBytes(Number(query.get("bytes"))));
    response.end();
  },
  "/gzip"(request, response, query) {
    const bytes = gzipSync(madeUpBytes(Number(query.get("bytes"))));
    response.writeHead(200, {
      "Content-Encoding": "gzip",
      "Content-Length": bytes.length,
      "X-Accepted": request.headers["accept-encoding"] ?? "nothing",
    });
    response.end(bytes);
  },
  async "/sum"(request, response) {
    const hash = createHash("sha256");
    let bytes = 0;
    for await (const piece of request) {
      hash.update(piece);
      bytes += piece.length;
    }
    const { method, headers, httpVersion, trailers } = request;
    json(response, { bytes, sha256: hash.digest("hex"), method, headers, httpVersion, trailers });
  },
  "/echo"(request, response) {
    json(response, { target: request.url, headers: request.headers, seen });
  },
  "/moved"(request, response) {
    response.writeHead(302, { Location: `http://${request.headers.host}/echo?moved` });
    response.end();
  },
  "/login"(request, response) {
    const domain = request.headers.host.split(":")[0];
    response.setHeader("Set-Cookie", [`sid=abc; Domain=${domain}; Path=/`, "theme=dark; Path=/"]);
    response.end("welcome");
  },
  "/hints"(_request, response) {
    const hint = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n";
    response.socket.write(hint);
    response.end("after the hints");
  },
  "/trailers"(_request, response) {
    response.writeHead(200, { Trailer: "X-Sum" });
    response.write("body");
    response.addTrailers({ "X-Sum": "42" });
    response.end();
  },
  "/endless"(_request, response) {
    response.on("close", () => {
      seen.broken += 1;
    });
    response.write("the beginning of something without an end");
  },
};

function answer(request, response) {
  const { pathname, searchParams } = new URL(request.url.replaceAll("//", "/"), "http://app");
  const page = pages[pathname] ?? pages["/echo"];
  Promise.resolve(page(request, response, searchParams)).catch((error) => response.destroy(error));
}

const server = createServer(answer);
server.on("checkContinue", (request, response) => {
  if (request.url.startsWith("/refused")) {
    response.writeHead(403, { "Content-Length": 7, Connection: "close" });
    response.end("refused");
    return;
  }
  seen.continued += 1;
  response.writeContinue();
  answer(request, response);
});
// Uploads end the way the client ends them.
server.requestTimeout = 0;
server.listen(Number(process.env.PORT), "127.0.0.1");
