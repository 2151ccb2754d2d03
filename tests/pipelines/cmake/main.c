/* Prints what was linked; with a file name it writes the engine there. */
#include <inttypes.h>
#include <stdio.h>

#include "net.h"

static void show(const char *kind, const edgewright_tensor *tensor) {
  printf("%s %s: %s [", kind, tensor->name, tensor->dtype_name);
  for (int32_t axis = 0; axis < tensor->rank; ++axis)
    printf(axis == 0 ? "%" PRId64 : ", %" PRId64, tensor->dims[axis]);
  printf("], %" PRId64 " bytes\n", tensor->bytes);
}

int main(int argc, char **argv) {
  const edgewright_model *model = &net_model;
  const edgewright_file *engine = &model->files[0];

  printf("model %s for %s, %s, bundle %s\n", model->name, model->target, model->precision, model->bundle_sha256);
  for (size_t index = 0; index < model->input_count; ++index) show("input", &model->inputs[index]);
  for (size_t index = 0; index < model->output_count; ++index) show("output", &model->outputs[index]);
  printf("engine %s, %zu bytes, SHA-256 ", engine->path, engine->size);
  for (size_t index = 0; index < sizeof engine->sha256; ++index) printf("%02x", engine->sha256[index]);
  printf("\n");

  if ((uintptr_t)engine->data % 64 != 0 || engine->data != net_engine || engine->size != net_engine_size) return 1;
  if (argc > 1) {
    FILE *file = fopen(argv[1], "wb");
    if (file == NULL || fwrite(engine->data, 1, engine->size, file) != engine->size || fclose(file) != 0) return 1;
  }
  return 0;
}
