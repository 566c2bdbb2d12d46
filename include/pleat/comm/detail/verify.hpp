// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a rank can see to be wrong about a call by itself: the rung `checks::cheap`.
#pragma once

#include <string>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/comm/detail/combine.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// Whether a byte is in both.
PLEAT_LAZY [[nodiscard]] inline bool overlap(const_buffer in, const_buffer out) noexcept {
  auto const *a = static_cast<std::byte const*>(in.data), *b = static_cast<std::byte const*>(out.data);
  return in.count > 0 && out.count > 0 && a < b + out.bytes() && b < a + in.bytes();
}

class verifier {
 public:
  verifier(call const& c, int rank, int size) : c_(c), rank_(rank), size_(size) {}

  PLEAT_ONCE void run() const {
    switch (c_.kind) {
      case call_kind::barrier:
      case call_kind::split:
        return;
      case call_kind::broadcast:
        buffers(false, true);
        return root();
      case call_kind::reduce:
        buffers(true, rank_ == c_.root);
        root();
        operation();
        if (rank_ != c_.root) return;
        equal("out.count", c_.out.count, "in.count", c_.in.count);
        return apart_or_same();
      case call_kind::all_reduce:
        buffers(true, true);
        operation();
        equal("out.count", c_.out.count, "in.count", c_.in.count);
        return apart_or_same();
      case call_kind::reduce_scatter:
        buffers(true, true);
        operation();
        equal("in.count", c_.in.count, "size() * out.count", size_ * c_.out.count);
        return apart_or_own("out", c_.out, "in", c_.in, rank_ * c_.out.count);
      case call_kind::reduce_scatter_v:
        buffers(true, true);
        operation();
        deal("parts", c_.out_parts, false, c_.in.count);
        equal("in.count", c_.in.count, "the sum of parts.counts", c_.out_parts.total());
        equal("out.count", c_.out.count, "parts.counts[rank]", c_.out_parts.count(rank_));
        return apart_or_own("out", c_.out, "in", c_.in, c_.out_parts.offset(rank_));
      case call_kind::all_gather:
        buffers(true, true);
        equal("out.count", c_.out.count, "size() * in.count", size_ * c_.in.count);
        return apart_or_own("in", c_.in, "out", c_.out, rank_ * c_.in.count);
      case call_kind::all_gather_v:
        buffers(true, true);
        deal("parts", c_.out_parts, true, c_.out.count);
        equal("in.count", c_.in.count, "parts.counts[rank]", c_.out_parts.count(rank_));
        return apart_or_own("in", c_.in, "out", c_.out, c_.out_parts.offset(rank_));
      case call_kind::all_to_all:
        buffers(true, true);
        apart();
        equal("out.count", c_.out.count, "in.count", c_.in.count);
        return equal("in.count modulo size()", c_.in.count % size_, "what it must be", 0);
      case call_kind::all_to_all_v:
        buffers(true, true);
        apart();
        deal("in_parts", c_.in_parts, true, c_.in.count);
        return deal("out_parts", c_.out_parts, true, c_.out.count);
      case call_kind::send:
        buffers(true, false);
        return peer();
      case call_kind::receive:
        buffers(false, true);
        return peer();
    }
  }

