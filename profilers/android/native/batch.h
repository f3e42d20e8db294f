#ifndef EDGEPRUNE_BATCH_H
#define EDGEPRUNE_BATCH_H

#include "options.h"

/* Print a line for each model of `options->batch`; whether all of them worked. */
bool run_batch(const struct options *);

#endif
