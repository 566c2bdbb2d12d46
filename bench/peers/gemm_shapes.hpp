// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The products that the library is measured by: squares, and every product of a 784-300-100-10 network's training
/// step.
#pragma once

#include <string>
#include <vector>

namespace pleat::bench {

/// `form`: nn, nt (forward: weights are [out, in]), tn (weight gradient: k is the batch).
struct gemm_shape {
  int m, n, k;
  char const* form;
  bool training;

  [[nodiscard]] bool ta() const { return form[0] == 't'; }
  [[nodiscard]] bool tb() const { return form[1] == 't'; }
  /// "512x512x512" or "64x300x784/nt"
  [[nodiscard]] std::string name() const {
    std::string s = std::to_string(m) + "x" + std::to_string(n) + "x" + std::to_string(k);
    return std::string(form) == "nn" ? s : s + "/" + form;
  }
};

inline std::vector<gemm_shape> gemm_shapes() {
  std::vector<gemm_shape> s{
      {512, 512, 512, "nn", false},   {2048, 2048, 2048, "nn", false}, {1024, 1536, 384, "nn", false},
      {1024, 384, 1536, "nn", false}, {64, 300, 784, "nn", false},     {64, 100, 300, "nn", false},
      {256, 300, 784, "nn", false},   {64, 10, 100, "nn", false},      {256, 10, 100, "nn", false}};
  constexpr int width[] = {784, 300, 100, 10};
  for (int batch : {64, 256})
    for (int l = 0; l < 3; ++l) {
      s.push_back({batch, width[l + 1], width[l], "nt", true});
      if (l > 0) s.push_back({batch, width[l], width[l + 1], "nn", true});
      s.push_back({width[l + 1], width[l], batch, "tn", true});
    }
  return s;
}

}  // namespace pleat::bench
