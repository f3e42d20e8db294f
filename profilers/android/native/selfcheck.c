/* Models whose time and memory are known: the profiler is checked against them. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine.h"

struct known {
  struct engine engine;
  uint64_t ns;
  char *memory;
};

/* Not the clock that measures. */
static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC_RAW, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static bool spin(struct engine *engine, struct failure *why) {
  (void)why;
  for (uint64_t end = now() + ((struct known *)engine)->ns; now() < end;) {
  }
  return true;
}

static void release(struct engine *engine) {
  free(((struct known *)engine)->memory);
  free(engine);
}

struct engine *busy_loop(uint64_t ns) {
  struct known *known = calloc(1, sizeof *known);
  known->ns = ns;
  known->engine.run = spin;
  known->engine.close = release;
  return &known->engine;
}

struct engine *allocation(size_t mib, struct failure *why) {
  struct engine *engine = busy_loop(0);
  char *memory = malloc(mib << 20);
  if (memory == NULL) {
    release(engine);
    fail(why, "out_of_memory", "%zu MiB are not to be had", mib);
    return NULL;
  }
  memset(memory, 1, mib << 20); /* pages count once they are touched */
  ((struct known *)engine)->memory = memory;
  return engine;
}
