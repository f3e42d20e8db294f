#include "process.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

void pin(uint64_t mask) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int core = 0; core < 64; core++)
    if (mask >> core & 1) CPU_SET(core, &set);
  if (mask != 0) sched_setaffinity(0, sizeof set, &set);
}

uint64_t cpus(void) {
  cpu_set_t set;
  uint64_t mask = 0;
  CPU_ZERO(&set);
  sched_getaffinity(0, sizeof set, &set);
  for (int core = 0; core < 64; core++)
    if (CPU_ISSET(core, &set)) mask |= (uint64_t)1 << core;
  return mask;
}

bool reset_watermark(void) {
  FILE *file = fopen("/proc/self/clear_refs", "w");
  if (file == NULL) return false;
  bool written = fputs("5", file) >= 0;
  return fclose(file) == 0 && written;
}

long status_number(const char *key) {
  char line[256];
  long value = -1;
  size_t length = strlen(key);
  FILE *file = fopen("/proc/self/status", "r");
  while (file != NULL && fgets(line, sizeof line, file) != NULL)
    if (strncmp(line, key, length) == 0 && line[length] == ':') sscanf(line + length + 1, "%ld", &value);
  if (file != NULL) fclose(file);
  return value;
}
