/** What the demo says first. */

export interface WelcomeOptions {
  readonly port: number;
  /** The port the demo would have liked; a word is said when it was taken. */
  readonly wantedPort: number;
  readonly idleSeconds: number;
  readonly colors: boolean;
}

/** Pure. The welcome, at most 72 characters wide unless the addresses are longer. */
export function welcomeText(options: WelcomeOptions): string {
  const { port, wantedPort, idleSeconds, colors } = options;
  const paint = (style: string, text: string) => (colors ? `\x1b[${style}m${text}\x1b[0m` : text);
  const bold = (text: string) => paint("1", text);
  const dim = (text: string) => paint("2", text);
  const address = (app: string) => `http://${app}localhost:${port}`;
  const row = (app: string, what: string) =>
    `    ${paint("36", address(`${app}.`).padEnd(29))} ${dim(what)}`;
  const taken = `  Port ${wantedPort} is in use, so this is port ${port}.`;
  return [
    "",
    `  ${bold("Paastis")}  wakes web apps when somebody asks, and lets them sleep again.`,
    ...(port === wantedPort ? [] : ["", paint("33", taken)]),
    "",
    `  ${bold("Open")}  ${paint("36", address(""))}`,
    "",
    row("api", "a notes API, quick to wake"),
    row("slow", "takes 6 s to start: see the page that waits"),
    row("live", "a WebSocket and server-sent events"),
    "",
    `  ${bold("Or")}    curl ${address("api.")}/notes -d '{"text":"hello"}'`,
    "",
    dim(`  Unused for ${idleSeconds} s, an app goes to sleep. Ctrl-C ends everything.`),
    "",
    "",
  ].join("\n");
}
