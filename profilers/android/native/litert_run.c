/* LiteRT over the C API of libLiteRt.so, as the ai-edge-litert wheel ships it; declared here, since no header is shipped.
 * The API changes between minor versions: the build pins the wheel. Source: google-ai-edge/LiteRT, litert/c. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine.h"

#ifndef LITERT_VERSION
#error "LITERT_VERSION is the version of the wheel"
#endif

enum { OK = 0, OUT_OF_MEMORY = 2 };  /* LiteRtStatus */
enum { CPU = 1 };                    /* LiteRtHwAcceleratorSet */
enum { FLOAT32 = 1 };                /* LiteRtElementType */
enum { LOCK_READ = 0, LOCK_WRITE = 1 };

typedef void *handle;
typedef struct {
  unsigned int rank : 7;
  bool has_strides : 1;
  int32_t dimensions[8];
  uint32_t strides[8];
} layout;
typedef struct {
  int element_type;
  layout layout;
} tensor_type;

#define FUNCTIONS(F)                                                                                   \
  F(CreateEnvironment, int, const void *, handle *)                                                    \
  F(CreateModelFromFile, handle, const char *, handle *)                                               \
  F(DestroyModel, handle)                                                                              \
  F(CreateOptions, handle *)                                                                           \
  F(DestroyOptions, handle)                                                                            \
  F(SetOptionsHardwareAccelerators, handle, int)                                                       \
  F(CreateOpaqueOptions, const char *, void *, void (*)(void *), handle *)                             \
  F(AddOpaqueOptions, handle, handle)                                                                  \
  F(CreateCompiledModel, handle, handle, handle, handle *)                                             \
  F(DestroyCompiledModel, handle)                                                                      \
  F(GetModelSignature, handle, size_t, handle *)                                                       \
  F(GetNumSignatureInputs, handle, size_t *)                                                           \
  F(GetNumSignatureOutputs, handle, size_t *)                                                          \
  F(GetSignatureInputName, handle, size_t, const char **)                                              \
  F(GetSignatureOutputName, handle, size_t, const char **)                                             \
  F(GetSignatureInputTensorByIndex, handle, size_t, handle *)                                          \
  F(GetSignatureOutputTensorByIndex, handle, size_t, handle *)                                         \
  F(GetRankedTensorType, handle, tensor_type *)                                                        \
  F(GetCompiledModelInputBufferRequirements, handle, size_t, size_t, handle *)                         \
  F(GetCompiledModelOutputBufferRequirements, handle, size_t, size_t, handle *)                        \
  F(CreateManagedTensorBufferFromRequirements, handle, const tensor_type *, handle, handle *)          \
  F(DestroyTensorBuffer, handle)                                                                       \
  F(GetTensorBufferPackedSize, handle, size_t *)                                                       \
  F(LockTensorBuffer, handle, void **, int)                                                            \
  F(UnlockTensorBuffer, handle)                                                                        \
  F(RunCompiledModel, handle, size_t, size_t, handle *, size_t, handle *)

static struct {
#define DECLARE(name, ...) int (*name)(__VA_ARGS__);
  FUNCTIONS(DECLARE)
} lite_rt;

static handle environment;
static int thread_count;

/* Tensors of one side. The buffers stand in the signature's order, `order` is that of the model's arguments. */
struct side {
  size_t count;
  handle *buffers;
  size_t *order;
  bool *float32;
};

struct model {
  struct engine engine;
  handle model, compiled;
  struct side in, out;
};

static bool failed(struct failure *why, const char *code, const char *what, int status) {
  return fail(why, status == OUT_OF_MEMORY ? "out_of_memory" : code, "LiteRt%s returned status %d", what, status);
}

