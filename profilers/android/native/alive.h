/* Signs of life: a line of progress now and then; the kernel ends a process that gives none. */
#ifndef EDGEPRUNE_ALIVE_H
#define EDGEPRUNE_ALIVE_H

#include <stdbool.h>

#include "options.h"

/* From now on a sign is due every `--progress` seconds, and none for `--silence` seconds is the end (SIGALRM). */
void live(const struct options *options);

/* Called between runs: whether to print a line of progress now, on stdout, and flush it. */
bool sign_is_due(void);

#endif
