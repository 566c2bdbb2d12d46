// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a communication call is made of: buffers, reductions, parts, and the call itself as a plain value.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <pleat/base/config.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::comm {

/// How elements of several ranks become one. The bit operations need an integer (or boolean) element type.
enum class reduction : std::uint8_t { sum, min, max, prod, bit_and, bit_or };

[[nodiscard]] constexpr std::string_view name_of(reduction r) noexcept {
  constexpr std::string_view names[] = {"sum", "min", "max", "prod", "bit_and", "bit_or"};
  return names[static_cast<std::size_t>(r)];
}

/// Elements to read: `count` of `type` at `data`, in memory that the host can reach. Does not own.
struct const_buffer {
  void const* data = nullptr;
  index_t count = 0;
  dtype type = dtype::u8;
  PLEAT_LAZY [[nodiscard]] constexpr index_t bytes() const noexcept {
    return static_cast<index_t>(static_cast<std::uint64_t>(count) * size_of(type));  // of a count without sense, too
  }
};

/// Elements to write. Does not own.
struct buffer {
  void* data = nullptr;
  index_t count = 0;
  dtype type = dtype::u8;
  PLEAT_LAZY [[nodiscard]] constexpr index_t bytes() const noexcept {
    return static_cast<index_t>(static_cast<std::uint64_t>(count) * size_of(type));  // of a count without sense, too
  }
  constexpr operator const_buffer() const noexcept { return {data, count, type}; }
};

/// How a buffer is dealt to the ranks: rank r has counts[r] elements from offsets[r] on. Without offsets the parts lie
/// one after the other. The spans must live until the call (or its request) has finished.
struct parts {
  std::span<index_t const> counts{};
  std::span<index_t const> offsets{};

  [[nodiscard]] constexpr index_t count(int r) const noexcept { return counts[static_cast<std::size_t>(r)]; }
  PLEAT_LAZY [[nodiscard]] constexpr index_t offset(int r) const noexcept {
    if (!offsets.empty()) return offsets[static_cast<std::size_t>(r)];
    index_t at = 0;
    for (int i = 0; i < r; ++i) at += count(i);
    return at;
  }
  PLEAT_LAZY [[nodiscard]] constexpr index_t total() const noexcept {
    index_t n = 0;
    for (auto c : counts) n += c;
    return n;
  }
  /// The first place behind all of them.
  PLEAT_LAZY [[nodiscard]] constexpr index_t end() const noexcept {
    if (offsets.empty()) return total();
    index_t e = 0;
    for (std::size_t r = 0; r < counts.size(); ++r) e = offsets[r] + counts[r] > e ? offsets[r] + counts[r] : e;
    return e;
  }
};

/// What a call does. The order is that of the tables that transports keep.
enum class call_kind : std::uint8_t {
  barrier,
  broadcast,
  reduce,
  all_reduce,
  reduce_scatter,
  reduce_scatter_v,
  all_gather,
  all_gather_v,
  all_to_all,
  all_to_all_v,
  send,
  receive,
  split
};
inline constexpr std::size_t call_kinds = 13;  ///< how many there are

/// "all_reduce"
PLEAT_LAZY [[nodiscard]] constexpr std::string_view name_of(call_kind k) noexcept {
  constexpr std::string_view names[] = {"barrier",        "broadcast",        "reduce",     "all_reduce",
                                        "reduce_scatter", "reduce_scatter_v", "all_gather", "all_gather_v",
                                        "all_to_all",     "all_to_all_v",     "send",       "receive",
                                        "split"};
  return names[static_cast<std::size_t>(k)];
}

/// Point-to-point tags of users are below user_tags; the library's own traffic is above, on whichever communicator: a
/// message of the user's and one of a step under way never meet. MPI promises tags up to 32767 (MPI_TAG_UB).
inline constexpr int user_tags = 16384;
inline constexpr int library_tags = 32768;  ///< tags of the library are below it

/// Who has which of them. Messages of one tag arrive in the order in which they were sent, so a call that ends before
/// another one on the same communicator begins may share its tag; these do not even so.
namespace tags {
inline constexpr int in_turn = user_tags;           ///< one for each exchange of lanes: communicator::library_tag
inline constexpr int in_turn_end = 24576;           ///< behind the last of them
inline constexpr int walk = in_turn_end;            ///< tensors between stages, by edge, direction and micro-batch
inline constexpr int walk_end = library_tags - 16;  ///< behind the last of them
inline constexpr int tied_gradients = walk_end;     ///< of weights that two stages share
inline constexpr int answers = walk_end + 1;        ///< of stages that are asked
inline constexpr int traces = walk_end + 2;         ///< of a step, collected for a picture
inline constexpr int weights = walk_end + 3;        ///< collected for a file
inline constexpr int questions = walk_end + 4;      ///< to a teacher on another rank
inline constexpr int samples = walk_end + 5;        ///< that a teacher is asked about
inline constexpr int scores = walk_end + 6;         ///< its answers
inline constexpr int triangles = walk_end + 7;      ///< of a QR decomposition over the ranks
inline constexpr int measured = walk_end + 8;       ///< messages that are timed
inline constexpr int exchange = library_tags - 1;   ///< all_to_all_v as messages
static_assert(measured < exchange && exchange <= 32767);
}  // namespace tags