/* Call a function; on failure, leave with it. */
#define CALL(code, name, ...)                                             \
  do {                                                                    \
    int status = lite_rt.name(__VA_ARGS__);                               \
    if (status != OK) return failed(why, code, #name, status);            \
  } while (0)

static bool start(int threads, struct failure *why) {
  void *library = dlopen("libLiteRt.so", RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return fail(why, "missing_library", "%s", dlerror());
#define FIND(name, ...)                                                            \
  *(void **)&lite_rt.name = dlsym(library, "LiteRt" #name);                        \
  if (lite_rt.name == NULL)                                                        \
    return fail(why, "wrong_version", "libLiteRt.so has no LiteRt%s: built for " LITERT_VERSION, #name);
  FUNCTIONS(FIND)
  thread_count = threads;
  CALL("missing_library", CreateEnvironment, 0, NULL, &environment);
  return true;
}

/* args_2 comes before args_10: by the number at the end, then by name. */
static bool before(const char *one, const char *other) {
  const char *digits[2] = {one + strlen(one), other + strlen(other)};
  while (digits[0] > one && digits[0][-1] >= '0' && digits[0][-1] <= '9') digits[0]--;
  while (digits[1] > other && digits[1][-1] >= '0' && digits[1][-1] <= '9') digits[1]--;
  long numbers[2] = {strtol(digits[0], NULL, 10), strtol(digits[1], NULL, 10)};
  return numbers[0] != numbers[1] ? numbers[0] < numbers[1] : strcmp(one, other) < 0;
}

static bool prepare(struct model *m, handle signature, struct side *side, bool output, struct failure *why) {
  if (output)
    CALL("bad_model", GetNumSignatureOutputs, signature, &side->count);
  else
    CALL("bad_model", GetNumSignatureInputs, signature, &side->count);
  side->buffers = calloc(side->count, sizeof *side->buffers);
  side->order = calloc(side->count, sizeof *side->order);
  side->float32 = calloc(side->count, sizeof *side->float32);
  const char **names = calloc(side->count, sizeof *names);
  for (size_t i = 0; i < side->count; i++) {
    handle tensor, needs;
    tensor_type type;
    if (output) {
      CALL("bad_model", GetSignatureOutputName, signature, i, &names[i]);
      CALL("bad_model", GetSignatureOutputTensorByIndex, signature, i, &tensor);
      CALL("bad_model", GetCompiledModelOutputBufferRequirements, m->compiled, 0, i, &needs);
    } else {
      CALL("bad_model", GetSignatureInputName, signature, i, &names[i]);
      CALL("bad_model", GetSignatureInputTensorByIndex, signature, i, &tensor);
      CALL("bad_model", GetCompiledModelInputBufferRequirements, m->compiled, 0, i, &needs);
    }
    CALL("bad_model", GetRankedTensorType, tensor, &type);
    CALL("bad_model", CreateManagedTensorBufferFromRequirements, environment, &type, needs, &side->buffers[i]);
    side->float32[i] = type.element_type == FLOAT32;
    size_t place = i;
    for (; place > 0 && before(names[i], names[side->order[place - 1]]); place--)
      side->order[place] = side->order[place - 1];
    side->order[place] = i;
  }
  free(names);
  return true;
}

static bool compile(struct model *m, const char *path, struct failure *why) {
  handle options, threads, signature;
  char *text = NULL;
  if (!readable(path, why)) return false;
  CALL("bad_model", CreateModelFromFile, environment, path, &m->model);
  CALL("bad_model", CreateOptions, &options);
  CALL("bad_model", SetOptionsHardwareAccelerators, options, CPU);
  if (asprintf(&text, "num_threads = %d\n", thread_count) < 0) return fail(why, "out_of_memory", "no room for options");
  CALL("bad_model", CreateOpaqueOptions, "xnnpack", text, free, &threads);
  CALL("bad_model", AddOpaqueOptions, options, threads);
  CALL("bad_model", CreateCompiledModel, environment, m->model, options, &m->compiled);
  lite_rt.DestroyOptions(options);
  CALL("bad_model", GetModelSignature, m->model, 0, &signature);
  if (!prepare(m, signature, &m->in, false, why) || !prepare(m, signature, &m->out, true, why)) return false;
  m->engine.inputs = m->in.count;
  m->engine.outputs = m->out.count;
  return true;
}

static size_t bytes_of(handle buffer) {
  size_t bytes = 0;
  lite_rt.GetTensorBufferPackedSize(buffer, &bytes);
  return bytes;
}

static size_t input_bytes(struct engine *engine, size_t index) {
  struct side *in = &((struct model *)engine)->in;
  return bytes_of(in->buffers[in->order[index]]);
}

static size_t output_bytes(struct engine *engine, size_t index) {
  struct side *out = &((struct model *)engine)->out;
  return bytes_of(out->buffers[out->order[index]]);
}

static bool input_is_float32(struct engine *engine, size_t index) {
  struct side *in = &((struct model *)engine)->in;
  return in->float32[in->order[index]];
}

static bool set_input(struct engine *engine, size_t index, const void *data, struct failure *why) {
  struct side *in = &((struct model *)engine)->in;
  handle buffer = in->buffers[in->order[index]];
  void *memory;
  CALL("run_failed", LockTensorBuffer, buffer, &memory, LOCK_WRITE);
  memcpy(memory, data, bytes_of(buffer));
  CALL("run_failed", UnlockTensorBuffer, buffer);
  return true;
}

static bool read_output(struct engine *engine, size_t index, void *data, struct failure *why) {
  struct side *out = &((struct model *)engine)->out;
  handle buffer = out->buffers[out->order[index]];
  void *memory;
  CALL("run_failed", LockTensorBuffer, buffer, &memory, LOCK_READ);
  memcpy(data, memory, bytes_of(buffer));
  CALL("run_failed", UnlockTensorBuffer, buffer);
  return true;
}

static bool run(struct engine *engine, struct failure *why) {
  struct model *m = (struct model *)engine;
  CALL("run_failed", RunCompiledModel, m->compiled, 0, m->in.count, m->in.buffers, m->out.count, m->out.buffers);
  return true;
}

static void release(struct side *side) {
  for (size_t i = 0; side->buffers != NULL && i < side->count; i++)
    if (side->buffers[i] != NULL) lite_rt.DestroyTensorBuffer(side->buffers[i]);
  free(side->buffers);
  free(side->order);
  free(side->float32);
}

static void close_model(struct engine *engine) {
  struct model *m = (struct model *)engine;
  release(&m->in);
  release(&m->out);
  if (m->compiled != NULL) lite_rt.DestroyCompiledModel(m->compiled);
  if (m->model != NULL) lite_rt.DestroyModel(m->model);
  free(m);
}

static struct engine *open_model(const char *path, struct failure *why) {
  struct model *m = calloc(1, sizeof *m);
  if (m == NULL) {
    fail(why, "out_of_memory", "no room for a model");
    return NULL;
  }
  m->engine = (struct engine){0, 0, input_bytes, input_is_float32, set_input, run, output_bytes, read_output, close_model};
  if (compile(m, path, why)) return &m->engine;
  close_model(&m->engine);
  return NULL;
}

const struct runtime runtime = {"litert", LITERT_VERSION, "xnnpack", start, open_model};
