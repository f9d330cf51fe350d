/** Why listening failed, for people. */

import { messageOf, PaastisError } from "../errors.ts";

/** Where an engine was to listen. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

const HOST_ADVICE =
  "Set HOST or --host to an address of this machine, or to 0.0.0.0 for all of them";

/** `listen_failed` for what `Bun.serve` or `Bun.listen` threw. */
export function listenFailure(address: ListenAddress, error: unknown): PaastisError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  const [why, next] = listenAdvice(code, address);
  const what = `Cannot listen on ${address.host}, port ${address.port}`;
  return new PaastisError("listen_failed", { what, why: why ?? messageOf(error), next }, error);
}

function listenAdvice(
  code: string,
  { host, port }: ListenAddress,
): readonly [why: string | null, next: string] {
  switch (code) {
    case "EADDRINUSE":
      return [
        `another program listens on port ${port} already (${code})`,
        "Stop it, or choose another port with PORT or --port",
      ];
    case "EACCES":
    case "EPERM":
      return [
        `port ${port} is reserved for privileged users (${code})`,
        "Choose a port from 1024 up with PORT or --port, or grant CAP_NET_BIND_SERVICE",
      ];
    case "EADDRNOTAVAIL":
    case "EINVAL":
      return [`"${host}" is not an address of this machine (${code})`, HOST_ADVICE];
    case "":
      // What a name that does not resolve comes to.
      return [`"${host}" is not an address of this machine`, HOST_ADVICE];
    default:
      return [null, "Check HOST and PORT"];
  }
}
