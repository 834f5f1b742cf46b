/**
 * The file system of the image that deploy/Dockerfile describes, without a container engine: the executable, made by the commands
 * of the build stage from the files that it copies, and of the base image the C library alone.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { copiesOf, imageOf, stagesOf, type Image } from "./dockerfile.ts";

const root = join(import.meta.dir, "../..");

/** What each base image has of the C library, Debian's package libc6, besides the dynamic loader. */
const baseLibraries: Readonly<Record<string, readonly string[]>> = {
  "gcr.io/distroless/base-nossl-debian12:nonroot":
    "libc.so.6 libm.so.6 libpthread.so.0 libdl.so.2 librt.so.1 libresolv.so.2 libutil.so.1 libanl.so.1".split(" "),
};

/** Builds the image: some seconds. */
export async function buildImage(): Promise<BuiltImage> {
  const text = readFileSync(join(root, "deploy/Dockerfile"), "utf8");
  const image = imageOf(text);
  const folder = mkdtempSync(join(tmpdir(), "sluice-image-"));
  const [build] = stagesOf(text);
  const workdir = build!.instructions.find(({ name }) => name === "WORKDIR")!.rest;
  // What the stage calls its working directory is a folder here.
  const stageFolder = join(folder, "build");
  mkdirSync(stageFolder);
  const ignored = dockerIgnored();
  for (const { sources, target } of copiesOf(build!)) {
    for (const source of sources) {
      if (ignored(source))
        throw new Error(`.dockerignore keeps ${source} out of the build, and the Dockerfile copies it`);
      const into = target.endsWith("/") ? join(stageFolder, target, source) : join(stageFolder, target);
      cpSync(join(root, source), into, { recursive: true });
    }
  }
  for (const { name, rest } of build!.instructions) {
    if (name !== "RUN") continue;
    for (const command of rest.split(" && ")) await runInStage(command, stageFolder);
  }
  const files = join(folder, "root");
  for (const { from, sources, target } of image.copies) {
    const [source = ""] = sources;
    if (from !== build!.name || !source.startsWith(`${workdir}/`))
      throw new Error(`cannot tell where ${source} is from`);
    mkdirSync(dirname(join(files, target)), { recursive: true });
    renameSync(join(stageFolder, source.slice(workdir.length + 1)), join(files, target));
  }
  rmSync(stageFolder, { recursive: true });
  const libraries = librariesOf(join(files, image.entrypoint[0]!));
  for (const path of libraries) {
    mkdirSync(dirname(join(files, path)), { recursive: true });
    cpSync(path, join(files, path), { dereference: true });
  }
  // Where an engine mounts something.
  for (const place of ["proc", "dev", "etc/sluice"]) mkdirSync(join(files, place), { recursive: true });
  for (const file of ["hosts", "resolv.conf"]) writeFileSync(join(files, "etc", file), "");
  return new BuiltImage(image, folder, libraries);
}

/** The packages are those of this tree, which are the lock file's; other commands are run as they are. */
async function runInStage(command: string, folder: string): Promise<void> {
  if (command === "npm ci") return symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
  const bun = command.replace(/^npm run /, `${process.execPath} run `);
  const child = Bun.spawn(bun.split(" "), { cwd: folder, stdout: "pipe", stderr: "pipe", timeout: 60_000 });
  const [code, said] = await Promise.all([child.exited, child.stderr.text()]);
  if (code !== 0) throw new Error(`"${command}" of the Dockerfile ended with code ${code}: ${said}`);
}

/** Whether .dockerignore, which names what is let in, keeps a path of the root out. */
function dockerIgnored(): (path: string) => boolean {
  const lines = readFileSync(join(root, ".dockerignore"), "utf8").split("\n");
  const rules = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (rules[0] !== "*") throw new Error(".dockerignore: wanted * first, then what is let in");
  return (path) => !rules.includes(`!${path}`);
}

/** The files that the dynamic loader loads for an executable, itself included. */
function librariesOf(executable: string): string[] {
  const { stdout, exitCode } = Bun.spawnSync(["ldd", executable]);
  if (exitCode !== 0) throw new Error(`ldd ${executable} ended with code ${exitCode}`);
  // The first has no file: the kernel's own.
  const found = [...stdout.toString().matchAll(/^\s*(?:\S+ => )?(\/\S+) \(0x/gm)].map((match) => match[1]!);
  if (found.length === 0) throw new Error(`ldd has found nothing: ${stdout.toString()}`);
  return found;
}

/** The image on disk; removed at the end of its scope. */
export class BuiltImage {
  readonly image: Image;
  /** The files that the executable loads. */
  readonly libraries: readonly string[];
  /** Where everything of it is, what belongs to its containers as well. */
  readonly folder: string;

  constructor(image: Image, folder: string, libraries: readonly string[]) {
    this.image = image;
    this.folder = folder;
    this.libraries = libraries;
  }

  /** Its file system. */
  get root(): string {
    return join(this.folder, "root");
  }

  /** Those that the base image has not. */
  get missingLibraries(): string[] {
    const base = baseLibraries[this.image.base];
    if (base === undefined) throw new Error(`it is not known what ${this.image.base} has`);
    const name = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
    return this.libraries.filter((path) => !base.includes(name(path)) && !/^ld-linux-[\w-]+\.so\.\d$/.test(name(path)));
  }

  /** Every file of the image, `/sluice`. */
  files(): string[] {
    const entries = readdirSync(this.root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    return entries.map((entry) => join(entry.parentPath, entry.name).slice(this.root.length)).toSorted();
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}
