#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool whole(const char *text, int base, uint64_t *value) {
  char *end;
  errno = 0;
  *value = strtoull(text, &end, base);
  return errno == 0 && end != text && *end == '\0' && strchr(text, '-') == NULL;
}

static bool seconds(const char *text, double *value) {
  char *end;
  *value = strtod(text, &end);
  return end != text && *end == '\0' && isfinite(*value) && *value >= 0;
}

bool read_options(int count, char **arguments, struct options *options, struct failure *why) {
  enum { MODEL, INPUT, OUTPUT, BATCH, THREADS, CPUS, WHOLE, SECONDS };
  struct options *o = options;
  uint64_t threads;
  *o = (struct options){.threads = 1, .warmup_runs = 10, .warmup_seconds = 1, .min_runs = 100, .min_seconds = 2};
  o->max_runs = 2000, o->max_seconds = 60, o->half_width = 0.02;
  o->burst = 3, o->min_rounds = 5, o->max_rounds = 150, o->seconds_per_model = 0.03;
  const struct {
    const char *name;
    int kind;
    void *value;
  } known[] = {
      {"model", MODEL, NULL},
      {"input", INPUT, NULL},
      {"output", OUTPUT, NULL},
      {"batch", BATCH, NULL},
      {"threads", THREADS, NULL},
      {"cpus", CPUS, NULL},
      {"seed", WHOLE, &o->seed},
      {"busy-loop", WHOLE, &o->busy_loop},
      {"allocate", WHOLE, &o->allocate},
      {"warmup-runs", WHOLE, &o->warmup_runs},
      {"min-runs", WHOLE, &o->min_runs},
      {"max-runs", WHOLE, &o->max_runs},
      {"silence", WHOLE, &o->silence},
      {"burst", WHOLE, &o->burst},
      {"min-rounds", WHOLE, &o->min_rounds},
      {"max-rounds", WHOLE, &o->max_rounds},
      {"warmup-seconds", SECONDS, &o->warmup_seconds},
      {"min-seconds", SECONDS, &o->min_seconds},
      {"max-seconds", SECONDS, &o->max_seconds},
      {"half-width", SECONDS, &o->half_width},
      {"progress", SECONDS, &o->progress},
      {"seconds-per-model", SECONDS, &o->seconds_per_model},
  };
  enum { KNOWN = sizeof known / sizeof *known };
  struct option names[KNOWN + 1] = {0};
  for (int i = 0; i < KNOWN; i++) names[i] = (struct option){known[i].name, required_argument, NULL, i};
  o->input = calloc((size_t)count, sizeof *o->input);
  if (o->input == NULL) return fail(why, "out_of_memory", "no room for the options");
  opterr = 0;
  for (int found; (found = getopt_long(count, arguments, "", names, NULL)) != -1;) {
    if (found == '?') return fail(why, "usage", "%s is no option, or lacks its value", arguments[optind - 1]);
    bool right = true;
    switch (known[found].kind) {
      case MODEL: o->model = optarg; break;
      case INPUT: o->input[o->inputs++] = optarg; break;
      case OUTPUT: o->output = optarg; break;
      case BATCH: o->batch = optarg; break;
      case THREADS:
        right = whole(optarg, 10, &threads) && threads >= 1 && threads <= 64;
        o->threads = (int)threads;
        break;
      case CPUS: right = whole(optarg, 16, &o->cpus); break;
      case WHOLE: right = whole(optarg, 10, known[found].value); break;
      case SECONDS: right = seconds(optarg, known[found].value); break;
    }
    if (!right) return fail(why, "usage", "--%s does not take %s", known[found].name, optarg);
  }
  if (optind < count) return fail(why, "usage", "%s is not expected", arguments[optind]);
  int asked = (o->model != NULL) + (o->batch != NULL) + (o->busy_loop != 0) + (o->allocate != 0);
  if (asked != 1) return fail(why, "usage", "one of --model, --batch, --busy-loop, --allocate, not %d of them", asked);
  if (o->max_runs < 1 || o->burst < 1 || o->min_rounds < 1) return fail(why, "usage", "there must be a run");
  return true;
}
