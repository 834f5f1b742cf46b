/** What must agree in deploy/: ports, paths, times, names, versions, between its files and with the program. */
import { describe, expect, test } from "bun:test";
import { dirname, join } from "node:path";
import packageJson from "../../package.json";
import { commandLine } from "../../src/cli/command-line.ts";
import { exitCodes, type CommandSurroundings } from "../../src/cli/surroundings.ts";
import type { Config } from "../../src/config/schema.ts";
import {
  at,
  deployedConfigs,
  documentsOf,
  durationMs,
  filesLike,
  isThere,
  kubernetesObject,
} from "../support/deployed.ts";
import { type Node, portOf, settingOf, textOf, unitOf } from "../support/deployed.ts";
import { copiesOf, imageOf, stagesOf } from "../support/dockerfile.ts";

const { version } = packageJson;
/** Between the end of the drain and SIGKILL: what is left to do then takes a second or two. */
const marginMs = 5_000;

const dockerfile = textOf("deploy/Dockerfile");
const image = imageOf(dockerfile);
const compose = documentsOf("deploy/compose.yaml")[0]!;
const kustomization = documentsOf("deploy/kubernetes/kustomization.yaml")[0]!;
const service = unitOf("deploy/systemd/sluice.service");
const workflow = documentsOf(".github/workflows/ci.yml")[0]!;

const pod = at<Node>(kubernetesObject("Deployment", "sluice"), "spec.template.spec");
const container = at<Node>(pod, "containers.0");
const proxy = at<Node>(compose, "services.proxy");
const { compose: inCompose, kubernetes: inKubernetes, systemd: inSystemd } = await deployedConfigs();

