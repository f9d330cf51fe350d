/** What `paastis check` says of the database of the events, from source, with and without `--online`. */

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type PostgresServer, startPostgres, whyNoPostgres } from "./support/postgres-server.ts";
import { runVerb } from "./support/run-verb.ts";
import { tempDir } from "./support/temp-dir.ts";

const AWAY = "postgres://me:s3cret@127.0.0.1:1/x";

async function check(databaseUrl: string, ...flags: readonly string[]) {
  const events = { EVENTS_STORE_TYPE: "postgres", DATABASE_URL: databaseUrl };
  const env = { PROVIDER_NAME: "process", ...events };
  using folder = tempDir();
  const { out, err, status } = await runVerb(["check", ...flags], { cwd: folder.path, env });
  expect(out + err).not.toMatch(/s3cret|me:/);
  return { out, err, status };
}

test("check: it says where events go, without who signs in, and asks nobody", async () => {
  const { out, err, status } = await check(AWAY);
  expect(out).toMatch(/^ *events +postgres at 127\.0\.0\.1:1\/x$/m);
  expect({ err, status }).toEqual({ err: "", status: 0 });
});

test("check --online: a database that is away is a failure that says why", async () => {
  const { out, err, status } = await check(AWAY, "--online");
  expect(out).toStartWith("This configuration is complete. Now its database is tried.\n");
  expect(out).not.toContain("can be used");
  expect(err).toContain("- Postgres at 127.0.0.1:1/x: it cannot be reached\n");
  expect(status).toBe(1);
});

test("check: a URL that is none is a problem, and not shown", async () => {
  const { err, status } = await check("mysql://me:s3cret@db/x");
  expect(err).toContain("DATABASE_URL must be a URL such as postgres://user:password@host");
  expect(status).toBe(78);
});

const missing = whyNoPostgres();
describe.skipIf(missing !== null)(`with a Postgres server${missing ? ` (${missing})` : ""}`, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await startPostgres();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test("check --online: it looks at the database, changes nothing, and says what is missing", async () => {
    const { url, rows, name } = await server.database();
    const good = await check(url, "--online");
    expect(good.out).toMatch(/\nDatabase of the events\n +postgres +works; its tables are made at/);
    expect(good.out).toEndWith("\nThis configuration can be used.\n");
    expect({ err: good.err, status: good.status }).toEqual({ err: "", status: 0 });
    expect(await rows("SELECT FROM pg_namespace WHERE nspname = 'paastis'")).toHaveLength(0);

    await rows(`CREATE ROLE guest LOGIN PASSWORD 'guest-word'`);
    const guests = url.replace(/\/\/[^@]+@/, "//guest:guest-word@");
    const guest = await check(guests, "--online");
    expect(guest.err).toContain("its user may not make the schema paastis: GRANT CREATE");
    expect(guest.err).not.toContain("guest-word");

    await rows(`ALTER DATABASE ${name} SET default_transaction_read_only = on`);
    const { err, status } = await check(url, "--online");
    expect(err).toContain("it can only be read");
    expect(status).toBe(1);
  });
});
