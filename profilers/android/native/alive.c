#include "alive.h"

#include <unistd.h>

#include "process.h"

static uint64_t last, every;
static unsigned silence;

void live(const struct options *options) {
  every = (uint64_t)(options->progress * 1e9);
  silence = (unsigned)options->silence;
  last = now_ns();
  alarm(silence);
}

bool sign_is_due(void) {
  if (every == 0 || now_ns() - last < every) return false;
  last = now_ns();
  alarm(silence);
  return true;
}
