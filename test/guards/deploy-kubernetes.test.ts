/** What must agree in deploy/kubernetes: selectors and labels, names, mounts, numbers of pods, rights. */
import { expect, test } from "bun:test";
import { basename } from "node:path";
import { at, documentsOf, filesLike, isThere, kubernetesObject, textOf, type Node } from "../support/deployed.ts";
import { imageOf } from "../support/dockerfile.ts";

const image = imageOf(textOf("deploy/Dockerfile"));
const kustomization = documentsOf("deploy/kubernetes/kustomization.yaml")[0]!;
const deployment = kubernetesObject("Deployment", "sluice");
const podLabels = at<Node>(deployment, "spec.template.metadata.labels");
const pod = at<Node>(deployment, "spec.template.spec");
const container = at<Node>(pod, "containers.0");

test("every selector selects the pods, and every name is that of something", () => {
  const selectors = [
    at<Node>(deployment, "spec.selector.matchLabels"),
    at<Node>(kubernetesObject("Service", "sluice"), "spec.selector"),
    at<Node>(kubernetesObject("Service", "sluice-admin"), "spec.selector"),
    at<Node>(kubernetesObject("PodDisruptionBudget", "sluice"), "spec.selector.matchLabels"),
    at<Node>(kubernetesObject("NetworkPolicy", "sluice"), "spec.podSelector.matchLabels"),
    at<Node>(kubernetesObject("PodMonitor", "sluice"), "spec.selector.matchLabels"),
    ...at<Node[]>(pod, "topologySpreadConstraints").map((it) => at<Node>(it, "labelSelector.matchLabels")),
  ];
  for (const selector of selectors) expect(podLabels).toMatchObject(selector);
  expect(at<Node>(kubernetesObject("HorizontalPodAutoscaler", "sluice"), "spec.scaleTargetRef")).toEqual({
    apiVersion: deployment["apiVersion"],
    kind: "Deployment",
    name: at(deployment, "metadata.name"),
  });
  const config = at<Node>(kustomization, "configMapGenerator.0");
  const secret = at<Node>(kustomization, "secretGenerator.0");
  expect(at<string>(pod, "volumes.0.configMap.name")).toBe(at(config, "name"));
  expect(at<string>(pod, "volumes.1.secret.secretName")).toBe(at(secret, "name"));
  expect(
    at<Node>(kubernetesObject("PodMonitor", "sluice"), "spec.podMetricsEndpoints.0.authorization.credentials"),
  ).toEqual({
    name: at(secret, "name"),
    key: "token",
  });
  // kustomize changes no name that a PodMonitor has.
  expect(at<boolean>(secret, "options.disableNameSuffixHash")).toBe(true);
});

test("kustomization.yaml has every file, but what needs an operator", () => {
  const files = filesLike("deploy/kubernetes/*.yaml").map((path) => basename(path));
  const left = files.filter((file) => !at<string[]>(kustomization, "resources").includes(file));
  expect(left).toEqual(["kustomization.yaml", "pod-monitor.yaml"]);
  expect(
    at<string[]>(kustomization, "configMapGenerator.0.files").every((file) => isThere(`deploy/kubernetes/${file}`)),
  ).toBe(true);
  expect(textOf("deploy/kubernetes/.gitignore").split("\n")).toContain("admin-token");
  expect(at<string[]>(kustomization, "secretGenerator.0.files")).toEqual(["token=admin-token"]);
});

test("the program finds its configuration and its token where they are mounted", () => {
  const mounts = at<{ name: string; mountPath: string }[]>(container, "volumeMounts");
  const folderOf = (name: string): string => mounts.find((mount) => mount.name === name)!.mountPath;
  expect(at<string[]>(container, "args")).toEqual(["run", "--config", `${folderOf("config")}/config.toml`]);
  expect(image.env["SLUICE_CONFIG"]).toBe(`${folderOf("config")}/config.toml`);
  const env = at<{ name: string; value: string }[]>(container, "env");
  expect(env.find(({ name }) => name === "SLUICE_ADMIN_TOKEN_FILE")?.value).toBe(`${folderOf("admin")}/token`);
  // Variables for the Service would be SLUICE_… of no key.
  expect(pod["enableServiceLinks"]).toBe(false);
});

test("a rollout and a node that is drained leave enough pods", () => {
  expect(at<Node>(deployment, "spec.strategy.rollingUpdate")).toEqual({ maxUnavailable: 0, maxSurge: 1 });
  expect(at<Node>(deployment, "spec")["replicas"]).toBeUndefined();
  const { minReplicas, maxReplicas } = at<Record<string, number>>(
    kubernetesObject("HorizontalPodAutoscaler", "sluice"),
    "spec",
  );
  const away = at<number>(kubernetesObject("PodDisruptionBudget", "sluice"), "spec.maxUnavailable");
  expect(minReplicas! - away).toBeGreaterThanOrEqual(2);
  expect(maxReplicas!).toBeGreaterThan(minReplicas!);
  // Shares of CPU are counted from it.
  expect(at<string>(container, "resources.requests.cpu")).toBe("1");
});

test('the pod fits the profile "restricted", as the user of the image', () => {
  const [uid, gid] = image.user.split(":").map(Number);
  expect(at<Node>(pod, "securityContext")).toMatchObject({
    runAsNonRoot: true,
    runAsUser: uid,
    runAsGroup: gid,
    seccompProfile: { type: "RuntimeDefault" },
  });
  expect(at<Node>(container, "securityContext")).toEqual({
    allowPrivilegeEscalation: false,
    readOnlyRootFilesystem: true,
    privileged: false,
    capabilities: { drop: ["ALL"] },
  });
  expect(pod["automountServiceAccountToken"]).toBe(false);
});
