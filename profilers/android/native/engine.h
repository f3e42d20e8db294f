/* What a runtime offers: litert_run.c and executorch_run.cpp each define `runtime`, selfcheck.c two engines of its own. */
#ifndef EDGEPRUNE_ENGINE_H
#define EDGEPRUNE_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Why something failed: a code of docs/benchmark-protocol.md, and a sentence. */
struct failure {
  const char *code;
  char message[512];
};

/* Note a failure; returns false, for `return fail(...)`. */
bool fail(struct failure *why, const char *code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Whether a model's file can be opened; `fail`s with "missing_model" if not. */
bool readable(const char *model, struct failure *why);

/* A loaded model. Inputs and outputs are numbered in the order of the model's arguments. Functions that return bool
 * return false after `fail`. */
struct engine {
  size_t inputs, outputs;
  size_t (*input_bytes)(struct engine *, size_t index);
  bool (*input_is_float32)(struct engine *, size_t index);
  bool (*set_input)(struct engine *, size_t index, const void *data, struct failure *);
  bool (*run)(struct engine *, struct failure *);
  size_t (*output_bytes)(struct engine *, size_t index);
  bool (*read_output)(struct engine *, size_t index, void *data, struct failure *);
  void (*close)(struct engine *);
};

struct runtime {
  const char *name, *version, *delegate;
  /* Bring the library in, so that neither load time nor memory of a model holds it. */
  bool (*start)(int threads, struct failure *);
  /* NULL after `fail`. */
  struct engine *(*open)(const char *model, struct failure *);
};

extern const struct runtime runtime;

/* A run that takes `ns` nanoseconds; a load that takes `mib` MiB. */
struct engine *busy_loop(uint64_t ns);
struct engine *allocation(size_t mib, struct failure *);

#ifdef __cplusplus
}
#endif
#endif
