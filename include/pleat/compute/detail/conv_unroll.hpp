// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// How to tell a compiler to unroll a loop whole.
#pragma once

/// Register tiles live in registers only where these loops are unrolled, and compilers need to be told so.
#if defined(__clang__) || defined(__CUDACC__)
#define PLEAT_CONV_UNROLL _Pragma("unroll")
#else
#define PLEAT_CONV_UNROLL _Pragma("GCC unroll 32")
#endif
