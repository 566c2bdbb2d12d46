// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// PLEAT_TEST_ADDRESS_SANITIZER is defined where the address sanitizer is on: g++ says so by a macro, clang by a
/// feature.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define PLEAT_TEST_ADDRESS_SANITIZER
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PLEAT_TEST_ADDRESS_SANITIZER
#endif
#endif
