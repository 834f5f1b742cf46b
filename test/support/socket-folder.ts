/** A folder for Unix sockets: its name is short, since the path of a socket may have 107 bytes at most. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new folder; removed with all that is in it at the end of its scope. */
export function socketFolder(): SocketFolder {
  return new SocketFolder(mkdtempSync(join(tmpdir(), "sluice-")));
}

/** See `socketFolder`. */
export class SocketFolder {
  readonly folder: string;

  constructor(folder: string) {
    this.folder = folder;
  }

  /** The path of a file in it. */
  path(name: string): string {
    return join(this.folder, name);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}
