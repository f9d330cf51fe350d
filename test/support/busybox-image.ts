/** The file system of a container image: Debian's static busybox under all of its names. */

import { cpSync, mkdirSync, symlinkSync } from "node:fs";
import { runCommand } from "./run-command.ts";
import { tempDir } from "./temp-dir.ts";

/** As an archive that engines import. */
export async function busyboxTar(): Promise<Uint8Array<ArrayBuffer>> {
  using root = tempDir();
  for (const name of ["bin", "www", "tmp", "etc", "proc", "sys", "dev"]) mkdirSync(root.file(name));
  const busybox = Bun.which("busybox");
  if (busybox === null) throw new Error("busybox-static is not installed");
  cpSync(busybox, root.file("bin/busybox"), { dereference: true });
  const { stdout } = await runCommand([busybox, "--list"]);
  for (const name of stdout.trim().split("\n")) {
    if (name !== "busybox") symlinkSync("busybox", root.file(`bin/${name}`));
  }
  using out = tempDir();
  const file = out.file("image.tar");
  await runCommand(["tar", "--create", "--file", file, "--directory", root.path, "."]);
  return await Bun.file(file).bytes();
}
