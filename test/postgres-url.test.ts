import { expect, test } from "bun:test";

import { describeAddress, parsePostgresUrl } from "../src/event-store/postgres-url.ts";

function addressOf(url: string) {
  const parsed = parsePostgresUrl(url);
  if (!parsed.ok) throw new Error(parsed.why);
  return parsed.value;
}

test("postgres URL: what it leaves out is as libpq has it", () => {
  expect(addressOf("postgres://db")).toEqual({
    host: "db",
    port: 5432,
    database: null,
    user: null,
    password: null,
    sslMode: "prefer",
    rootCertificate: null,
    parameters: { application_name: "paastis" },
  });
});

test.each([
  ["postgresql://me:a%40b@db:6432/x%20y", { user: "me", password: "a@b", database: "x y" }],
  ["  postgres://me@db/x ", { host: "db", database: "x" }],
  ["postgres://me:pw@[::1]:5433/x", { host: "::1", port: 5433 }],
  ["postgres://me:p@ss@db/x", { host: "db", password: "p@ss" }],
  ["postgres:///x?host=/run/postgresql", { host: "/run/postgresql", database: "x" }],
  ["postgres://me:pw@/x?host=/run/pg&port=5433", { host: "/run/pg", port: 5433, user: "me" }],
  ["postgres://me@%2Frun%2Fpg:5433/x", { host: "/run/pg", port: 5433 }],
  ["postgres://me@/x", { host: "localhost", user: "me" }],
  ["postgres://db/x?sslmode=verify-full&sslrootcert=ca.pem", { rootCertificate: "ca.pem" }],
  ["postgres://db/x?sslmode=verify-full&sslrootcert=system", { rootCertificate: null }],
  // For other programs: the server would refuse a connection for them.
  ["postgres://db/x?schema=public&pgbouncer=true", { parameters: { application_name: "paastis" } }],
  [
    "postgres://db/x?application_name=a&options=-c%20search_path%3Db",
    { parameters: { application_name: "a", options: "-c search_path=b" } },
  ],
])("postgres URL: %s", (url, expected) => {
  expect(addressOf(url)).toMatchObject(expected);
});

test.each([
  "",
  "db",
  "http://db/x",
  "postgres://me:p/w@db/x",
  "postgres://%zz/x",
  "postgres://a,b:1,c/x",
])("postgres URL: %p is none", (url) => {
  expect(parsePostgresUrl(url).ok).toBe(false);
});

test("postgres URL: described, it names no user and no password", () => {
  expect(describeAddress(addressOf("postgres://me:pw@[::1]:5433/x"))).toBe("[::1]:5433/x");
  expect(describeAddress(addressOf("postgres://me:pw@db"))).toBe("db:5432");
});