/// One operation as a rank asks for it. Members that the kind does not use stay as they are.
struct call {
  call_kind kind = call_kind::barrier;
  const_buffer in{};
  buffer out{};
  reduction op = reduction::sum;
  int root = 0;  ///< root of broadcast and reduce, peer of send and receive, color of split
  int tag = 0;   ///< tag of send and receive, key of split
  parts in_parts{}, out_parts{};

  /// The elements that the ranks must agree on: what an oracle, a counter or an error message calls "the count".
  PLEAT_LAZY [[nodiscard]] constexpr index_t count() const noexcept {
    switch (kind) {
      case call_kind::barrier:
      case call_kind::split:
        return 0;
      case call_kind::broadcast:
      case call_kind::receive:
      case call_kind::reduce_scatter:
        return out.count;
      case call_kind::reduce_scatter_v:
      case call_kind::all_gather_v:
        return out_parts.total();
      case call_kind::all_to_all_v:
        return 0;  // differs from rank to rank as a matter of course
      default:
        return in.count;
    }
  }
  [[nodiscard]] constexpr dtype type() const noexcept {
    return kind == call_kind::broadcast || kind == call_kind::receive ? out.type : in.type;
  }
  /// Bytes that this rank contributes or receives, whichever is named by the call.
  PLEAT_LAZY [[nodiscard, gnu::always_inline]] constexpr index_t bytes() const noexcept {
    switch (kind) {
      case call_kind::barrier:
      case call_kind::split:
        return 0;
      case call_kind::broadcast:
      case call_kind::receive:
        return out.bytes();
      default:
        return in.bytes();
    }
  }
  [[nodiscard]] constexpr bool reduces() const noexcept {
    return kind == call_kind::reduce || kind == call_kind::all_reduce || kind == call_kind::reduce_scatter ||
           kind == call_kind::reduce_scatter_v;
  }
  [[nodiscard]] constexpr bool rooted() const noexcept {
    return kind == call_kind::broadcast || kind == call_kind::reduce;
  }
};

/// The rest of a call of a frequent kind, which is no more than two buffers and this. It travels as two numbers, in
/// registers: what a rank stores before a message of a few bytes delays that message, since processors show their stores
/// in order.
struct brief {
  call_kind kind = call_kind::barrier;  ///< a frequent one, see is_brief
  dtype type = dtype::u8;               ///< of the elements of both buffers
  reduction op = reduction::sum;        ///< of those that reduce
  int root = 0, tag = 0;                ///< as in call

  /// Type, kind and operation as one number.
  [[nodiscard]] constexpr std::uint32_t what() const noexcept {
    return static_cast<std::uint32_t>(type) | static_cast<std::uint32_t>(kind) << 8 |
           static_cast<std::uint32_t>(op) << 16;
  }
  /// Root and tag as one number.
  [[nodiscard]] constexpr std::uint64_t where() const noexcept {
    return static_cast<std::uint32_t>(root) | static_cast<std::uint64_t>(static_cast<std::uint32_t>(tag)) << 32;
  }
  /// From both numbers.
  [[nodiscard]] static constexpr brief of(std::uint32_t what, std::uint64_t where) noexcept {
    return {static_cast<call_kind>(what >> 8 & 255), static_cast<dtype>(what & 255), static_cast<reduction>(what >> 16),
            static_cast<int>(static_cast<std::uint32_t>(where)), static_cast<int>(where >> 32)};
  }
};
/// How a transport runs those: a function for each kind, null for the others. `count` is call::count(), of one block.
struct briefly {
  /// \param what, where of the brief
  /// \returns 0; or what `failed` then hears, so that a function may end in the call of another library and keeps
  /// nothing for the words of a failure
  using function = int (*)(void* self, void const* in, void* out, index_t count, std::uint32_t what,
                           std::uint64_t where);
  /// Throws what went wrong.
  /// \param code what the function returned
  using failure = void (*)(void* self, int code, index_t count, std::uint32_t what, std::uint64_t where);
  void* self = nullptr;  ///< their first argument
  /// `call_kinds` of them; they outlive whoever asked. Null: the transport has none
  function const* by_kind = nullptr;
  failure failed = nullptr;  ///< may be null where no function returns anything but 0
};
/// Which kinds those are.
[[nodiscard]] constexpr bool is_brief(call_kind k) noexcept {
  return k == call_kind::broadcast || k == call_kind::all_reduce || k == call_kind::reduce_scatter ||
         k == call_kind::all_gather || k == call_kind::send || k == call_kind::receive;
}

/// "all_reduce(F32 x 100, sum)"
PLEAT_ONCE [[nodiscard]] std::string describe(call const& c) {
  std::string s(name_of(c.kind));
  if (c.kind == call_kind::barrier || c.kind == call_kind::split) return s;
  s += "(" + std::string(pleat::name_of(c.type()));
  if (c.kind != call_kind::all_to_all_v) s += " x " + std::to_string(c.count());
  if (c.reduces()) s += ", " + std::string(name_of(c.op));
  if (c.rooted()) s += ", root " + std::to_string(c.root);
  if (c.kind == call_kind::send) s += ", to " + std::to_string(c.root) + ", tag " + std::to_string(c.tag);
  if (c.kind == call_kind::receive) s += ", from " + std::to_string(c.root) + ", tag " + std::to_string(c.tag);
  return s + ")";
}
PLEAT_COMPILED_ONCE(std::string describe(call const& c));

}  // namespace pleat::comm
