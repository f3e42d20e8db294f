#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine.h"

bool fail(struct failure *why, const char *code, const char *format, ...) {
  va_list values;
  va_start(values, format);
  why->code = code;
  vsnprintf(why->message, sizeof why->message, format, values);
  va_end(values);
  return false;
}

bool readable(const char *model, struct failure *why) {
  FILE *file = fopen(model, "rb");
  if (file == NULL) return fail(why, "missing_model", "%s: %s", model, strerror(errno));
  fclose(file);
  return true;
}
