/**
 * Metrics: counters, gauges and histograms, and their text form for Prometheus.
 *
 * Small on purpose: the names and labels are controller-runtime's (pkg/internal/controller/metrics/metrics.go,
 * pkg/metrics), so dashboards and alerts made for operators in Go work here.
 * @module
 */

/** The labels of one series. */
export type Labels = Record<string, string>;

type Kind = "counter" | "gauge" | "histogram";

/** One metric and its series. */
interface Family {
  name: string;
  kind: Kind;
  help: string;
  lines(): string[];
}

/** A number that only grows. */
export interface Counter {
  inc(labels?: Labels, by?: number): void;
  value(labels?: Labels): number;
}

/** A number that goes up and down. */
export interface Gauge {
  set(labels: Labels, value: number): void;
  value(labels?: Labels): number;
}

/** How often a value fell below each bound. */
export interface Histogram {
  observe(labels: Labels, value: number): void;
  /** Makes the series exist at 0. */
  touch(labels: Labels): void;
}

/** Seconds, as controller-runtime counts reconciles. */
export const reconcileBuckets = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.15,
  0.2,
  0.25,
  0.3,
  0.35,
  0.4,
  0.45,
  0.5,
  0.6,
  0.7,
  0.8,
  0.9,
  1,
  1.25,
  1.5,
  1.75,
  2,
  2.5,
  3,
  3.5,
  4,
  4.5,
  5,
  6,
  7,
  8,
  9,
  10,
  15,
  20,
  25,
  30,
  40,
  50,
  60,
];
/** Seconds, as client-go's work queue is counted. */
export const queueBuckets = [10e-9, 100e-9, 1e-6, 10e-6, 100e-6, 1e-3, 10e-3, 100e-3, 1, 10, 100, 1000];

/** All metrics of one manager. */
export class MetricsRegistry {
  readonly #families = new Map<string, Family>();
  readonly #collectors: (() => void)[] = [];
  readonly #onError: (error: unknown) => void;

  /** @param onError hears what a collector threw, and the others are read all the same; default: the reading fails */
  constructor(
    onError = (error: unknown): void => {
      throw error;
    },
  ) {
    this.#onError = onError;
  }

  /** Calls `collect` before each reading, to set gauges that are worked out. */
  onCollect(collect: () => void): void {
    this.#collectors.push(collect);
  }

  counter(name: string, help: string): Counter {
    const series = this.#numbers(name, "counter", help);
    return {
      inc: (labels = {}, by = 1) => {
        const key = seriesKey(labels);
        series.set(key, (series.get(key) ?? 0) + by);
      },
      value: (labels = {}) => series.get(seriesKey(labels)) ?? 0,
    };
  }

  gauge(name: string, help: string): Gauge {
    const series = this.#numbers(name, "gauge", help);
    return {
      set: (labels, value) => {
        series.set(seriesKey(labels), value);
      },
      value: (labels = {}) => series.get(seriesKey(labels)) ?? 0,
    };
  }

  /**
   * Adds gauges whose series are worked out anew at each reading: one that is not given any more is gone.
   *
   * @param help what each of them tells, by name
   * @param measure the series of all of them, asked for once a reading
   */
  gauges<Name extends string>(
    help: Readonly<Record<Name, string>>,
    measure: () => Iterable<
      { readonly name: Name; readonly labels: Readonly<Labels>; readonly value: number }
    >,
  ): void {
    const all = Object.entries<string>(help).map(([name, text]) => ({
      name,
      series: this.#numbers(name, "gauge", text),
    }));
    const byName = new Map(all.map(({ name, series }) => [name, series]));
    this.onCollect(() => {
      for (const { series } of all) series.clear();
      for (const { name, labels, value } of [...measure()]) byName.get(name)?.set(seriesKey(labels), value);
    });
  }

  histogram(name: string, help: string, buckets: readonly number[]): Histogram {
    const series = new Map<string, { counts: number[]; sum: number; count: number }>();
    const at = (labels: Labels) => {
      const key = seriesKey(labels);
      let found = series.get(key);
      if (!found) series.set(key, found = { counts: buckets.map(() => 0), sum: 0, count: 0 });
      return found;
    };
    const lines = () =>
      [...series].flatMap(([key, { counts, sum, count }]) => {
        const label = (bound: string) => `{${key ? `${key},` : ""}le="${bound}"}`;
        let below = 0;
        return [
          ...counts.map((bucket, index) =>
            `${name}_bucket${label(String(buckets[index]))} ${below += bucket}`
          ),
          `${name}_bucket${label("+Inf")} ${count}`,
          `${name}_sum${key ? `{${key}}` : ""} ${sum}`,
          `${name}_count${key ? `{${key}}` : ""} ${count}`,
        ];
      });
    this.#add({ name, kind: "histogram", help, lines });
    return {
      observe: (labels, value) => {
        const found = at(labels);
        const index = buckets.findIndex((bound) => value <= bound);
        if (index >= 0) found.counts[index]! += 1;
        found.sum += value;
        found.count += 1;
      },
      touch: (labels) => {
        at(labels);
      },
    };
  }

