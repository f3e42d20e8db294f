/* What is printed: a line of JSON a model. */
#ifndef EDGEPRUNE_REPORT_H
#define EDGEPRUNE_REPORT_H

#include "options.h"
#include "series.h"

struct report {
  const char *model;
  double load_ms, first_ms;
  uint64_t warmup_runs;
  struct series series;
  const char *stopped;
  long rss_before_kib, hwm_before_kib, hwm_kib; /* -1: not known */
};

void print_report(const struct report *, const struct engine *, const struct options *);
void print_failure(const char *model, const struct failure *);

#endif
