import { expect, test } from "bun:test";

import { parseRedisUrl } from "../src/redis/redis-url.ts";

function addressOf(url: string) {
  const parsed = parseRedisUrl(url, (path) => `/folder/${path}`);
  if (!parsed.ok) throw new Error(parsed.why);
  return parsed.value;
}

const LOCAL = [{ host: "localhost", port: 6379 }];

test("redis URL: what it leaves out is as with any client", () => {
  expect(addressOf("redis://db")).toEqual({
    kind: "single",
    shown: "db:6379",
    nodes: [{ host: "db", port: 6379 }],
    socketPath: null,
    user: null,
    password: null,
    db: 0,
    tls: null,
    masterName: null,
    sentinelUser: null,
    sentinelPassword: null,
  });
});

test.each([
  ["  redis://localhost/ ", { nodes: LOCAL, db: 0, shown: "localhost:6379" }],
  ["redis://localhost:6379/3", { nodes: LOCAL, db: 3, shown: "localhost:6379, database 3" }],
  ["redis://localhost?db=4", { nodes: LOCAL, db: 4 }],
  ["redis://:s3%2Fcret@localhost", { user: null, password: "s3/cret", shown: "localhost:6379" }],
  ["redis://me:a:b@c@localhost", { user: "me", password: "a:b@c", nodes: LOCAL }],
  ["REDIS://me@[::1]:7", { user: "me", nodes: [{ host: "::1", port: 7 }], shown: "[::1]:7" }],
  ["unix:/run/redis.sock", { kind: "single", socketPath: "/run/redis.sock", nodes: [] }],
  ["unix:///run/a%20b", { socketPath: "/run/a b", shown: "/run/a b" }],
  ["redis+unix://:pw@/run/r?db=2", { socketPath: "/run/r", password: "pw", db: 2 }],
  [
    "rediss://localhost?rejectUnauthorized=false",
    { tls: { caFile: null, certFile: null, keyFile: null, serverName: null, verifies: false } },
  ],
  [
    "rediss://localhost?ca=ca.pem&cert=c&key=k&servername=redis.test",
    {
      tls: {
        caFile: "/folder/ca.pem",
        certFile: "/folder/c",
        keyFile: "/folder/k",
        serverName: "redis.test",
        verifies: true,
      },
    },
  ],
  [
    "redis+sentinel://me:pw@a,b:7/mymaster/2?sentinelUser=s&sentinelPassword=t",
    {
      kind: "sentinel",
      nodes: [
        { host: "a", port: 26_379 },
        { host: "b", port: 7 },
      ],
      masterName: "mymaster",
      db: 2,
      user: "me",
      password: "pw",
      sentinelUser: "s",
      sentinelPassword: "t",
      shown: "a:26379,b:7 (Sentinel, mymaster, database 2)",
    },
  ],
  [
    "rediss+cluster://:pw@a:1,[::1]:2",
    { kind: "cluster", password: "pw", db: 0, shown: "a:1,[::1]:2 (Cluster)" },
  ],
])("redis URL: %s", (url, expected) => {
  expect(addressOf(url)).toMatchObject(expected);
});

test.each([
  ["", "another kind"],
  ["localhost:6379", "another kind"],
  ["http://me:s3cret@db", "another kind"],
  ["redis:db", "// is missing"],
  ["redis://", "it names no host"],
  ["redis://me:s3/cret@db", "a host is host:port; / ? # in a password are written %2F %3F %23"],
  ["redis://me:s3%cret@db", "%25"],
  ["redis://db:0", "host:port"],
  ["redis://db:70000", "host:port"],
  ["redis://db/x", "the database is a number"],
  ["redis://a,b", "several hosts need redis+sentinel:// or redis+cluster://"],
  ["redis+sentinel://a", "comes /master-name"],
  ["redis+cluster://a/1", "database 0 only"],
  ["redis://db?ca=/x", "ca is about TLS, which begins with rediss"],
  ["redis://db?sentinelPassword=s3cret", "sentinelPassword is for Sentinels"],
  ["rediss://db?ssl=s3cret", "after ? there may be db, ca, cert, key, servername"],
  ["rediss://db?rejectUnauthorized=0", "true or false"],
  ["rediss://db?cert=/x", "cert and key go together"],
  ["unix:redis.sock", "a socket is unix:/path"],
  ["unix://db/redis.sock", "a socket is unix:/path"],
  ["rediss+unix:/redis.sock", "TLS is not spoken over a socket"],
])("redis URL: %s is refused, and why is said without any of its secrets", (url, why) => {
  const parsed = parseRedisUrl(url);
  expect(parsed).toMatchObject({ ok: false, why: expect.stringContaining(why) });
  expect(JSON.stringify(parsed)).not.toMatch(/s3|cret/);
});