describe("every file", () => {
  test("that is a configuration has been checked", () => {
    expect(filesLike("deploy/**/*.toml")).toEqual(
      ["compose", "kubernetes", "systemd"].map((place) => `deploy/${place}/config.toml`),
    );
  });

  test("that is YAML can be read, and is named in docs/deployment.md, as the others are", () => {
    const files = filesLike("deploy/**/*").filter((path) => !/\/\.gitignore$|\/admin-token$/.test(path));
    for (const path of files.filter((name) => /\.ya?ml$/.test(name))) expect(documentsOf(path)).not.toEqual([]);
    const page = textOf("docs/deployment.md");
    const named = (path: string): boolean => page.includes(path) || page.includes(`${dirname(path)}/)`);
    expect(files.length).toBeGreaterThan(10);
    expect(files.filter((path) => !named(path))).toEqual([]);
  });

  test("asks for the version of package.json, of whatever it is", () => {
    expect(image.labels["org.opencontainers.image.version"]).toBe(version);
    expect(at<string>(proxy, "image")).toBe(`sluice:${version}`);
    expect(at<string>(container, "image")).toBe(`sluice:${version}`);
    expect(at<string>(kustomization, "images.0.newTag")).toBe(version);
    expect(dockerfile).toContain(`-t sluice:${version} `);
    const tags = [...textOf("docs/deployment.md").matchAll(/\bsluice:(\d[\w.]*)/g)].map((match) => match[1]);
    expect(tags.filter((tag) => tag !== version)).toEqual([]);
  });

  test("pins the images and actions that are others'", () => {
    const images = [
      ...stagesOf(dockerfile).map(({ base }) => base),
      ...Object.values(at<Record<string, Node>>(compose, "services")).map((it) => String(it["image"])),
      at<string>(workflow, "jobs.test.container.image"),
    ];
    expect(images.filter((name) => !/:(?!latest)[\w.-]+$/.test(name))).toEqual([]);
    const uses = [...textOf(".github/workflows/ci.yml").matchAll(/uses: (.*)/g)].map((match) => match[1]!);
    expect(uses.length).toBeGreaterThan(2);
    expect(uses.filter((action) => !/^[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$/.test(action))).toEqual([]);
  });
});

describe("the image", () => {
  test("is built from the lock file with the build command, and Bun is the one of package.json", () => {
    const [build, final] = stagesOf(dockerfile);
    const runs = build!.instructions.filter(({ name }) => name === "RUN").map(({ rest }) => rest);
    expect(runs).toEqual(["npm ci", "npm run build && ./dist/sluice --version"]);
    expect(packageJson.scripts.build).toContain(" --outfile dist/sluice");
    expect(dockerfile).not.toContain(packageJson.devDependencies.bun);
    const copied = copiesOf(build!).flatMap(({ sources }) => sources);
    const letIn = textOf(".dockerignore")
      .split("\n")
      .filter((line) => line.startsWith("!"));
    expect(letIn.map((line) => line.slice(1)).toSorted()).toEqual(copied.toSorted());
    expect(copied.filter((path) => !isThere(path))).toEqual([]);
    expect(final!.instructions.filter(({ name }) => name === "RUN" || name === "ADD")).toEqual([]);
    expect(final!.base).toMatch(/^gcr\.io\/distroless\/.*:nonroot$/);
  });

  test("runs the executable as a numeric user that is not root, without variables that Bun would go by", () => {
    expect(image.user).toMatch(/^[1-9]\d*:[1-9]\d*$/);
    expect(image.entrypoint).toEqual(image.copies.map(({ target }) => target));
    expect(image.env).toMatchObject({ BUN_OPTIONS: "", BUN_BE_BUN: "" });
    expect(textOf("src/lifecycle/signals.ts")).toContain(`"${image.stopSignal}"`);
  });

  test("calls commands that there are", async () => {
    const [executable = "", ...arguments_] = image.healthcheck;
    expect(executable).toBe(image.entrypoint[0]!);
    expect(at<string[]>(proxy, "healthcheck.test")).toEqual(["CMD", ...image.healthcheck]);
    const commands = [arguments_, image.command, at<string[]>(container, "args")];
    for (const setting of ["ExecStartPre", "ExecStart"])
      commands.push(settingOf(service, `Service.${setting}`).split(" ").slice(1));
    for (const [command = "", ...rest] of commands) {
      let help = "";
      const out = (text: string): void => void (help += text);
      const silent = { env: {}, out, err: out } as unknown as CommandSurroundings;
      expect([command, await commandLine([command, "--help"], silent)]).toEqual([command, exitCodes.done]);
      for (const option of rest.filter((word) => word.startsWith("--"))) expect(help).toContain(option);
    }
  });
});

test("the ports are the same everywhere", () => {
  const web = portOf(inKubernetes.listeners[0]!.listen);
  const admin = portOf(inKubernetes.admin!.listen);
  expect([portOf(inCompose.listeners[0]!.listen), portOf(inCompose.admin!.listen)]).toEqual([web, admin]);
  expect(image.ports).toEqual([web, admin]);
  const published = at<string[]>(proxy, "ports").map((mapping) => Number(mapping.split(":").at(-1)));
  expect(published).toEqual([web, admin]);
  const ports = at<{ name: string; containerPort: number }[]>(container, "ports");
  expect(ports.map(({ name, containerPort }) => [name, containerPort])).toEqual([
    ["web", web],
    ["admin", admin],
  ]);
  const named = new Set(ports.map(({ name }) => name));
  for (const name of ["sluice", "sluice-admin"]) {
    for (const { targetPort } of at<{ targetPort: string }[]>(kubernetesObject("Service", name), "spec.ports")) {
      expect([...named]).toContain(targetPort);
    }
  }
  expect([...named]).toContain(at<string>(kubernetesObject("PodMonitor", "sluice"), "spec.podMetricsEndpoints.0.port"));
  const policy = at<Node>(kubernetesObject("NetworkPolicy", "sluice"), "spec");
  expect([0, 1].map((index) => at<number>(policy, `ingress.${index}.ports.0.port`))).toEqual([web, admin]);
  const backend = inKubernetes.backends[0]!.endpoints.map(({ address }) => portOf(address));
  expect(at<number>(policy, "egress.1.ports.0.port")).toBe(backend[0]!);
  const targets = at<string[]>(documentsOf("deploy/prometheus.yml")[0], "scrape_configs.0.static_configs.0.targets");
  expect(targets).toEqual([`proxy:${admin}`]);
  // Ports that connections to endpoints take must not be those that are listened on.
  const range = at<string>(pod, "securityContext.sysctls.0.value").split(" ").map(Number);
  expect([web, admin].filter((port) => port >= range[0]! && port <= range[1]!)).toEqual([]);
});

test("nobody is killed before the drain is over", () => {
  const wanted = ({ shutdown }: Config): number => shutdown.delayMs + shutdown.drainMs + marginMs;
  expect(durationMs(at<string>(proxy, "stop_grace_period"))).toBeGreaterThanOrEqual(wanted(inCompose));
  expect(at<number>(pod, "terminationGracePeriodSeconds") * 1000).toBeGreaterThanOrEqual(wanted(inKubernetes));
  expect(durationMs(settingOf(service, "Service.TimeoutStopSec"))).toBeGreaterThanOrEqual(wanted(inSystemd));
  const stop = /docker stop --time (\d+)/.exec(textOf(".github/workflows/ci.yml"))?.[1];
  expect(Number(stop) * 1000).toBeGreaterThanOrEqual(wanted(inCompose));
});

test("probes ask for paths that the admin server has, and notice a shutdown before its delay is over", () => {
  const paths = new Set([...textOf("src/admin/admin-server.ts").matchAll(/"(\/[a-z/]*)"/g)].map((match) => match[1]!));
  const probe = (name: string): Node => at(container, name);
  for (const [name, path] of [
    ["startupProbe", "/livez"],
    ["livenessProbe", "/livez"],
    ["readinessProbe", "/readyz"],
  ] as const) {
    expect([name, at<string>(probe(name), "httpGet.path")]).toEqual([name, path]);
    expect(at<string>(probe(name), "httpGet.port")).toBe("admin");
    expect([...paths]).toContain(path);
  }
  const scraped = [
    at<string>(documentsOf("deploy/prometheus.yml")[0], "scrape_configs.0.metrics_path"),
    at<string>(kubernetesObject("PodMonitor", "sluice"), "spec.podMetricsEndpoints.0.path"),
  ];
  expect(scraped.filter((path) => !paths.has(path))).toEqual([]);
  const readiness = probe("readinessProbe");
  const noticedMs = 1000 * (at<number>(readiness, "periodSeconds") * at<number>(readiness, "failureThreshold") + 1);
  expect(inKubernetes.shutdown.delayMs).toBeGreaterThan(noticedMs);
});

describe("compose.yaml", () => {
  test("the endpoints are services of it, at the ports that they listen on", () => {
    for (const { address } of inCompose.backends[0]!.endpoints) {
      const { host, port } = address as { host: string; port: number };
      expect(at<string[]>(compose, `services.${host}.expose`)).toEqual([String(port)]);
      expect(at<string[]>(compose, `services.${host}.command`)).toEqual([`--port=${port}`, `--name=${host}`]);
    }
    expect(inCompose.backends[0]!.endpoints.length).toBe(2);
    expect(at<string[]>(proxy, "depends_on")).toEqual(["app-1", "app-2"]);
  });

  test("every service is as tight as it can be, and the secret is where both look for it", () => {
    for (const it of Object.values(at<Record<string, Node>>(compose, "services"))) {
      expect(it).toMatchObject({ read_only: true, cap_drop: ["ALL"], security_opt: ["no-new-privileges:true"] });
    }
    expect(at<string>(proxy, "user")).toBe(image.user);
    expect(at<string>(proxy, "stop_signal")).toBe(image.stopSignal);
    expect(at<string>(proxy, "environment.SLUICE_ADMIN_TOKEN_FILE")).toBe("/run/secrets/admin-token");
    const scrape = documentsOf("deploy/prometheus.yml")[0];
    expect(at<string>(scrape, "scrape_configs.0.authorization.credentials_file")).toBe("/run/secrets/admin-token");
    expect(at<string>(compose, "secrets.admin-token.file")).toBe("./secrets/admin-token");
    expect(textOf("deploy/secrets/.gitignore").split("\n")).toContain("*");
    expect(at<string>(proxy, "volumes.0.target")).toBe(dirname(image.env["SLUICE_CONFIG"]!));
    expect(isThere(join("deploy", at<string>(proxy, "volumes.0.source"), "config.toml"))).toBe(true);
  });
});

test("the workflow may read and no more, ends in time, and calls what there is", () => {
  const text = textOf(".github/workflows/ci.yml");
  expect(workflow["permissions"]).toEqual({ contents: "read" });
  const jobs = Object.entries(at<Record<string, Node>>(workflow, "jobs"));
  expect(jobs.filter(([, job]) => !(Number(job["timeout-minutes"]) > 0) || "permissions" in job)).toEqual([]);
  expect(text).not.toMatch(/https?:|registry/);
  const scripts = [...text.matchAll(/npm run (\w+)/g)].map((match) => match[1]!);
  expect(scripts.filter((script) => !(script in packageJson.scripts))).toEqual([]);
  expect(text).toContain(".ci/run");
  // Node.js is the same everywhere.
  const node = /node:([\d.]+)-/.exec(dockerfile)?.[1];
  expect(at<string>(workflow, "jobs.test.container.image")).toBe(`node:${node}-bookworm`);
  expect([...text.matchAll(/node-version: (\S+)/g)].map((match) => match[1])).toEqual([node]);
});
