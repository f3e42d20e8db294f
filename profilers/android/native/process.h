/* What this process knows about itself: time, cores, memory. */
#ifndef EDGEPRUNE_PROCESS_H
#define EDGEPRUNE_PROCESS_H

#include <stdbool.h>
#include <stdint.h>

/* Monotonic, ns. */
uint64_t now_ns(void);

/* Run on the cores of a mask (0: wherever). The kernel may grant others: see `cpus`. */
void pin(uint64_t mask);

/* The cores that the kernel grants. */
uint64_t cpus(void);

/* Set the peak of resident memory back to what is resident now; false where the kernel cannot. */
bool reset_watermark(void);

/* A line of /proc/self/status, such as "VmHWM" (KiB) or "Threads"; -1 where the kernel does not tell. */
long status_number(const char *key);

#endif
