#include "tensors.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t next(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static bool read_file(const char *path, size_t index, void *data, size_t bytes, struct failure *why) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) return fail(why, "missing_input", "%s: %s", path, strerror(errno));
  size_t got = fread(data, 1, bytes, file);
  bool more = fgetc(file) != EOF;
  fclose(file);
  if (got != bytes || more)
    return fail(why, "bad_input_size", "%s has %s%zu bytes, input %zu takes %zu", path, more ? "more than " : "", got,
                index, bytes);
  return true;
}

static void fill(void *data, size_t bytes, bool float32, uint64_t *state) {
  if (!float32) {
    memset(data, 0, bytes);
    return;
  }
  float *values = data;
  for (size_t i = 0; i < bytes / sizeof *values; i++) values[i] = (float)(next(state) >> 40) / (1 << 23) - 1;
}

bool set_inputs(struct engine *engine, const struct options *options, struct failure *why) {
  uint64_t state = options->seed;
  if (options->inputs != 0 && options->inputs != engine->inputs)
    return fail(why, "bad_input_size", "%zu inputs are given, the model takes %zu", options->inputs, engine->inputs);
  for (size_t i = 0; i < engine->inputs; i++) {
    size_t bytes = engine->input_bytes(engine, i);
    void *data = malloc(bytes);
    if (data == NULL) return fail(why, "out_of_memory", "no room for input %zu of %zu bytes", i, bytes);
    bool done = options->inputs == 0 || read_file(options->input[i], i, data, bytes, why);
    if (options->inputs == 0) fill(data, bytes, engine->input_is_float32(engine, i), &state);
    done = done && engine->set_input(engine, i, data, why);
    free(data);
    if (!done) return false;
  }
  return true;
}

static bool write_file(const char *path, const void *data, size_t bytes, struct failure *why) {
  char partial[4096];
  if (snprintf(partial, sizeof partial, "%s.partial", path) >= (int)sizeof partial)
    return fail(why, "output_failed", "%s is too long a name", path);
  FILE *file = fopen(partial, "wb");
  bool written = file != NULL && fwrite(data, 1, bytes, file) == bytes;
  if (file != NULL) written = fclose(file) == 0 && written;
  if (written && rename(partial, path) == 0) return true;
  fail(why, "output_failed", "%s: %s", path, strerror(errno));
  remove(partial);
  return false;
}

bool write_outputs(struct engine *engine, const char *prefix, struct failure *why) {
  char path[4000];
  for (size_t i = 0; i < engine->outputs; i++) {
    size_t bytes = engine->output_bytes(engine, i);
    void *data = malloc(bytes);
    if (data == NULL) return fail(why, "out_of_memory", "no room for output %zu of %zu bytes", i, bytes);
    snprintf(path, sizeof path, "%s.%zu", prefix, i);
    bool done = engine->read_output(engine, i, data, why) && write_file(path, data, bytes, why);
    free(data);
    if (!done) return false;
  }
  return true;
}
