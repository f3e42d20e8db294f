/* A runner: loads a model, runs it, and prints what that took. docs/benchmark-protocol.md is its manual. */
#include <stdlib.h>

#include "alive.h"
#include "batch.h"
#include "process.h"
#include "report.h"
#include "tensors.h"

static struct engine *open_model(const struct options *options, struct failure *why) {
  if (options->busy_loop != 0) return busy_loop(options->busy_loop);
  if (options->allocate != 0) return allocation(options->allocate, why);
  return runtime.open(options->model, why);
}

static bool run_one(const struct options *options, struct failure *why) {
  struct report report = {.model = options->model != NULL ? options->model : "self-check"};
  bool known = reset_watermark();
  report.rss_before_kib = known ? status_number("VmRSS") : -1;
  report.hwm_before_kib = known ? status_number("VmHWM") : -1;
  uint64_t start = now_ns();
  struct engine *engine = open_model(options, why);
  if (engine == NULL) return false;
  report.load_ms = (double)(now_ns() - start) / 1e6;
  if (!set_inputs(engine, options, why)) return false;
  start = now_ns();
  if (!engine->run(engine, why)) return false;
  report.first_ms = (double)(now_ns() - start) / 1e6;
  if (!warm_up(engine, options, &report.warmup_runs, why)) return false;
  if (!measure(&report.series, engine, options, &report.stopped, why)) return false;
  report.hwm_kib = known ? status_number("VmHWM") : -1;
  if (options->output != NULL && !write_outputs(engine, options->output, why)) return false;
  print_report(&report, engine, options);
  engine->close(engine);
  free(report.series.ns);
  return true;
}

int main(int count, char **arguments) {
  struct options options;
  struct failure why = {0};
  if (!read_options(count, arguments, &options, &why)) {
    print_failure(NULL, &why);
    return 2;
  }
  live(&options);
  pin(options.cpus); /* before the runtime starts its threads, which inherit it */
  bool done = runtime.start(options.threads, &why);
  if (done && options.batch != NULL) return run_batch(&options) ? 0 : 1;
  done = done && run_one(&options, &why);
  if (!done) print_failure(options.model, &why);
  return done ? 0 : 1;
}
