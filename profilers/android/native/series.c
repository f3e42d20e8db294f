#include "series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alive.h"
#include "process.h"

enum { LOOK_EVERY = 25 }; /* runs between two looks at the interval: sorting takes time */

bool time_run(struct series *series, struct engine *engine, struct failure *why) {
  if (series->runs == series->room) {
    size_t room = series->room ? 2 * series->room : 256;
    uint64_t *more = realloc(series->ns, room * sizeof *more);
    if (more == NULL) return fail(why, "out_of_memory", "no room for %zu samples", room);
    series->ns = more;
    series->room = room;
  }
  uint64_t start = now_ns();
  if (!engine->run(engine, why)) return false;
  uint64_t ns = now_ns() - start;
  series->ns[series->runs++] = ns;
  series->total_ns += ns;
  return true;
}

bool warm_up(struct engine *engine, const struct options *options, uint64_t *runs, struct failure *why) {
  uint64_t start = now_ns(), least = (uint64_t)(options->warmup_seconds * 1e9);
  for (*runs = 0; *runs < options->warmup_runs || now_ns() - start < least; ++*runs) {
    if (!engine->run(engine, why)) return false;
    if (sign_is_due()) {
      printf("{\"progress\": {\"warmup_runs\": %llu}}\n", (unsigned long long)*runs + 1);
      fflush(stdout);
    }
  }
  return true;
}

static int ascending(const void *one, const void *other) {
  uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
  return (a > b) - (a < b);
}

static uint64_t *sorted(const struct series *series) {
  uint64_t *copy = malloc(series->runs * sizeof *copy);
  if (copy == NULL) return NULL;
  memcpy(copy, series->ns, series->runs * sizeof *copy);
  qsort(copy, series->runs, sizeof *copy, ascending);
  return copy;
}

uint64_t median(const struct series *series) {
  uint64_t *ordered = sorted(series), value = 0;
  if (ordered != NULL && series->runs > 0)
    value = (ordered[(series->runs - 1) / 2] + ordered[series->runs / 2]) / 2;
  free(ordered);
  return value;
}

/* Half the 95 % interval of the median over the median. Its order statistics by the normal approximation of the binomial
 * distribution (David & Nagaraja, Order Statistics, section 7.1); who reads the samples computes the exact ones. */
static double half_width(const struct series *series) {
  double n = (double)series->runs;
  double rank = floor((n - 1.96 * sqrt(n)) / 2) - 1;
  uint64_t *ordered = sorted(series);
  if (ordered == NULL) return INFINITY;
  size_t low = rank > 0 ? (size_t)rank : 0, high = series->runs - 1 - low;
  double width = (double)(ordered[high] - ordered[low]) / 2 / (double)ordered[series->runs / 2];
  free(ordered);
  return width;
}

static const char *end_of(const struct series *series, const struct options *options) {
  double seconds = (double)series->total_ns / 1e9;
  if (series->runs >= options->max_runs) return "max_runs";
  if (seconds >= options->max_seconds) return "max_seconds";
  if (series->runs < options->min_runs || seconds < options->min_seconds) return NULL;
  if (options->half_width == 0) return "settled";
  bool look = series->runs == options->min_runs || series->runs % LOOK_EVERY == 0;
  return look && half_width(series) <= options->half_width ? "settled" : NULL;
}

bool measure(
    struct series *series,
    struct engine *engine,
    const struct options *options,
    const char **stopped,
    struct failure *why) {
  do {
    if (!time_run(series, engine, why)) return false;
    if (sign_is_due()) {
      printf("{\"progress\": {\"runs\": %zu, \"seconds\": %.3f, \"median_ns\": %llu}}\n", series->runs,
             (double)series->total_ns / 1e9, (unsigned long long)median(series));
      fflush(stdout);
    }
  } while ((*stopped = end_of(series, options)) == NULL);
  return true;
}
