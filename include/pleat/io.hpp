// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The room io: files in and out. Data sets and samplers, safetensors, checkpoints. Needs zlib, no Kokkos. Other
/// formats (gguf, onnx, text, trace) and what reads any of them (weight_file, decode) are included by their own names.
#pragma once

#include <pleat/io/array_sum.hpp>            // IWYU pragma: export
#include <pleat/io/checkpoint.hpp>           // IWYU pragma: export
#include <pleat/io/checkpoint_job.hpp>       // IWYU pragma: export
#include <pleat/io/checkpoint_layout.hpp>    // IWYU pragma: export
#include <pleat/io/checkpoint_manifest.hpp>  // IWYU pragma: export
#include <pleat/io/checksum.hpp>             // IWYU pragma: export
#include <pleat/io/dataset.hpp>              // IWYU pragma: export
#include <pleat/io/file.hpp>
#include <pleat/io/folder_claim.hpp>  // IWYU pragma: export
#include <pleat/io/gzip.hpp>          // IWYU pragma: export
#include <pleat/io/idx.hpp>           // IWYU pragma: export
#include <pleat/io/safetensors.hpp>   // IWYU pragma: export
#include <pleat/io/sampler.hpp>       // IWYU pragma: export
#include <pleat/io/weights.hpp>       // IWYU pragma: export
