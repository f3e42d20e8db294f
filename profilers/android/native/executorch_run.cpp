// ExecuTorch with the XNNPACK back end and the optimised and quantised kernels, as the executorch wheel ships them.
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstring>
#include <memory>
#include <new>
#include <vector>

#include "engine.h"

#ifndef EXECUTORCH_VERSION
#error "EXECUTORCH_VERSION is the version of the wheel"
#endif

// The wheel's libexecutorch_threadpool.so exports these, and ships no header of them.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  bool _unsafe_reset_threadpool(uint32_t threads);
  size_t get_thread_count() const;
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace {

using executorch::aten::ScalarType;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::TensorInfo;

struct Program : engine {
  explicit Program(const char* path) : engine{}, module(path) {}

  Module module;
  std::vector<TensorInfo> takes;
  std::vector<std::vector<char>> data;  // of the inputs
  std::vector<executorch::extension::TensorPtr> arguments;
  std::vector<EValue> results;
};

Program* program(engine* which) { return static_cast<Program*>(which); }

bool failed(failure* why, const char* code, const char* what, Error error) {
  bool memory = error == Error::MemoryAllocationFailed;
  return fail(why, memory ? "out_of_memory" : code, "%s: ExecuTorch error 0x%x", what, static_cast<unsigned>(error));
}

size_t input_bytes(engine* which, size_t index) { return program(which)->takes[index].nbytes(); }

bool input_is_float32(engine* which, size_t index) {
  return program(which)->takes[index].scalar_type() == ScalarType::Float;
}

bool set_input(engine* which, size_t index, const void* data, failure* why) {
  Program* p = program(which);
  std::memcpy(p->data[index].data(), data, p->data[index].size());
  Error error = p->module.set_input("forward", p->arguments[index], index);
  return error == Error::Ok || failed(why, "run_failed", "setting an input", error);
}

bool run(engine* which, failure* why) {
  auto results = program(which)->module.forward();
  if (!results.ok()) return failed(why, "run_failed", "forward", results.error());
  program(which)->results = std::move(results.get());
  return true;
}

size_t output_bytes(engine* which, size_t index) {
  const auto& results = program(which)->results;
  return index < results.size() && results[index].isTensor() ? results[index].toTensor().nbytes() : 0;
}

bool read_output(engine* which, size_t index, void* data, failure*) {
  size_t bytes = output_bytes(which, index);
  if (bytes != 0) std::memcpy(data, program(which)->results[index].toTensor().const_data_ptr(), bytes);
  return true;
}

void close_program(engine* which) { delete program(which); }

bool load(Program* p, failure* why) {
  Error error = p->module.load_forward();
  if (error != Error::Ok) return failed(why, "bad_model", "not a program that this ExecuTorch loads", error);
  auto meta = p->module.method_meta("forward");
  if (!meta.ok()) return failed(why, "bad_model", "no method forward", meta.error());
  p->inputs = meta->num_inputs();
  p->outputs = meta->num_outputs();
  for (size_t i = 0; i < p->inputs; i++) {
    auto info = meta->input_tensor_meta(i);
    if (!info.ok()) return failed(why, "bad_model", "an input is no tensor", info.error());
    p->takes.push_back(info.get());
    p->data.emplace_back(info->nbytes());
    std::vector<executorch::aten::SizesType> sizes(info->sizes().begin(), info->sizes().end());
    p->arguments.emplace_back(executorch::extension::from_blob(p->data[i].data(), sizes, info->scalar_type()));
  }
  return true;
}

bool start(int threads, failure* why) {
  auto* pool = executorch::extension::threadpool::get_threadpool();
  if (pool == nullptr) return fail(why, "missing_library", "ExecuTorch has no pool of threads");
  if (pool->get_thread_count() != static_cast<size_t>(threads)) pool->_unsafe_reset_threadpool(threads);
  if (pool->get_thread_count() == static_cast<size_t>(threads)) return true;
  return fail(why, "usage", "ExecuTorch runs %zu threads, asked for %d", pool->get_thread_count(), threads);
}

engine* open_program(const char* path, failure* why) try {
  if (!readable(path, why)) return nullptr;
  auto p = std::make_unique<Program>(path);
  p->input_bytes = input_bytes;
  p->input_is_float32 = input_is_float32;
  p->set_input = set_input;
  p->run = run;
  p->output_bytes = output_bytes;
  p->read_output = read_output;
  p->close = close_program;
  return load(p.get(), why) ? p.release() : nullptr;
} catch (const std::bad_alloc&) {
  fail(why, "out_of_memory", "no room for %s", path);
  return nullptr;
}

}  // namespace

extern "C" const struct runtime runtime = {"executorch", EXECUTORCH_VERSION, "xnnpack", start, open_program};
