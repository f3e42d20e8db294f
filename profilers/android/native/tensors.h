/* Inputs into a model, outputs out of it. */
#ifndef EDGEPRUNE_TENSORS_H
#define EDGEPRUNE_TENSORS_H

#include "engine.h"
#include "options.h"

/* From `options->input`, or filled from the seed when none is named. */
bool set_inputs(struct engine *, const struct options *, struct failure *);

/* Files PREFIX.0, PREFIX.1, ..., each written whole or not at all. */
bool write_outputs(struct engine *, const char *prefix, struct failure *);

#endif