  /** The text that Prometheus scrapes. */
  text(): string {
    for (const collect of this.#collectors) {
      try {
        collect();
      } catch (error) {
        this.#onError(error);
      }
    }
    return [...this.#families.values()].flatMap((family) => [
      `# HELP ${family.name} ${family.help.replace(/[\\\n]/g, escaped)}`,
      `# TYPE ${family.name} ${family.kind}`,
      ...family.lines(),
    ]).join("\n") + "\n";
  }

  #numbers(name: string, kind: Kind, help: string): Map<string, number> {
    const series = new Map<string, number>();
    this.#add({
      name,
      kind,
      help,
      lines: () => [...series].map(([key, value]) => `${name}${key ? `{${key}}` : ""} ${value}`),
    });
    return series;
  }

  #add(family: Family): void {
    if (this.#families.has(family.name)) throw new RangeError(`Cannot add metric "${family.name}" twice`);
    this.#families.set(family.name, family);
  }
}

/** The same labels are the same series, in whatever order they are given. */
function seriesKey(labels: Labels): string {
  return Object.keys(labels).sort()
    .map((name) => `${name}="${labels[name]!.replace(/[\\"\n]/g, escaped)}"`).join(",");
}

function escaped(found: string): string {
  return found === "\n" ? "\\n" : `\\${found}`;
}

/** The metrics that every manager has. */
export type RuntimeMetrics = ReturnType<typeof createRuntimeMetrics>;

/** What one informer shows; a kind may have several. */
export interface InformerCosts {
  kind: string;
  size(): number;
  ageMs(): number;
}

/** Registers the metrics of controllers, queues, informers, leader election and the client. */
export function createRuntimeMetrics(registry: MetricsRegistry) {
  const counter = (name: string, help: string) => registry.counter(name, help);
  const gauge = (name: string, help: string) => registry.gauge(name, help);
  const informers: InformerCosts[] = [];
  registry.gauges({
    informer_objects: "Objects in the caches of this kind.",
    informer_cache_age_seconds:
      "Time since the API server was last heard on this kind, by the cache that waits longest.",
  }, () =>
    [...Map.groupBy(informers, ({ kind }) => kind)].flatMap(([kind, all]) => [
      { name: "informer_objects", labels: { kind }, value: all.reduce((sum, one) => sum + one.size(), 0) },
      {
        name: "informer_cache_age_seconds",
        labels: { kind },
        value: Math.max(...all.map((one) => one.ageMs())) / 1000,
      },
    ]));
  return {
    registry,
    /** The informers whose size and age are shown. */
    informers,
    reconcileTotal: counter("controller_runtime_reconcile_total", "Reconciles per controller and result."),
    reconcileErrors: counter(
      "controller_runtime_reconcile_errors_total",
      "Failed reconciles per controller.",
    ),
    terminalErrors: counter(
      "controller_runtime_terminal_reconcile_errors_total",
      "Reconciles that failed and are not retried.",
    ),
    reconcilePanics: counter(
      "controller_runtime_reconcile_panics_total",
      "Reconciles that threw something that is not an Error.",
    ),
    reconcileTimeouts: counter(
      "controller_runtime_reconcile_timeouts_total",
      "Reconciles whose deadline passed.",
    ),
    reconcileTime: registry.histogram(
      "controller_runtime_reconcile_time_seconds",
      "Time of one reconcile.",
      reconcileBuckets,
    ),
    maxConcurrent: gauge("controller_runtime_max_concurrent_reconciles", "Workers per controller."),
    activeWorkers: gauge("controller_runtime_active_workers", "Workers busy at the moment."),
    ownWriteWaits: counter(
      "controller_runtime_own_write_timeouts_total",
      "Writes, own or met in a conflict, that did not show in the cache in time; their source was listed anew.",
    ),
    queueDepth: gauge("workqueue_depth", "Keys waiting."),
    queueAdds: counter("workqueue_adds_total", "Keys added."),
    queueWait: registry.histogram("workqueue_queue_duration_seconds", "Time a key waited.", queueBuckets),
    queueWork: registry.histogram(
      "workqueue_work_duration_seconds",
      "Time a key was worked on.",
      queueBuckets,
    ),
    queueUnfinished: gauge("workqueue_unfinished_work_seconds", "Sum of the times of keys being worked on."),
    queueLongest: gauge("workqueue_longest_running_processor_seconds", "Longest of them."),
    queueRetries: counter("workqueue_retries_total", "Keys added after a failure."),
    leader: gauge("leader_election_master_status", "1 while this process leads."),
    requests: counter("rest_client_requests_total", "Requests to the API server by status code and method."),
    warnings: counter("rest_client_warnings_total", "Warnings in answers of the API server."),
    informerLists: counter("informer_lists_total", "Full lists of this kind."),
    informerRestarts: counter(
      "informer_watch_restarts_total",
      "Watches of this kind opened again, by reason.",
    ),
    informerErrors: counter(
      "informer_errors_total",
      "Failed lists and watches of this kind, by status or what.",
    ),
    informerBadEvents: counter(
      "informer_bad_events_total",
      "Watch events and list items that could not be used.",
    ),
    collectorErrors: counter("metrics_collector_errors_total", "Metrics that could not be worked out."),
    handlerErrors: counter("informer_handler_errors_total", "Handlers that threw."),
    events: counter("event_recorder_events_total", "Kubernetes events by outcome."),
  };
}
