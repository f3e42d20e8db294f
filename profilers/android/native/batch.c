/* Many models in one process, in turns: noise hits all alike, and each turn starts with caches that hold other models. */
#include "batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "alive.h"
#include "process.h"
#include "report.h"
#include "tensors.h"

enum { MAX_GROUP = 4096 };

struct member {
  char *model;
  struct engine *engine; /* NULL once it failed */
  struct report report;
  struct failure why;
};

static void lose(struct member *member) {
  if (member->engine != NULL) member->engine->close(member->engine);
  member->engine = NULL;
}

/* Load, first run, and one untimed burst; how long a burst takes, ns. */
static uint64_t begin(struct member *member, const struct options *options) {
  uint64_t start = now_ns();
  member->engine = runtime.open(member->model, &member->why);
  member->report = (struct report){.model = member->model, .stopped = "settled"};
  member->report.rss_before_kib = member->report.hwm_before_kib = member->report.hwm_kib = -1;
  if (member->engine == NULL) return 0;
  member->report.load_ms = (double)(now_ns() - start) / 1e6;
  bool works = set_inputs(member->engine, options, &member->why);
  start = now_ns();
  works = works && member->engine->run(member->engine, &member->why);
  member->report.first_ms = (double)(now_ns() - start) / 1e6;
  start = now_ns();
  for (uint64_t i = 0; works && i < options->burst; i++) works = member->engine->run(member->engine, &member->why);
  member->report.warmup_runs = options->burst;
  if (!works) lose(member);
  return now_ns() - start;
}

static void tell(const char *phase, uint64_t number, size_t models) {
  if (!sign_is_due()) return;
  printf("{\"progress\": {\"%s\": %llu, \"models\": %zu}}\n", phase, (unsigned long long)number, models);
  fflush(stdout);
}

static bool run_group(struct member *group, size_t size, const struct options *options) {
  bool whole = true;
  uint64_t round_ns = 1;
  for (size_t i = 0; i < size; i++) {
    round_ns += begin(&group[i], options);
    tell("loaded", i + 1, size);
  }
  uint64_t rounds = (uint64_t)(options->seconds_per_model * 1e9 * (double)size) / round_ns;
  if (rounds > options->max_rounds) rounds = options->max_rounds;
  if (rounds < options->min_rounds) rounds = options->min_rounds;
  for (uint64_t round = 0; round < rounds; round++)
    for (size_t i = 0; i < size; i++) {
      for (uint64_t run = 0; group[i].engine != NULL && run < options->burst; run++)
        if (!time_run(&group[i].report.series, group[i].engine, &group[i].why)) lose(&group[i]);
      tell("round", round + 1, size);
    }
  for (size_t i = 0; i < size; i++) {
    if (group[i].engine != NULL)
      print_report(&group[i].report, group[i].engine, options);
    else
      print_failure(group[i].model, &group[i].why);
    whole = whole && group[i].engine != NULL;
    lose(&group[i]);
    free(group[i].report.series.ns);
    free(group[i].model);
  }
  return whole;
}

bool run_batch(const struct options *options) {
  struct failure why;
  char line[4096];
  bool whole = true;
  size_t size = 0;
  FILE *list = fopen(options->batch, "r");
  struct member *group = calloc(MAX_GROUP, sizeof *group);
  if (list == NULL || group == NULL) {
    fail(&why, list ? "out_of_memory" : "missing_model", "%s: %s", options->batch, strerror(errno));
    print_failure(NULL, &why);
    return false;
  }
  while (fgets(line, sizeof line, list) != NULL) {
    line[strcspn(line, "\n")] = '\0';
    if (line[0] != '\0') group[size++].model = strdup(line);
    if (line[0] == '\0' || size == MAX_GROUP) {
      whole = run_group(group, size, options) && whole;
      memset(group, 0, size * sizeof *group);
      size = 0;
    }
  }
  whole = run_group(group, size, options) && whole;
  free(group);
  fclose(list);
  return whole;
}
