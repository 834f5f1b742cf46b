/** What must agree in deploy/systemd: with the program, with the configuration, and with systemd itself where it is. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { exitCodes } from "../../src/cli/surroundings.ts";
import { formatAddress } from "../../src/core/address.ts";
import { signalExitCode } from "../../src/lifecycle/signals.ts";
import { deployedConfigs, settingOf, textOf, unitOf } from "../support/deployed.ts";

const service = unitOf("deploy/systemd/sluice.service");
const socket = unitOf("deploy/systemd/sluice.socket");

test("the sockets have the names and addresses of the listeners", async () => {
  const { systemd } = await deployedConfigs();
  expect(socket.get("Socket.FileDescriptorName")).toEqual(systemd.listeners.map(({ name }) => name));
  // Else the program says at each start that it listens elsewhere than it was told.
  expect(socket.get("Socket.ListenStream")).toEqual(systemd.listeners.map(({ listen }) => formatAddress(listen)));
  expect(settingOf(service, "Service.Sockets")).toBe("sluice.socket");
  expect(settingOf(socket, "Socket.Accept")).toBe("no");
});

test("the service is told of start, reload and end as the program has them", () => {
  expect(settingOf(service, "Service.Type")).toBe("notify");
  expect(service.get("Service.ExecReload")!.at(-1)).toBe("/bin/kill -HUP $MAINPID");
  const codes = settingOf(service, "Service.RestartPreventExitStatus").split(" ").map(Number);
  const ours = [exitCodes.usage, exitCodes.cut, signalExitCode("SIGINT"), signalExitCode("SIGTERM")];
  expect(codes).toEqual(ours);
  expect(settingOf(service, "Service.UnsetEnvironment").split(" ")).toEqual(["BUN_OPTIONS", "BUN_BE_BUN"]);
  expect(service.get("Service.Environment")).toContain("SLUICE_ADMIN_TOKEN_FILE=%d/admin-token");
  expect(settingOf(service, "Service.LoadCredential")).toStartWith("admin-token:");
});

test("it is confined, as far as the runtime can be", () => {
  const wanted = {
    DynamicUser: "yes",
    NoNewPrivileges: "yes",
    CapabilityBoundingSet: "",
    ProtectSystem: "strict",
    ProtectHome: "yes",
    PrivateDevices: "yes",
    RestrictNamespaces: "yes",
    SystemCallArchitectures: "native",
    Restart: "on-failure",
    // The compiler of the runtime needs such memory.
    MemoryDenyWriteExecute: "no",
  };
  const found = Object.keys(wanted).map((key) => [key, settingOf(service, `Service.${key}`)]);
  expect(Object.fromEntries(found)).toEqual(wanted);
  expect(settingOf(service, "Service.RestrictAddressFamilies").split(" ")).toContain("AF_NETLINK");
});

test("systemd has nothing to say against the units, where it is", () => {
  const analyze = Bun.which("systemd-analyze");
  // Without it the tests above have looked at what matters here.
  if (analyze === null) return;
  const units = mkdtempSync(join(tmpdir(), "sluice-units-"));
  const files = ["sluice.service", "sluice.socket"].map((name) => {
    const file = join(units, name);
    // It wants the executable to be there.
    writeFileSync(file, textOf(`deploy/systemd/${name}`).replaceAll("/usr/local/bin/sluice", process.execPath));
    return file;
  });
  const verified = Bun.spawnSync([analyze, "verify", ...files]);
  expect([verified.exitCode, verified.stderr.toString()]).toEqual([0, ""]);
  rmSync(units, { recursive: true });
});
