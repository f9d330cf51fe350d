/** Small web apps in containers of a real engine, made of busybox. */

import { API, type EngineClient } from "./engine-client.ts";

/** An engine, real or of a kind, that has an image and a network. */
export interface AppEngine extends EngineClient {
  readonly image: string;
  readonly network: string;
}

/** What an app is like. */
export interface NewEngineApp {
  /** Beside `paastis.enable`. */
  readonly labels?: Readonly<Record<string, string>>;
  /** From the start of its program until it listens, in seconds; default 0. */
  readonly bootSeconds?: number;
  /** Published on 127.0.0.1, any port, another one at each start; default true. */
  readonly isPublished?: boolean;
  /** Published there, always. */
  readonly publishedAt?: number;
  /** Head and body leave it together, and it keeps no connection; default false. */
  readonly answersInOnePiece?: boolean;
  /** Probed five times a second: whether it has written its page. */
  readonly hasHealthcheck?: boolean;
  /** Where its program listens; default 8080. */
  readonly port?: number;
  /** More of `HostConfig`. */
  readonly host?: Readonly<Record<string, unknown>>;
}

/** Answers `<name> <when it began to listen, in seconds>`, and ends at SIGTERM. */
const PROGRAM = `
trap 'exit 0' TERM
sleep "$BOOT"
echo "$NAME $(echo | ts %.s)" >/www/index.html
httpd -f -p "$PORT" -h /www &
wait`;

/** The same. A web server writes head and body one after the other; this copies them in one go. */
const PROGRAM_IN_ONE_PIECE = `
trap 'exit 0' TERM
sleep "$BOOT"
printf '%s\n' '#!/bin/sh' \
  'while read -r line; do [ "$line" = "$(printf "\\r")" ] && break; done; cat /tmp/answer' >/tmp/handler
chmod +x /tmp/handler
body="$NAME $(echo | ts %.s)"
{
  printf 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %s\r\n\r\n' "$(echo "$body" | wc -c)"
  echo "$body"
} >/tmp/answer
nc -ll -p "$PORT" -e /tmp/handler &
wait`;

/** Created, not started. @returns its id */
export async function createApp(
  engine: AppEngine,
  name: string,
  app: NewEngineApp = {},
): Promise<string> {
  const { labels = {}, bootSeconds = 0, isPublished = true, port = 8080, host = {} } = app;
  const { answersInOnePiece = false, publishedAt = "" } = app;
  const binding = { HostIp: "127.0.0.1", HostPort: String(publishedAt) };
  const bindings = { [`${port}/tcp`]: [binding] };
  const answer = await engine.call("POST", `${API}/containers/create?name=${name}`, {
    Image: engine.image,
    Cmd: ["/bin/sh", "-c", answersInOnePiece ? PROGRAM_IN_ONE_PIECE : PROGRAM],
    Env: [`NAME=${name}`, `BOOT=${bootSeconds}`, `PORT=${port}`, "PATH=/bin"],
    Labels: { "paastis.enable": "true", ...labels },
    ExposedPorts: { [`${port}/tcp`]: {} },
    ...(app.hasHealthcheck === true ? { Healthcheck: HEALTHCHECK } : {}),
    HostConfig: {
      NetworkMode: engine.network,
      ...(isPublished ? { PortBindings: bindings } : {}),
      ...host,
    },
  });
  if (answer.status !== 201) throw new Error(`${name}: ${answer.text}`);
  return String(answer.body.Id);
}

const HEALTHCHECK = {
  Test: ["CMD", "/bin/cat", "/www/index.html"],
  Interval: 200e6,
  Timeout: 5e9,
  Retries: 50,
};

/** What Compose would write on a container of a project. */
export function composeLabels(
  project: string,
  service: string,
  dependsOn: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const depends = Object.entries(dependsOn).map(
    ([name, condition]) => `${name}:${condition}:false`,
  );
  return {
    "com.docker.compose.project": project,
    "com.docker.compose.service": service,
    "com.docker.compose.container-number": "1",
    "com.docker.compose.oneoff": "False",
    "com.docker.compose.depends_on": depends.join(","),
  };
}

/** An order; @throws when the engine refuses it */
export async function order(engine: EngineClient, name: string, what: string): Promise<void> {
  const answer = await engine.call("POST", `${API}/containers/${name}/${what}`);
  if (answer.status >= 400) throw new Error(`${what} ${name}: ${answer.text}`);
}

/** What the engine says of its state: `running`, `exited`, `paused`. */
export async function statusOf(engine: EngineClient, name: string): Promise<string> {
  const answer = await engine.call("GET", `${API}/containers/${name}/json`);
  if (answer.status !== 200) throw new Error(`${name}: ${answer.text}`);
  return String(answer.body.State.Status);
}

/** Gone, whatever it does. */
export async function removeApp(engine: EngineClient, name: string): Promise<void> {
  await engine.call("DELETE", `${API}/containers/${name}?force=true`);
}

/** All containers of the engine are gone. */
export async function removeAllApps(engine: EngineClient): Promise<void> {
  const { body } = await engine.call("GET", `${API}/containers/json?all=true`);
  const ids: string[] = body.map(({ Id }: { Id: string }) => Id);
  await Promise.all(ids.map((id) => removeApp(engine, id)));
}
