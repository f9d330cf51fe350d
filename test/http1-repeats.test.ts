/** Heads that come again and again on one connection: remembered ones must be what reading anew would give. */

import { expect, test } from "bun:test";
import { createRequestHeadReader, createResponseHeadReader } from "../src/engines/http1-head.ts";
import { createChance } from "./support/random.ts";

const SEED = Number(process.env.PAASTIS_SEED ?? Math.floor(Math.random() * 2 ** 31));
const LIMITS = { headBytesMax: 2000, lineBytesMax: 300, fieldLinesMax: 20 };
const SEQUENCES = 1500;

const REQUESTS = [
  "GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n",
  "GET /b HTTP/1.1\r\nHost: a.test\r\n\r\n",
  "GET /a HTTP/1.1\r\nHost: b.test\r\n\r\n",
  "GET /a HTTP/1.0\r\nHost: a.test\r\n\r\n",
  "\r\nGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
  "GET /a HTTP/1.1\r\nHost: a.test\r\nX: 1\r\n\r\n",
  `GET / HTTP/1.1\r\nHost: a.test\r\nX: ${"x".repeat(1200)}\r\n\r\n`,
];
const ANSWERS = [
  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
  "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n",
  "HTTP/1.1 204 OK\r\nContent-Length: 5\r\n\r\n",
  "HTTP/1.1 200 OK\r\n\r\n",
];
const KINDS = [
  { name: "requests", create: () => createRequestHeadReader(LIMITS), texts: REQUESTS },
  { name: "answers", create: () => createResponseHeadReader(LIMITS), texts: ANSWERS },
];

test.each(KINDS)(
  "heads: $name that repeat, with and without a change, are read as if each were the first",
  ({ create, texts }) => {
    const chance = createChance(SEED);
    for (let sequence = 0; sequence < SEQUENCES; sequence += 1) {
      const reader = create();
      for (let count = chance.between(1, 12); count >= 0; count -= 1) {
        // Repeats are likely, as otherwise nothing is remembered.
        const text = texts[chance.between(0, chance.happens(0.5) ? 1 : texts.length - 1)] ?? "";
        const bytes = Buffer.from(
          `${"before".slice(0, chance.between(0, 2))}${text}behind`,
          "latin1",
        );
        const from = bytes.indexOf(text, 0, "latin1");
        const cut = chance.happens(0.25) ? from + chance.between(0, text.length - 1) : from;
        const begun = reader.read(bytes.subarray(0, cut), from);
        const result = reader.read(bytes.subarray(cut), 0);
        const wanted = create().read(bytes, from);
        const shifted = result.kind === "head" ? { ...result, end: result.end + cut } : result;
        if (cut > from) expect(begun.kind).toBe("incomplete");
        expect({ seed: SEED, ...shifted }).toEqual({ seed: SEED, ...wanted });
      }
    }
  },
);
