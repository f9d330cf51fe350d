/** Starts a sample app's server where Paastis expects it, and ends it when Paastis says so. */

/**
 * Listens on 127.0.0.1 at `PORT` (any free one without it), says where, and exits at SIGTERM or SIGINT.
 * WebSocket data is `undefined`: what belongs to a socket is kept by the handlers.
 */
export function listen(
  options: Omit<Bun.Serve.Options<undefined>, "port" | "hostname">,
): Bun.Server<undefined> {
  // The options were complete but for the address, which is added here.
  const server = Bun.serve<undefined>({
    ...options,
    hostname: "127.0.0.1",
    port: Number(process.env.PORT ?? 0),
    development: false,
  } as Bun.Serve.Options<undefined>);
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => {
      say("goodbye");
      process.exit(0);
    });
  }
  say(`listening on http://127.0.0.1:${server.port}`);
  return server;
}

/** Prints a line; Paastis shows it under the app's name. */
export function say(line: string): void {
  process.stdout.write(`${line}\n`);
}
