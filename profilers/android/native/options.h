/* The command line: see docs/benchmark-protocol.md. */
#ifndef EDGEPRUNE_OPTIONS_H
#define EDGEPRUNE_OPTIONS_H

#include <stdint.h>

#include "engine.h"

struct options {
  const char *model, *output, *batch;
  const char **input;
  size_t inputs;
  int threads;
  uint64_t cpus, seed, busy_loop, allocate;
  uint64_t warmup_runs, min_runs, max_runs;
  double warmup_seconds, min_seconds, max_seconds, half_width, progress;
  uint64_t burst, min_rounds, max_rounds, silence;
  double seconds_per_model;
};

/* False after `fail` with code "usage". `options->input` points into `arguments`. */
bool read_options(int count, char **arguments, struct options *options, struct failure *why);

#endif
