#include "report.h"

#include <gnu/libc-version.h>
#include <stdio.h>

#include "process.h"

static void text(const char *value) {
  putchar('"');
  for (const char *c = value; *c; c++) {
    if (*c == '"' || *c == '\\')
      printf("\\%c", *c);
    else if ((unsigned char)*c < 0x20)
      printf("\\u%04x", *c);
    else
      putchar(*c);
  }
  putchar('"');
}

static void cores(const char *name, uint64_t mask) {
  const char *comma = "";
  printf(", \"%s\": [", name);
  for (int core = 0; core < 64; core++)
    if (mask >> core & 1) {
      printf("%s%d", comma, core);
      comma = ", ";
    }
  putchar(']');
}

static void kib(const char *name, long value) {
  if (value < 0)
    printf(", \"%s\": null", name);
  else
    printf(", \"%s\": %ld", name, value);
}

void print_report(const struct report *report, const struct engine *engine, const struct options *options) {
  printf("{\"model\": ");
  text(report->model);
  printf(", \"runtime\": \"%s\", \"runtime_version\": \"%s\", \"libc\": \"glibc %s\", \"delegate\": \"%s\"", runtime.name,
         runtime.version, gnu_get_libc_version(), runtime.delegate);
  printf(", \"threads\": %d, \"os_threads\": %ld", options->threads, status_number("Threads"));
  cores("cpus_asked", options->cpus);
  cores("cpus", cpus());
  printf(", \"load_ms\": %.6f, \"first_ms\": %.6f, \"warmup_runs\": %llu", report->load_ms, report->first_ms,
         (unsigned long long)report->warmup_runs);
  printf(", \"samples_ns\": [");
  for (size_t i = 0; i < report->series.runs; i++)
    printf("%s%llu", i ? ", " : "", (unsigned long long)report->series.ns[i]);
  printf("], \"stopped\": \"%s\"", report->stopped);
  kib("rss_before_kib", report->rss_before_kib);
  kib("hwm_before_kib", report->hwm_before_kib);
  kib("hwm_kib", report->hwm_kib);
  printf(", \"outputs\": [");
  for (size_t i = 0; options->output != NULL && i < engine->outputs; i++) {
    char name[4000];
    snprintf(name, sizeof name, "%s.%zu", options->output, i);
    printf("%s{\"file\": ", i ? ", " : "");
    text(name);
    printf(", \"bytes\": %zu}", engine->output_bytes((struct engine *)engine, i));
  }
  printf("]}\n");
  fflush(stdout);
}

void print_failure(const char *model, const struct failure *why) {
  printf("{\"model\": ");
  if (model == NULL)
    printf("null");
  else
    text(model);
  printf(", \"error\": {\"code\": \"%s\", \"message\": ", why->code);
  text(why->message);
  printf("}}\n");
  fflush(stdout);
}
