// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// Where the hashes in blocks_test.cpp come from: what ggml's own reference quantizers write for that test's golden_input(). No part of
// the build. In a checkout of ggml (github.com/ggml-org/ggml, the version that the test names, or a newer one):
//
//     c++ -O2 -Iinclude -Isrc -c src/ggml-threading.cpp
//     cc -O2 -ffp-contract=off -Iinclude -Isrc -D_GNU_SOURCE -DGGML_VERSION='"x"' -DGGML_COMMIT='"x"' \
//        PLEAT/tests/codec/ggml_golden.c src/ggml-quants.c src/ggml.c ggml-threading.o -ffunction-sections -Wl,--gc-sections -lm -lstdc++ -o golden && ./golden
#include "ggml-quants.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { rows = 64, columns = 512, size = rows * columns };

static float values[size];
static unsigned char bytes[size * 4];

// The same numbers as golden_input() of blocks_test.cpp.
static void fill(void) {
  uint32_t state = 12345;
  for (size_t i = 0; i < size; ++i) {
    state = state * 1664525u + 1013904223u;
    float const u = (float)(int32_t)state * 0x1p-31f;
    switch (i / 512 % 8) {
      case 0: values[i] = u; break;
      case 1: values[i] = u * u * u * 4; break;
      case 2: values[i] = state >> 16 & 7 ? 0.0f : u; break;
      case 3: values[i] = u + 3.0f; break;
      case 4: values[i] = (float)((int)(state >> 20 & 31) - 16) * 0.25f; break;
      case 5: values[i] = u * 1e-5f; break;
      case 6: values[i] = u * 1000.0f; break;
      default: values[i] = i % 512 < 256 ? 0.0f : 0.37f;
    }
  }
}

// FNV-1a, 64 bits.
static void say(char const* name, size_t n) {
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < n; ++i) h = (h ^ bytes[i]) * 0x100000001b3u;
  printf("%s 0x%016llx\n", name, (unsigned long long)h);
}

int main(void) {
  fill();
  quantize_row_q8_0_ref(values, (block_q8_0*)bytes, size), say("q8_0", size / 32 * sizeof(block_q8_0));
  quantize_row_q4_0_ref(values, (block_q4_0*)bytes, size), say("q4_0", size / 32 * sizeof(block_q4_0));
  quantize_row_q4_1_ref(values, (block_q4_1*)bytes, size), say("q4_1", size / 32 * sizeof(block_q4_1));
  quantize_row_q5_0_ref(values, (block_q5_0*)bytes, size), say("q5_0", size / 32 * sizeof(block_q5_0));
  quantize_row_q5_1_ref(values, (block_q5_1*)bytes, size), say("q5_1", size / 32 * sizeof(block_q5_1));
  quantize_row_q4_K_ref(values, (block_q4_K*)bytes, size), say("q4_k", size / 256 * sizeof(block_q4_K));
  quantize_row_q6_K_ref(values, (block_q6_K*)bytes, size), say("q6_k", size / 256 * sizeof(block_q6_K));
  return 0;
}
