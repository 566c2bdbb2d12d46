// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Where in a checkpoint's files each array lies, known to every writer before the first byte is written: so that many
/// may write at once, each the boxes that it has, and the bytes do not tell who did. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/io/array_sum.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::io {

/// An array of a checkpoint: what it is, not where.
struct array_description {
  std::string name;
  dtype type = dtype::f32;
  extents shape;  ///< of the whole array, over all ranks
};

/// A writer's part of an array: the elements `range` of `box`, counted in the box's own row-major order.
struct array_part {
  std::size_t array = 0;  ///< number in checkpoint_layout::arrays()
  index_box box;          ///< in global indices
  index_range range;
  std::span<std::byte const> bytes;  ///< of the elements of `range`, one after the other
};

/// Calls f(position in the whole array, position in the box, count) for every run of neighbours among the elements
/// `range` of a box.
template <class F> void for_each_run(extents const& whole, index_box const& box, index_range range, F&& f) {
  int cut = whole.rank();  // everything behind dimension cut − 1 is whole: rows of it are neighbours
  index_t run = 1;
  while (cut > 0) {
    --cut;
    run *= box[cut].size();
    if (box[cut].size() != whole[cut]) break;
  }
  for (index_t at = range.begin; at < range.end;) {
    index_t row = at / run;
    index_t const in_row = at % run, n = std::min(run - in_row, range.end - at);
    std::array<index_t, extents::max_rank> index{};
    for (int d = cut; d-- > 0;) {
      index[static_cast<std::size_t>(d)] = box[d].begin + row % box[d].size();
      row /= box[d].size();
    }
    if (cut < whole.rank()) index[static_cast<std::size_t>(cut)] = box[cut].begin;
    f(linear_index(whole, index) + in_row, at, n);
    at += n;
  }
}

/// What the elements `range` of a box add to the checksum of their array. \param bytes of those elements
PLEAT_ONCE [[nodiscard]] std::uint64_t sum_of_part(extents const& whole, std::size_t width, index_box const& box,
                                                   index_range range, std::span<std::byte const> bytes) {
  std::uint64_t sum = 0;
  for_each_run(whole, box, range, [&](index_t global, index_t local, index_t n) {
    sum += array_sum(
        bytes.subspan(static_cast<std::size_t>(local - range.begin) * width, static_cast<std::size_t>(n) * width),
        width, global);
  });
  return sum;
}

/// Takes the elements `range` of a box out of an array. \param array all its bytes \param to room for those elements
PLEAT_ONCE void copy_part(std::span<std::byte const> array, extents const& whole, std::size_t width,
                          index_box const& box, index_range range, std::span<std::byte> to) {
  for_each_run(whole, box, range, [&](index_t global, index_t local, index_t n) {
    std::memcpy(to.data() + static_cast<std::size_t>(local - range.begin) * width,
                array.data() + static_cast<std::size_t>(global) * width, static_cast<std::size_t>(n) * width);
  });
}

/// The files of a checkpoint, one safetensors file per group, as they will be. A value; equal on everybody who has the
/// same descriptions.
class checkpoint_layout {
 public:
  /// One array and where its elements lie.
  struct array {
    std::string group, name;
    dtype type = dtype::f32;
    extents shape;
    std::uint64_t begin = 0, end = 0;  ///< bytes of the group's file
  };
  /// One file.
  struct file {
    std::string group;
    std::string header;
    std::uint64_t size = 0;
    std::size_t first = 0, count = 0;  ///< of arrays(), in the order of their data
  };

  checkpoint_layout() = default;
  /// \throws error for a name that cannot be, or appears twice
  PLEAT_ONCE explicit checkpoint_layout(std::map<std::string, std::vector<array_description>> const& groups) {
    for (auto const& [group, list] : groups) {
      safetensors_writer writer;
      for (auto const& a : list) writer.describe(a.name, a.type, a.shape);
      file f{group, writer.header(), 0, arrays_.size(), list.size()};
      f.size = f.header.size();
      for (auto const& e : writer.entries()) {
        arrays_.push_back({group, e.name, e.type, e.shape, f.header.size() + e.begin, f.header.size() + e.end});
        f.size = f.header.size() + e.end;
      }
      files_.push_back(std::move(f));
    }
  }

  [[nodiscard]] std::vector<file> const& files() const noexcept { return files_; }
  [[nodiscard]] std::vector<array> const& arrays() const noexcept { return arrays_; }
  /// Number of an array. \throws error if there is none
  PLEAT_ONCE [[nodiscard]] std::size_t find(std::string_view group, std::string_view name) const {
    for (auto const& f : files_)
      if (f.group == group)
        for (std::size_t i = f.first; i < f.first + f.count; ++i)
          if (arrays_[i].name == name) return i;
    throw error{"io::checkpoint_layout",
                "there is no array '" + std::string(name) + "' in the group '" + std::string(group) + "'",
                "Ask for an array that was added to the layout, in the group that it was added to"};
  }
  /// Bytes of all files.
  PLEAT_LAZY [[nodiscard]] std::uint64_t bytes() const noexcept {
    std::uint64_t n = 0;
    for (auto const& f : files_) n += f.size;
    return n;
  }

 private:
  std::vector<file> files_;
  std::vector<array> arrays_;
};

}  // namespace pleat::io
