// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The plan: how one step of training is laid out over ranks, as a value that prints, compares, hashes and travels in a file.
/// Needs no Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <pleat/base/error.hpp>
#include <pleat/base/random.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::plan {

/// Smallest power of two ≥ n.
[[nodiscard]] constexpr index_t power_of_two_above(index_t n) noexcept {
  return static_cast<index_t>(std::bit_ceil(static_cast<std::uint64_t>(std::max<index_t>(n, 1))));
}

/// Every decision that all ranks must share. Members that the file does not name keep their defaults, so older files stay readable.
struct plan {
  index_t global_batch = 64;     ///< samples per step, over all ranks and micro-batches
  index_t data_ranks = 1;        ///< extent of the mesh's data axis: replicas that share the batch
  index_t micro_batches = 1;     ///< forward/backward walks per step and rank; gradients are exchanged after the last
  bool deterministic = false;    ///< the same bits on every number of data ranks (lanes)
  index_t lanes = 8;             ///< deterministic: into how many lanes the global batch is cut; a power of two ≥ data_ranks
  bool overlap = true;           ///< exchange gradients while backward still runs
  index_t bucket_bytes = 1 << 19;  ///< gradients are exchanged in pieces of about this size

  friend bool operator==(plan const&, plan const&) = default;

  /// The entries of the plan in file order.
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> entries() const {
    return {{"global_batch", std::to_string(global_batch)},
            {"mesh.data", std::to_string(data_ranks)},
            {"micro_batches", std::to_string(micro_batches)},
            {"deterministic", deterministic ? "true" : "false"},
            {"lanes", std::to_string(lanes)},
            {"overlap", overlap ? "true" : "false"},
            {"bucket_bytes", std::to_string(bucket_bytes)}};
  }

  /// The file format: a first line that names it, then "key = value" per line.
  [[nodiscard]] std::string to_string() const {
    std::string text = "pleat plan 1\n";
    for (auto const& [key, value] : entries()) text += key + " = " + value + "\n";
    return text;
  }

  /// A plan from its text. \throws error with the line for anything that it does not understand
  [[nodiscard]] static plan parse(std::string_view text);

  /// What two plans disagree about, as "key: a | b" lines; empty if they are equal.
  [[nodiscard]] std::string difference(plan const& other) const {
    auto const a = entries(), b = other.entries();
    std::string text;
    for (std::size_t i = 0; i < a.size(); ++i)
      if (a[i].second != b[i].second) text += a[i].first + ": " + a[i].second + " | " + b[i].second + "\n";
    return text;
  }

  /// 64 bits of the text: all ranks compare it before step 1.
  [[nodiscard]] std::uint64_t hash() const { return random::hash(to_string()); }

  /// \throws error for a plan that cannot be carried out
  void check() const {
    auto positive = [](char const* what, index_t n) {
      if (n < 1) throw error{"plan", std::string(what) + " must be at least 1, found " + std::to_string(n)};
    };
    positive("global_batch", global_batch);
    positive("mesh.data", data_ranks);
    positive("micro_batches", micro_batches);
    positive("bucket_bytes", bucket_bytes);
    if (deterministic && (lanes < data_ranks || lanes > 64 || !std::has_single_bit(static_cast<std::uint64_t>(lanes))))
      throw error{"plan", "deterministic mode cuts the batch into a power of two of lanes, at least one per data rank and at most 64; found lanes = " +
                              std::to_string(lanes) + " for " + std::to_string(data_ranks) + " ranks",
                  "Use lanes = " + std::to_string(power_of_two_above(data_ranks))};
  }
};

namespace detail {
inline index_t parse_integer(std::string_view key, std::string_view value, int line) {
  index_t n = 0;
  auto const [end, failure] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (failure != std::errc{} || end != value.data() + value.size())
    throw error{"plan::parse", "line " + std::to_string(line) + ": '" + std::string(key) + "' must be a whole number, found '" + std::string(value) + "'"};
  return n;
}
inline bool parse_truth(std::string_view key, std::string_view value, int line) {
  if (value == "true") return true;
  if (value == "false") return false;
  throw error{"plan::parse", "line " + std::to_string(line) + ": '" + std::string(key) + "' must be true or false, found '" + std::string(value) + "'"};
}
}  // namespace detail

inline plan plan::parse(std::string_view text) {
  plan p;
  int number = 0;
  while (!text.empty()) {
    auto const stop = std::min(text.find('\n'), text.size());
    std::string_view const line = text.substr(0, stop);
    text.remove_prefix(std::min(stop + 1, text.size()));
    if (++number == 1) {
      if (line != "pleat plan 1")
        throw error{"plan::parse", "the first line must be 'pleat plan 1', found '" + std::string(line.substr(0, 40)) + "'", "This is no plan, or one of a newer version"};
      continue;
    }
    if (line.empty()) continue;
    auto const equals = line.find(" = ");
    if (equals == std::string_view::npos) throw error{"plan::parse", "line " + std::to_string(number) + " is not 'key = value': '" + std::string(line.substr(0, 80)) + "'"};
    auto const key = line.substr(0, equals), value = line.substr(equals + 3);
    if (key == "global_batch") p.global_batch = detail::parse_integer(key, value, number);
    else if (key == "mesh.data") p.data_ranks = detail::parse_integer(key, value, number);
    else if (key == "micro_batches") p.micro_batches = detail::parse_integer(key, value, number);
    else if (key == "deterministic") p.deterministic = detail::parse_truth(key, value, number);
    else if (key == "lanes") p.lanes = detail::parse_integer(key, value, number);
    else if (key == "overlap") p.overlap = detail::parse_truth(key, value, number);
    else if (key == "bucket_bytes") p.bucket_bytes = detail::parse_integer(key, value, number);
    else throw error{"plan::parse", "line " + std::to_string(number) + ": '" + std::string(key) + "' is no entry of a plan", "It may come from a newer version"};
  }
  if (number == 0) throw error{"plan::parse", "the text is empty"};
  p.check();
  return p;
}

}  // namespace pleat::plan
