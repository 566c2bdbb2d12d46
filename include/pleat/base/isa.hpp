// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Which instruction set a host kernel uses: asked of the processor at run time, never of the compiler's flags. An
/// `#ifdef __AVX2__` body would be a different function in two translation units of one program (one-definition rule).
#pragma once

#include <cstdlib>
#include <cstring>

#include <pleat/base/config.hpp>

namespace pleat::isa {

/// Ascending: a level includes those below.
enum class level {
  scalar,  ///< what the compiler's flags say
  avx2,    ///< AVX2, FMA and F16C
  avx512   ///< AVX-512 F, BW, DQ and VL
};

#if defined(__x86_64__)
/// Function attributes of the levels. Code under them may call always-inline code of a lower level.
#define PLEAT_TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define PLEAT_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#define PLEAT_TARGET_AVX512VNNI __attribute__((target("avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")))
#endif

namespace detail {
#if defined(__x86_64__)
/// Conversions of halves. The compilers' question knows this name from g++ 11 and clang 19 on only: the processor is
/// asked itself. Volatile: else g++ takes the question out of the branch that is taken once, into every kernel, and
/// under a hypervisor, which answers it, it costs 15 microseconds.
PLEAT_LAZY inline bool ask_f16c() noexcept {
  unsigned a = 1, c = 0;
  __asm__ volatile("cpuid" : "+a"(a), "+c"(c) : : "rbx", "rdx");
  return (c >> 29 & 1u) != 0;
}
#endif
PLEAT_LAZY __attribute__((noinline, cold)) inline level ask_processor() noexcept {
  level found = level::scalar;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && ask_f16c()) found = level::avx2;
  if (found == level::avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    found = level::avx512;
#endif
  if (char const* cap = std::getenv("PLEAT_ISA")) {
    if (std::strcmp(cap, "scalar") == 0) found = level::scalar;
    if (std::strcmp(cap, "avx2") == 0 && found > level::avx2) found = level::avx2;
  }
  return found;
}
PLEAT_LAZY inline bool ask_vnni() noexcept {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512vnni");
#else
  return false;
#endif
}
}  // namespace detail

/// The best level of this machine, capped by the environment variable PLEAT_ISA (scalar, avx2, avx512). Asked once.
PLEAT_LAZY [[nodiscard]] inline level best() noexcept {
  static level const l = detail::ask_processor();
  return l;
}

/// AVX512-VNNI (vpdpbusd), under the same cap.
PLEAT_LAZY [[nodiscard]] inline bool has_vnni() noexcept {
  static bool const v = best() == level::avx512 && detail::ask_vnni();
  return v;
}

/// "avx2"
[[nodiscard]] inline char const* name(level l) noexcept {
  return l == level::avx512 ? "avx512" : l == level::avx2 ? "avx2" : "scalar";
}

}  // namespace pleat::isa
