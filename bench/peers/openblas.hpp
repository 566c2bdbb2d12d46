// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// OpenBLAS as a yardstick, found at run time and never linked: the library that PLEAT_OPENBLAS_LIB names (for example
/// the one in the scipy-openblas32 package from PyPI), else the system's libopenblas.so.0, else none.
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <string>
#include <type_traits>

namespace pleat::bench {

class openblas {
 public:
  openblas() {
#if defined(__x86_64__)
    // Where OpenBLAS does not know a processor it falls back to its AVX2 kernels; a yardstick gets its best ones,
    // whatever the environment of this machine says (which a container may have set for the sake of equal results).
    if (__builtin_cpu_supports("avx512f")) setenv("OPENBLAS_CORETYPE", "SkylakeX", 1);
    unsetenv("OPENBLAS_L2_SIZE");
#endif
    char const* named = std::getenv("PLEAT_OPENBLAS_LIB");
    name_ = named ? named : "libopenblas.so.0";
    handle_ = dlopen(name_.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle_) return;
    sgemm_ = find<gemm_function<float>>("cblas_sgemm");
    dgemm_ = find<gemm_function<double>>("cblas_dgemm");
    threads_ = find<void(int)>("openblas_set_num_threads");
    config_ = find<char const*()>("openblas_get_config");
    core_ = find<char const*()>("openblas_get_corename");
  }

  [[nodiscard]] bool found() const { return sgemm_ && dgemm_; }
  [[nodiscard]] std::string name() const { return name_.substr(name_.rfind('/') + 1); }
  [[nodiscard]] std::string version() const {
    return std::string(config_ ? config_() : "?") + " " + (core_ ? core_() : "");
  }
  void set_threads(int n) const {
    if (threads_) threads_(n);
  }

  /// C = op(A)·op(B) + (accumulate ? C : 0), row-major, as compute::gemm.
  template <class T>
  void gemm(bool ta, bool tb, int m, int n, int k, T const* a, int lda, T const* b, int ldb, T* c, int ldc,
            bool accumulate = false) const {
    constexpr int row_major = 101, plain = 111, turned = 112;
    auto const call = [&] {
      if constexpr (std::is_same_v<T, float>) return sgemm_;
      else return dgemm_;
    }();
    call(row_major, ta ? turned : plain, tb ? turned : plain, m, n, k, T(1), a, lda, b, ldb, T(accumulate), c, ldc);
  }

 private:
  template <class T>
  using gemm_function = void(int, int, int, int, int, int, T, T const*, int, T const*, int, T, T*, int);

  template <class F> F* find(std::string const& symbol) const {
    void* p = dlsym(handle_, symbol.c_str());
    if (!p) p = dlsym(handle_, ("scipy_" + symbol).c_str());  // the PyPI package prefixes its names
    return reinterpret_cast<F*>(p);
  }

  std::string name_;
  void* handle_ = nullptr;
  gemm_function<float>* sgemm_ = nullptr;
  gemm_function<double>* dgemm_ = nullptr;
  void (*threads_)(int) = nullptr;
  char const* (*config_)() = nullptr;
  char const* (*core_)() = nullptr;
};

}  // namespace pleat::bench
