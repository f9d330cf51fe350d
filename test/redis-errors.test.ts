import { expect, test } from "bun:test";

import { clearerError, explainRedisError } from "../src/redis/redis-errors.ts";

function errorOf(message: string, extra: object = {}): Error {
  return Object.assign(new Error(message), extra);
}

test.each([
  [errorOf("connect ECONNREFUSED 127.0.0.1:1", { code: "ECONNREFUSED" }), "nothing listens there"],
  [errorOf("getaddrinfo ENOTFOUND redis"), "its name is not known"],
  [errorOf("connect ETIMEDOUT", { code: "ETIMEDOUT" }), "cannot be connected to in time"],
  [errorOf("WRONGPASS invalid username-password pair"), "does not take this user and password"],
  [errorOf("NOAUTH Authentication required."), "it wants a password"],
  [errorOf("NOPERM this user has no permissions"), "its user may not do what is needed"],
  [errorOf("READONLY You can't write against a read only replica."), "it is a replica"],
  [errorOf("OOM command not allowed when used memory > 'maxmemory'."), "its memory is full"],
  [errorOf("MISCONF Redis is configured to save RDB snapshots"), "cannot write to its disk"],
  [errorOf("LOADING Redis is loading the dataset in memory"), "still loading its data"],
  [errorOf("CLUSTERDOWN The cluster is down"), "the Cluster is down"],
  [errorOf("Command timed out"), "it did not answer within 2 s"],
  [errorOf("self-signed certificate", { code: "DEPTH_ZERO_SELF_SIGNED_CERT" }), "vouches"],
  [errorOf("certificate has expired", { code: "CERT_HAS_EXPIRED" }), "has expired"],
  [errorOf("Reached the max retries per request limit (which is 0)."), "closed the connection"],
  [errorOf("ERR max number of clients reached"), "maxclients"],
  [
    errorOf("Failed to refresh slots cache.", {
      lastNodeError: errorOf("ERR This instance has cluster support disabled"),
    }),
    "it is no node of a Cluster",
  ],
  [
    errorOf(
      "All sentinels are unreachable and retry is disabled. Last error: WRONGPASS invalid pair",
    ),
    "no Sentinel could help: it does not take this user and password",
  ],
  [errorOf("something else"), "something else"],
  ["no error at all", "no error at all"],
])("redis errors: %s", (error, words) => {
  expect(explainRedisError(error)).toContain(words);
});

test("redis errors: what comes of an error does not hide it", () => {
  const cause = errorOf("WRONGPASS");
  const vague = errorOf("Connection is closed.");
  expect(clearerError(vague, cause)).toBe(cause);
  expect(clearerError(vague, null)).toBe(vague);
  expect(clearerError(cause, vague)).toBe(cause);
});
