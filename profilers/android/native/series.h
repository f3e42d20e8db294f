/* Timed runs, and when there are enough of them: the rule of profilers/protocol.py. */
#ifndef EDGEPRUNE_SERIES_H
#define EDGEPRUNE_SERIES_H

#include "engine.h"
#include "options.h"

struct series {
  uint64_t *ns;
  size_t runs, room;
  uint64_t total_ns;
};

/* Time one run. False after `fail`. */
bool time_run(struct series *, struct engine *, struct failure *);

/* Untimed runs until both minima of the warm-up are reached; their number in `*runs`. */
bool warm_up(struct engine *, const struct options *, uint64_t *runs, struct failure *);

/* Timed runs until there are enough; `*stopped` says why it ended. Prints progress. */
bool measure(struct series *, struct engine *, const struct options *, const char **stopped, struct failure *);

/* Of the samples, ns. */
uint64_t median(const struct series *);

#endif
