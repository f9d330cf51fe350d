/**
 * Process and mount namespaces for a container engine: when the first process there ends, for whatever reason, the kernel
 * ends engine and containers and takes their mounts away. What they made outside is removed by that process before.
 */

import { until } from "./until.ts";

/** Programs of engines may stand where only root looks. */
export const ENGINE_PATH = `${process.env.PATH ?? ""}:/usr/local/sbin:/usr/sbin:/sbin`;
/** Far longer than anything here takes on a busy machine, ms. */
export const ENGINE_MAX_MS = 30_000;
/** So long the kernel may take to end all processes, ms. */
const END_MAX_MS = 10_000;

/** The first process of the namespaces: a shell that is told what to do. */
export interface EngineKeeper {
  /** A line for the script. */
  say(word: string): void;
  /** Waits until it has printed `ended` once more. */
  untilEnded(): Promise<void>;
  /** Ends everything in the namespaces. */
  end(): Promise<void>;
}

/** Why there can be no engine of these programs here; `null`: there can. */
export function whyNoEngine(programs: readonly string[], install: string): string | null {
  if (process.platform !== "linux") return "only on Linux";
  if (process.getuid?.() !== 0) return "only as root";
  const needed = [...programs, "unshare", "tar", "busybox"];
  const missing = needed.filter((name) => Bun.which(name, { PATH: ENGINE_PATH }) === null);
  if (missing.length > 0) return `no ${missing.join(", ")}: install ${install}`;
  const tried = Bun.spawnSync(["unshare", "--pid", "--mount", "--fork", "true"]);
  return tried.exitCode === 0 ? null : "processes may not be given namespaces of their own";
}

/** What a keeper is started with. */
export interface KeeperOptions {
  /** Of a shell, whose `$1` is `folder`; then it reads words, one a line, and does what `words` say. */
  readonly script: string;
  /** Cases of the shell: `stop) kill $engine; wait $engine; echo ended ;;`. */
  readonly words: string;
  /** Where everything is kept; its `keeper.log` is what the script itself complains about. */
  readonly folder: string;
  /** Of the control group of all containers, and of a network device that may be there. */
  readonly name: string;
}

/** A frozen process cannot even be killed, with version 1 of control groups, which has a tree for each controller. */
const CLEAN_UP = `
for state in /sys/fs/cgroup/freezer/"$2"/*/freezer.state; do
  if [ -e "$state" ]; then echo THAWED >"$state"; fi
done
kill -KILL -1
if [ -e /sys/class/net/"$2" ]; then busybox ip link del "$2"; fi
for try in 1 2 3 4 5 6 7 8 9 10; do
  groups=$(find /sys/fs/cgroup -maxdepth 4 -depth -type d -path "*/$2*")
  if [ -z "$groups" ]; then break; fi
  rmdir $groups 2>/dev/null
  sleep 0.05
done`;

/** The namespaces last until `end`, and no longer than this process. */
export function startKeeper({ script, words, folder, name }: KeeperOptions): EngineKeeper {
  const whole = `cd "$1" || exit 1
${script}
while read -r word; do
  case $word in
    ${words}
  esac
done
${CLEAN_UP}`;
  const namespaces = ["--pid", "--mount", "--mount-proc", "--fork", "--kill-child"];
  const child = Bun.spawn(["unshare", ...namespaces, "sh", "-c", whole, "sh", folder, name], {
    env: { PATH: ENGINE_PATH, HOME: folder },
    stdin: "pipe",
    stdout: "pipe",
    stderr: Bun.file(`${folder}/keeper.log`),
  });
  let said = "";
  let heard = 0;
  const reading = (async () => {
    const decoder = new TextDecoder();
    for await (const piece of child.stdout) said += decoder.decode(piece);
  })();
  return {
    say(word) {
      child.stdin.write(`${word}\n`);
      child.stdin.flush();
    },
    async untilEnded() {
      heard += 1;
      await until(() => said.split("ended").length > heard, ENGINE_MAX_MS);
    },
    async end() {
      child.stdin.end();
      await Promise.race([child.exited, Bun.sleep(END_MAX_MS)]);
      child.kill("SIGKILL");
      await child.exited;
      await reading;
    },
  };
}
