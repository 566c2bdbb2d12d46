// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// What programs take from here (PLEAT_COMPILED_ONCE): files, messages, reports. Headers that the doors leave out come by their own
// names; the test headers/once says which is missing.
#define PLEAT_ONCE_HERE
#include <pleat/pleat.hpp>

#include <pleat/codec/detail/fake_quantized_image.hpp>
#include <pleat/compress/detail/clusters.hpp>
#include <pleat/compress/layer_picture.hpp>
#include <pleat/compress/picture.hpp>
#include <pleat/io/dataset_file.hpp>
#include <pleat/io/weights_gguf.hpp>
#include <pleat/run/onnx.hpp>
