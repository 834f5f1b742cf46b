/** Who the traces come from, in the words of OpenTelemetry. Loaded with the exporter only. */
import { hostname } from "node:os";
import { defaultResource, resourceFromAttributes, type Resource } from "@opentelemetry/resources";
import { ATTR_SERVICE_NAME, ATTR_SERVICE_VERSION } from "@opentelemetry/semantic-conventions";

/** The longest key or value that is taken (OpenTelemetry, resource SDK: environment variables). */
const textCharsMax = 255;

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The resource of this process. `OTEL_RESOURCE_ATTRIBUTES` adds to it and beats it, `OTEL_SERVICE_NAME` beats both.
 * `problem` says why the former was not used.
 */
export function traceResource(
  service: string,
  version: string,
  env: Environment,
): { readonly resource: Resource; readonly problem: string | undefined } {
  const given = resourceAttributes(env["OTEL_RESOURCE_ATTRIBUTES"] ?? "");
  const name = env["OTEL_SERVICE_NAME"]?.trim();
  const resource = defaultResource().merge(
    resourceFromAttributes({
      [ATTR_SERVICE_NAME]: service,
      [ATTR_SERVICE_VERSION]: version,
      "process.pid": process.pid,
      "host.name": hostname(),
      ...given,
      ...(name ? { [ATTR_SERVICE_NAME]: name } : {}),
    }),
  );
  return { resource, problem: given === undefined ? "found no list such as key=value,key=value" : undefined };
}

/**
 * Reads `key=value,key=value` with percent-encoding. Anything wrong makes all of it `undefined`, as OpenTelemetry has it
 * (resource SDK: specifying resource information via an environment variable).
 */
function resourceAttributes(text: string): Record<string, string> | undefined {
  const attributes: Record<string, string> = {};
  for (const part of text.split(",")) {
    if (part.trim() === "") continue;
    const [key, value, ...more] = part.split("=").map(decoded);
    if (!key || value === undefined || more.length > 0) return undefined;
    if (key.length > textCharsMax || value.length > textCharsMax) return undefined;
    attributes[key] = value;
  }
  return attributes;
}

/** `undefined`: not percent-encoded. */
function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text.trim());
  } catch {
    return undefined;
  }
}