 private:
  PLEAT_LAZY [[noreturn, gnu::cold, gnu::noinline]] void fail(std::string const& problem, char const* remedy) const {
    throw error{describe(c_), problem, remedy, rank_};
  }
  PLEAT_ONCE void buffers(bool in, bool out) const {
    if (in) one("in", c_.in.data, c_.in.count);
    if (out) one("out", c_.out.data, c_.out.count);
    if (in && out && c_.in.type != c_.out.type)
      fail("in holds " + std::string(pleat::name_of(c_.in.type)) + " and out holds " +
               std::string(pleat::name_of(c_.out.type)),
           "Both must hold the same element type");
  }
  PLEAT_ONCE void one(char const* name, void const* data, index_t count) const {
    if (count < 0) fail(std::string(name) + ".count is " + std::to_string(count), "A count is never negative");
    if (count > 0 && !data)
      fail(std::string(name) + ".data is null, but " + std::to_string(count) + " elements are asked for",
           "Allocate the buffer first");
  }
  PLEAT_ONCE void equal(char const* a, index_t x, char const* b, index_t y) const {
    if (x != y)
      fail(std::string(a) + " is " + std::to_string(x) + ", and " + b + " is " + std::to_string(y),
           "The two must be equal");
  }
  PLEAT_ONCE void root() const {
    if (c_.root < 0 || c_.root >= size_)
      fail("root " + std::to_string(c_.root) + " is not in [0, " + std::to_string(size_) + ")",
           "Choose a rank of this communicator");
  }
  PLEAT_ONCE void peer() const {
    if (c_.root < 0 || c_.root >= size_)
      fail("peer " + std::to_string(c_.root) + " is not in [0, " + std::to_string(size_) + ")",
           "Choose a rank of this communicator");
    if (c_.tag < 0 || c_.tag >= library_tags)
      fail("tag " + std::to_string(c_.tag) + " is not in [0, " + std::to_string(user_tags) + ")",
           "Choose a tag below comm::user_tags: those above are the library's");
  }
  PLEAT_ONCE void operation() const {
    if (!reducible(c_.in.type, c_.op))
      fail(
          "reduction " + std::string(name_of(c_.op)) + " is not defined for " + std::string(pleat::name_of(c_.in.type)),
          "Choose another reduction, or numbers of another type");
  }
  PLEAT_ONCE void apart() const {
    if (overlap(c_.in, c_.out)) fail("in and out overlap", "An exchange needs two buffers");
  }
  // Anywhere else within the other buffer a transport would overwrite what it still reads.
  PLEAT_ONCE void apart_or_same() const {
    if (overlap(c_.in, c_.out) && c_.in.data != c_.out.data)
      fail("in and out overlap, and are not the same", "Use two buffers, or one as in and out");
  }
  /// In place, `part` is this rank's block of `whole`: `offset` elements from its begin.
  PLEAT_ONCE void apart_or_own(char const* part_name, const_buffer part, char const* whole_name, const_buffer whole,
                               index_t offset) const {
    auto const* own = static_cast<std::byte const*>(whole.data) + offset * static_cast<index_t>(size_of(whole.type));
    if (overlap(whole, part) && part.data != own)
      fail("in and out overlap, and not where this rank's elements are",
           (std::string("Use two buffers, or as ") + part_name + " the " + std::to_string(part.count) +
            " elements of " + whole_name + " from element " + std::to_string(offset))
               .c_str());
  }
  PLEAT_ONCE void deal(char const* name, parts const& p, bool may_offset, index_t room) const {
    auto const n = static_cast<std::size_t>(size_);
    if (p.counts.size() != n)
      fail(std::string(name) + ".counts has " + std::to_string(p.counts.size()) + " entries for " +
               std::to_string(size_) + " ranks",
           "Give one count for each rank");
    if (!p.offsets.empty() && (!may_offset || p.offsets.size() != n))
      fail(std::string(name) + ".offsets has " + std::to_string(p.offsets.size()) + " entries" +
               (may_offset ? " for " + std::to_string(size_) + " ranks" : ""),
           may_offset ? "Give one offset for each rank, or none: blocks lie one after the other"
                      : "Leave it empty: blocks lie one after the other here");
    for (int r = 0; r < size_; ++r)
      if (p.count(r) < 0 || p.offset(r) < 0 || p.offset(r) + p.count(r) > room)
        fail(std::string(name) + " puts " + std::to_string(p.count(r)) + " elements of rank " + std::to_string(r) +
                 " at " + std::to_string(p.offset(r)) + " of " + std::to_string(room),
             "Give counts and offsets that stay within the buffer");
  }

  call const& c_;
  int rank_, size_;
};

/// The same questions about the frequent calls as one expression without words: a ns before every call.
/// False means: let the verifier look closer, as at every call without elements.
/// \param size 0: look closer at every brief one
PLEAT_LAZY [[nodiscard, gnu::always_inline]] inline bool surely_right(const_buffer from, buffer to, brief b,
                                                                      int size) noexcept {
  bool const in = from.count > 0 && from.data;
  bool const out = to.count > 0 && to.data;
  bool const both = in && out && from.type == to.type;
  bool const root = b.root >= 0 && b.root < size;
  bool const tag = b.tag >= 0 && b.tag < library_tags;
  switch (b.kind) {
    case call_kind::barrier:
    case call_kind::split:
      return true;
    case call_kind::broadcast:
      return out && root;
    case call_kind::reduce:  // where only the root has a place for the result: look closer
      if (!root) return false;
      [[fallthrough]];
    case call_kind::all_reduce:
      return size > 0 && both && from.count == to.count && reducible(from.type, b.op) &&
             (from.data == to.data || !overlap(from, to));
    case call_kind::all_gather:  // in place: look closer
      return both && size * from.count == to.count && !overlap(from, to);
    case call_kind::reduce_scatter:
      return both && from.count == size * to.count && reducible(from.type, b.op) && !overlap(from, to);
    case call_kind::send:
      return in && root && tag;
    case call_kind::receive:
      return out && root && tag;
    default:
      return false;
  }
}

PLEAT_LAZY [[nodiscard]] inline bool surely_right(call const& c, int size) noexcept {
  return surely_right(c.in, c.out, {c.kind, c.type(), c.op, c.root, c.tag}, size);
}

}  // namespace pleat::comm::detail
