/** The file of a Unix socket: made, replaced, left alone, removed. */
import { describe, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readFileSync, renameSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { claimSocketFile, listenUnix, type SocketFile } from "../../src/listener/unix-socket-file.ts";
import { libc, type Libc } from "../../src/sys/libc.ts";
import { echo, listen } from "../support/backend.ts";
import { countDescriptors } from "../support/descriptors.ts";
import { closeDescriptor } from "../support/libc.ts";
import { connect } from "../support/peer.ts";
import { socketFolder } from "../support/socket-folder.ts";
import { settled, until } from "../support/until.ts";

const queueMax = 16;
const inUse = {
  ok: false as const,
  why: "the socket is in use by another program; choose another path, or stop what listens there",
};
const taken = { ok: false as const, why: "another program has taken the path at the same moment" };

/** Listens, and closes the descriptor at the end of its scope; the file stays, as after a crash. */
function listening(path: string, mode = 0o660): { fd: number; file: SocketFile } & Disposable {
  const opened = listenUnix(path, mode, queueMax);
  if (!opened.ok) throw new Error(`cannot listen at ${path}: ${opened.why}`);
  return { ...opened, [Symbol.dispose]: () => closeDescriptor(opened.fd) };
}

/** The path of a socket file that nobody listens on any more. */
function stale(path: string): string {
  using _ = listening(path);
  return path;
}

/** Which file it is. */
function inode(path: string): number {
  return lstatSync(path).ino;
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

describe("listening", () => {
  test("at a path where nothing is makes the socket with its mode, whatever the umask", async () => {
    using folder = socketFolder();
    const before = process.umask(0o077);
    try {
      for (const mode of [0o660, 0o600, 0o777, 0o666]) {
        const path = folder.path(mode.toString(8));
        using socket = listening(path, mode);
        expect(lstatSync(path).isSocket()).toBe(true);
        expect((lstatSync(path).mode & 0o7777).toString(8)).toBe(mode.toString(8));
        expect(socket.file.path).toBe(path);
      }
    } finally {
      process.umask(before);
    }
  });

  test("nobody can connect before the mode is set", () => {
    using folder = socketFolder();
    const path = folder.path("x.sock");
    const seen: unknown[] = [];
    const calls: Libc = {
      ...libc!,
      listen(fd, backlog) {
        seen.push((lstatSync(path).mode & 0o777).toString(8), libc!.connectBegin(libc!.unixAddress(path)));
        return libc!.listen(fd, backlog);
      },
    };
    const opened = listenUnix(path, 0o620, queueMax, calls);
    const ECONNREFUSED = 111;
    expect(seen).toEqual(["620", -ECONNREFUSED]);
    if (opened.ok) closeDescriptor(opened.fd);
  });

  test("the descriptor serves Bun, pauses and resumes, and the file stays until it is unlinked", async () => {
    using folder = socketFolder();
    const path = folder.path("x.sock");
    const opened = listenUnix(path, 0o660, queueMax);
    if (!opened.ok) throw new Error(opened.why);
    {
      await using server = await listen(echo, { fd: opened.fd });
      await using client = await connect({ unix: path });
      await client.send("hello");
      await client.receivedBytes(5);
      const held = libc!.dup(opened.fd);
      server.stopListening();
      expect(exists(path)).toBe(true);
      expect(libc!.connectionsWaiting(held)).toBe(false);
      await using waiting = await connect({ unix: path });
      await waiting.send("here");
      expect(libc!.connectionsWaiting(held)).toBe(true);
      await using again = await listen(echo, { fd: held });
      await waiting.receivedBytes(4);
      expect(libc!.connectionsWaiting(held)).toBe(false);
      expect(again.connections).toHaveLength(1);
      opened.file.unlink();
      await expect(connect({ unix: path })).rejects.toMatchObject({ code: "ENOENT" });
    }
    expect(exists(path)).toBe(false);
  });

  test("works with the longest path, and with a relative one", () => {
    using folder = socketFolder();
    const longest = folder.path("x".repeat(106 - folder.folder.length));
    expect(Buffer.byteLength(longest)).toBe(107);
    using _ = listening(longest);
    expect(claimSocketFile(longest)).toEqual(inUse);

    const before = process.cwd();
    process.chdir(folder.folder);
    try {
      using socket = listening("relative.sock");
      expect(socket.file.isThere).toBe(true);
      expect(exists(folder.path("relative.sock"))).toBe(true);
      socket.file.unlink();
    } finally {
      process.chdir(before);
    }
    expect(exists(folder.path("relative.sock"))).toBe(false);
  });
});

describe("what is there already", () => {
  test("a stale socket file is replaced", async () => {
    using folder = socketFolder();
    const path = stale(folder.path("x.sock"));
    await expect(connect({ unix: path })).rejects.toMatchObject({ code: "ECONNREFUSED" });
    using socket = listening(path, 0o600);
    expect((lstatSync(path).mode & 0o777).toString(8)).toBe("600");
    expect(socket.file.isThere).toBe(true);
    await using _ = await connect({ unix: path });
  });

  test("a socket in use is refused, and goes on", async () => {
    using folder = socketFolder();
    const path = folder.path("x.sock");
    await using server = await listen(echo, { unix: path });
    const before = inode(path);
    expect(listenUnix(path, 0o660, queueMax)).toEqual(inUse);
    expect(claimSocketFile(path)).toEqual(inUse);
    expect(inode(path)).toBe(before);
    await using client = await connect({ unix: path });
    await client.send("still here");
    await client.receivedBytes(10);
    expect(server.connections.length).toBeGreaterThan(0);
  });

  test("a socket in use whose accept queue is full is refused", () => {
    using folder = socketFolder();
    const path = folder.path("x.sock");
    using socket = listening(path);
    libc!.listen(socket.fd, 0);
    const EAGAIN = 11;
    const clients: number[] = [];
    for (let fd = 0; fd !== -EAGAIN;) {
      fd = libc!.connectBegin(libc!.unixAddress(path));
      if (fd >= 0) clients.push(fd);
      expect(clients.length).toBeLessThan(10);
    }
    expect(listenUnix(path, 0o660, queueMax)).toEqual(inUse);
    expect(socket.file.isThere).toBe(true);
    for (const fd of clients) closeDescriptor(fd);
  });

  test("anything else is refused and left as it is", async () => {
    using folder = socketFolder();
    const target = stale(folder.path("stale.sock"));
    writeFileSync(folder.path("file"), "precious");
    mkdirSync(folder.path("folder"));
    symlinkSync(target, folder.path("link"));
    symlinkSync(folder.path("nowhere"), folder.path("dangling"));
    Bun.spawnSync(["mkfifo", folder.path("fifo")]);
    const why: Record<string, string> = {
      file: "a file is there, which is left alone",
      folder: "a folder is there, which is left alone",
      link: "a symbolic link is there, which is left alone",
      dangling: "a symbolic link is there, which is left alone",
      fifo: "something that is no socket is there, which is left alone",
    };
    // Those of the program above are closed a little later.
    const descriptors = await settled(countDescriptors, "the descriptors");
    for (const name of Object.keys(why)) {
      const before = inode(folder.path(name));
      expect({ name, ...listenUnix(folder.path(name), 0o660, queueMax) }).toEqual({ name, ok: false, why: why[name]! });
      expect(inode(folder.path(name))).toBe(before);
    }
    expect(readFileSync(folder.path("file"), "utf8")).toBe("precious");
    expect(exists(target)).toBe(true);
    expect(countDescriptors()).toBe(descriptors);
  });

  test("a path that can't be has its reason", () => {
    using folder = socketFolder();
    writeFileSync(folder.path("file"), "");
    const why = (path: string): string | undefined => {
      const opened = listenUnix(path, 0o660, queueMax);
      return opened.ok ? undefined : opened.why;
    };
    expect(why(folder.path("none/x.sock"))).toBe("its folder does not exist (ENOENT)");
    expect(why(folder.path("file/x.sock"))).toBe("a part of its path is no folder (ENOTDIR)");
    const refusing = (errno: number): Libc => ({ ...libc!, bind: () => -errno });
    const opened = [13, 30, 12].map((errno) => listenUnix(folder.path("x.sock"), 0o660, queueMax, refusing(errno)));
    expect(opened.map((each) => !each.ok && each.why)).toEqual([
      "permission denied (EACCES); the folder must be writable for the user that sluice runs as",
      "the file system is read-only (EROFS)",
      "ENOMEM",
    ]);
  });

  test("who may not ask whether a socket is in use leaves it alone", () => {
    using folder = socketFolder();
    const path = stale(folder.path("x.sock"));
    const denied: Libc = { ...libc!, connectBegin: () => -13 };
    const why = "a socket file is there, and permission is denied to find out whether it is in use (EACCES)";
    expect(claimSocketFile(path, denied)).toEqual({ ok: false, why });
    expect(exists(path)).toBe(true);
  });

  test("claiming frees a stale path, and one where nothing is", () => {
    using folder = socketFolder();
    const path = stale(folder.path("x.sock"));
    expect(claimSocketFile(path)).toEqual({ ok: true });
    expect(exists(path)).toBe(false);
    expect(claimSocketFile(path)).toEqual({ ok: true });
  });
});

describe("somebody else at the same moment", () => {
  test("who replaces a stale file while it is looked at keeps it", () => {
    using folder = socketFolder();
    const path = stale(folder.path("x.sock"));
    const other = folder.path("other.sock");
    using theirs = listening(other);
    const calls: Libc = {
      ...libc!,
      connectBegin(address) {
        const refused = libc!.connectBegin(address);
        renameSync(other, path);
        return refused;
      },
    };
    expect(listenUnix(path, 0o660, queueMax, calls)).toEqual(taken);
    expect(libc!.connectionsWaiting(theirs.fd)).toBe(false);
    expect(exists(path)).toBe(true);
  });

  test("who removes a stale file while it is looked at is no obstacle", () => {
    using folder = socketFolder();
    const path = stale(folder.path("x.sock"));
    const calls: Libc = {
      ...libc!,
      connectBegin(address) {
        unlinkSync(path);
        return libc!.connectBegin(address);
      },
    };
    const opened = listenUnix(path, 0o660, queueMax, calls);
    expect(opened.ok).toBe(true);
    if (opened.ok) closeDescriptor(opened.fd);
  });

  test("who binds the path after a stale file is gone keeps it", () => {
    using folder = socketFolder();
    const path = stale(folder.path("x.sock"));
    let calls = 0;
    let theirs: Disposable | undefined;
    const hurried: Libc = {
      ...libc!,
      bind(address) {
        if (++calls === 2) theirs = listening(path);
        return libc!.bind(address);
      },
    };
    const descriptors = countDescriptors();
    expect(listenUnix(path, 0o660, queueMax, hurried)).toEqual(taken);
    theirs![Symbol.dispose]();
    expect(calls).toBe(2);
    expect(countDescriptors()).toBe(descriptors);
    expect(exists(path)).toBe(true);
  });

  test("who loses its file between bind and listen gives up, and leaves the other's alone", () => {
    using folder = socketFolder();
    const path = folder.path("x.sock");
    const other = folder.path("other.sock");
    using theirs = listening(other);
    const robbed: Libc = {
      ...libc!,
      listen(fd, backlog) {
        // To the other one the file looked stale.
        renameSync(other, path);
        return libc!.listen(fd, backlog);
      },
    };
    const descriptors = countDescriptors();
    expect(listenUnix(path, 0o660, queueMax, robbed)).toEqual(taken);
    expect(countDescriptors()).toBe(descriptors);
    const client = libc!.connectBegin(libc!.unixAddress(path));
    expect(client).toBeGreaterThan(0);
    expect(libc!.connectionsWaiting(theirs.fd)).toBe(true);
    closeDescriptor(client);
  });

  test("a file that is another one by now is not unlinked", async () => {
    using folder = socketFolder();
    const path = folder.path("x.sock");
    using socket = listening(path);
    unlinkSync(path);
    socket.file.unlink();
    await using server = await listen(echo, { unix: path });
    expect(socket.file.isThere).toBe(false);
    socket.file.unlink();
    await using client = await connect({ unix: path });
    await until(() => server.connections.length === 1, "the other one to serve");
    await client.finish();
  });
});

test("a file that got the number of the one before is another one", async () => {
  using folder = socketFolder();
  const path = folder.path("x.sock");
  let file: SocketFile;
  {
    using socket = listening(path);
    file = socket.file;
  }
  const made = lstatSync(path, { bigint: true }).birthtimeNs;
  unlinkSync(path);
  // The clock of the file system stands still for some milliseconds.
  await until(() => {
    writeFileSync(folder.path("now"), "");
    const now = lstatSync(folder.path("now"), { bigint: true }).birthtimeNs;
    unlinkSync(folder.path("now"));
    return now !== made;
  }, "the file system's clock to go on");
  using theirs = listening(path);
  expect([file.isThere, theirs.file.isThere]).toEqual([false, true]);
});

test("a socket that can't listen after all leaves no file and no descriptor", () => {
  using folder = socketFolder();
  const descriptors = countDescriptors();
  const failing: Libc = { ...libc!, listen: () => -105 };
  expect(listenUnix(folder.path("x.sock"), 0o660, queueMax, failing)).toEqual({ ok: false, why: "ENOBUFS" });
  expect(exists(folder.path("x.sock"))).toBe(false);
  expect(countDescriptors()).toBe(descriptors);
});

test("without the C library nothing is listened on and nothing is removed", () => {
  using folder = socketFolder();
  const path = stale(folder.path("x.sock"));
  expect(listenUnix(folder.path("new.sock"), 0o660, queueMax, null)).toEqual({
    ok: false,
    why: "it takes the C library: it is not used",
  });
  expect(claimSocketFile(path, null)).toEqual({
    ok: false,
    why: "a socket file is there, and without the C library nobody can tell whether it is in use; remove it if it is not",
  });
  expect(exists(path)).toBe(true);
  expect(claimSocketFile(folder.path("new.sock"), null)).toEqual({ ok: true });
});
