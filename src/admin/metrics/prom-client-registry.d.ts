/** The one module of prom-client that is used, which has no types of its own beside those of the whole. */
declare module "prom-client/lib/registry.js" {
  /** What a registry asks of a metric. */
  interface RegistryMetric {
    readonly name: string;
    get(): Promise<{
      readonly name: string;
      readonly help: string;
      readonly type: string;
      readonly values: readonly {
        readonly labels: Readonly<Record<string, string>>;
        readonly value: number;
        readonly metricName?: string;
      }[];
    }>;
  }

  /** As `Registry` of "prom-client", where its metrics may be objects of any class. */
  export default class Registry {
    readonly contentType: string;
    registerMetric(metric: RegistryMetric): void;
    getSingleMetricAsString(name: string): Promise<string>;
  }
}
