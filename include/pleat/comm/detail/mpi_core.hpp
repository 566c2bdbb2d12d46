// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Calls of a communicator as MPI's calls, blocking and as operations under way. Counts above an int are sent in
/// pieces, here and nowhere else.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/owned_ptr.hpp>
#include <pleat/comm/detail/local_core.hpp>
#include <pleat/comm/detail/mpi_arrivals.hpp>
#include <pleat/comm/detail/mpi_operation.hpp>
#include <pleat/comm/detail/mpi_tables.hpp>
#include <pleat/comm/detail/mpi_words.hpp>
#include <pleat/comm/detail/operation_pool.hpp>
#include <pleat/comm/detail/transport.hpp>
#include <pleat/comm/request.hpp>

namespace pleat::comm::detail {

/// The state behind comm::mpi. Requests keep it alive. A template of nothing, so that who makes none compiles none.
template <class = void> class mpi_core_of : public std::enable_shared_from_this<mpi_core_of<>> {
 public:
  inline mpi_core_of(MPI_Comm c, bool owned, index_t max_count) : comm(c), owned(owned), max_count(max_count) {
    check(MPI_Comm_rank(comm, &rank), "MPI_Comm_rank");
    check(MPI_Comm_size(comm, &size), "MPI_Comm_size");
    if (!owned) watch_owner();
  }
  mpi_core_of(mpi_core_of const&) = delete;
  mpi_core_of& operator=(mpi_core_of const&) = delete;
  ~mpi_core_of() {
    if (mpi_is_over()) return;  // freeing now would abort the job
    tables_.free();
    if (owned) MPI_Comm_free(&comm);
    else forget_owner();
  }

  void check(int code, char const* what) const {
    if (code != MPI_SUCCESS) [[unlikely]]
      mpi_fail(code, what, rank);
  }
  [[noreturn, gnu::cold, gnu::noinline]] void fail(int code, call const& c) const { mpi_fail(code, describe(c), rank); }
  void check(int code, call const& c) const {
    if (code != MPI_SUCCESS) [[unlikely]]
      fail(code, c);
  }

  using operation = mpi_operation<mpi_core_of>;
  friend operation;

  /// The frequent kinds, each by itself, with tables for what else MPI wants to know: messages of a few bytes feel every
  /// branch and every store.
  [[nodiscard]] briefly runs_briefly() noexcept {
    using enum call_kind;
    static constexpr briefly::function by_kind[call_kinds] = {
        nullptr, &one<broadcast>, nullptr, &one<all_reduce>, &one<reduce_scatter>, nullptr, &one<all_gather>,
        nullptr, nullptr,         nullptr, &one<send>,       &one<receive>,        nullptr};
    static_assert(static_cast<int>(broadcast) == 1 && static_cast<int>(all_reduce) == 3 &&
                  static_cast<int>(reduce_scatter) == 4 && static_cast<int>(all_gather) == 6 &&
                  static_cast<int>(send) == 10 && static_cast<int>(receive) == 11);
    return {this, by_kind, &failed};
  }
  void run(call const& c) {
    if (brief const b{c.kind, c.type(), c.op, c.root, c.tag}; is_brief(c.kind)) {
      int const code = runs_briefly().by_kind[static_cast<std::size_t>(c.kind)](this, c.in.data, c.out.data, c.count(),
                                                                                b.what(), b.where());
      if (code != MPI_SUCCESS) [[unlikely]]
        failed(this, code, c.count(), b.what(), b.where());
      return;
    }
    if (direct_ < 0) return by_request(c);
    if (c.kind == call_kind::barrier) return check(MPI_Barrier(comm), c);
    if (!fits(c)) return by_request(c);
    if (c.kind == call_kind::reduce) return reduce(c);
    if (c.kind == call_kind::all_to_all) return all_to_all(c);
    if (c.kind == call_kind::reduce_scatter_v) return reduce_scatter_v(c);
    if (c.kind == call_kind::all_gather_v) return all_gather_v(c);
    by_request(c);
  }

  inline request start(call const& c) {
    if (!broken.empty()) throw error{describe(c), broken, "Make a new communicator, or end the program", rank};
    // any call within MPI's counts: which operation serves it is chance
    auto* o = &operations.next(32, [this](operation& made) { made.make_room(2 * static_cast<std::size_t>(size)); });
    o->what = c;
    o->requests.clear();
    o->stage.clear();
    o->over = o->lost = false;
    o->code = MPI_SUCCESS;
    o->seconds = seconds;
    if (arrivals && seconds >= 0 && c.kind != call_kind::send && c.kind != call_kind::receive) {
      arrivals->drain();
      o->number = arrivals->announce();
    }
    post(*o);
    operations.begin();
    o->owner = this->shared_from_this();
    return request(o);
  }

  /// Negative: waits for ever.
  inline void set_timeout(double limit) {
    demand_not_freed("set_timeout");
    if (limit >= 0 && !arrivals) arrivals = make_owned<mpi_arrivals>(comm);
    seconds = limit;
    if (seconds >= 0 || !broken.empty()) watch();
    else direct_ = max_count;
  }

  void progress() {
    if (comm == MPI_COMM_NULL) return;
    for (auto* o : operations.active()) o->poll();
    if (arrivals) arrivals->drain();
    int flag = 0;
    if (operations.active().empty()) MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, comm, &flag, MPI_STATUS_IGNORE);
  }

  /// \throws error if the owner of this borrowed communicator freed it
  void demand_not_freed(char const* what) const {
    if (comm == MPI_COMM_NULL) throw error{what, broken, "Make a new communicator, or end the program", rank};
  }

  MPI_Comm comm;  // null once the owner of a borrowed one freed it
  bool owned;
  index_t max_count;
  int rank = 0, size = 1;
  double seconds = -1;
  owned_ptr<mpi_arrivals> arrivals;
  std::string broken;
  bool hopeless = false;  // something was lost while an exception unwound the stack

 private:
  /// MPI tells attributes when their communicator is freed; whoever uses it later reads memory that is no more.
  void watch_owner() {
    check(MPI_Comm_create_keyval(MPI_COMM_NULL_COPY_FN, &mpi_core_of::freed, &owner_, nullptr),
          "MPI_Comm_create_keyval");
    check(MPI_Comm_set_attr(comm, owner_, this), "MPI_Comm_set_attr");
  }
  void forget_owner() {
    if (comm != MPI_COMM_NULL) MPI_Comm_delete_attr(comm, owner_);
    MPI_Comm_free_keyval(&owner_);
  }
  static int freed(MPI_Comm, int, void* core, void*) {
    auto& c = *static_cast<mpi_core_of*>(core);
    c.comm = MPI_COMM_NULL;
    c.broken = "its owner freed this communicator, which was borrowed";
    c.watch();  // every call goes through a request, which says so
    return MPI_SUCCESS;
  }

  /// There is a time-out, or something is broken: from now on requests look after it.
  void watch() noexcept { direct_ = std::numeric_limits<index_t>::min(); }

  /// By what all ranks have alike, since all must say the same: not by offsets of parts, which are each rank's own.
  [[nodiscard]] bool fits(call const& c) const noexcept {
    switch (c.kind) {
      case call_kind::all_gather:
        return c.out.count <= max_count;
      case call_kind::reduce_scatter:
      case call_kind::reduce_scatter_v:
        return c.in.count <= max_count;
      default:
        return c.count() <= max_count;
    }
  }

  /// The operand, or MPI's word for "it lies where the result goes".
  [[nodiscard]] void const* source(call const& c) const noexcept {
    if (c.kind == call_kind::reduce && rank != c.root) return c.in.data;
    if (c.kind == call_kind::all_gather)
      return c.in.data == at(c.out.data, rank * c.in.count, c.in.type) ? MPI_IN_PLACE : c.in.data;
    if (c.kind == call_kind::all_gather_v)
      return c.out_parts.end() <= max_count && c.in.data == at(c.out.data, c.out_parts.offset(rank), c.in.type)
                 ? MPI_IN_PLACE
                 : c.in.data;
    return c.in.data == c.out.data ? MPI_IN_PLACE : c.in.data;
  }

  /// The same of a blocking reduction.
  [[nodiscard]] void const* reduced(call const& c) {
    void const* const from = source(c);
    if constexpr (mpi_reduces_in_place) return from;
    if (from != MPI_IN_PLACE || c.root == 0) return from;
    auto const* const begin = static_cast<std::byte const*>(c.in.data);
    stage_.assign(begin, begin + c.in.bytes());
    return stage_.empty() ? from : stage_.data();
  }

  [[nodiscard]] static int as_int(index_t n) noexcept { return static_cast<int>(n); }
  [[nodiscard]] MPI_Datatype type_of(const_buffer const& b) const noexcept { return tables_.type(b.type); }
  [[nodiscard]] MPI_Op op(brief b) { return tables_.op(b, rank); }
  [[nodiscard]] MPI_Op op(call const& c) { return op(brief{c.kind, c.in.type, c.op}); }

  [[gnu::noinline]] void by_request(call const& c) { start(c).wait(); }

  [[gnu::cold, gnu::noinline]] int by_request(void const* in, void* out, index_t n, std::uint32_t what,
                                              std::uint64_t where) {
    by_request(whole_of(in, out, n, brief::of(what, where), size));
    return MPI_SUCCESS;
  }
  static constexpr int no_whole_number = std::numeric_limits<int>::min();  // of elements came
  /// What one<Kind> returned: a code of MPI's, or below 0 that so many elements and one more came, negative.
  [[gnu::cold]] static void failed(void* core, int code, index_t n, std::uint32_t what, std::uint64_t where) {
    auto const& m = *static_cast<mpi_core_of const*>(core);
    call const c = whole_of(nullptr, nullptr, n, brief::of(what, where), m.size);
    if (code < 0) m.wrong_count(c, code == no_whole_number ? -1 : -1 - code);
    m.fail(code, c);
  }

  /// Ends in MPI's call, and says what it says: nothing is kept over it, as every store and load is felt.
  template <call_kind Kind>
  static int one(void* core, void const* in, void* out, index_t n, std::uint32_t what, std::uint64_t where) {
    auto& m = *static_cast<mpi_core_of*>(core);
    constexpr bool blocks = Kind == call_kind::all_gather || Kind == call_kind::reduce_scatter;
    if ((blocks ? n * m.size : n) > m.direct_) [[unlikely]]
      return m.by_request(in, out, n, what, where);
    auto const b = brief::of(what, where);
    auto const type = m.tables_.type(b.type);
    int const count = static_cast<int>(n);
    if constexpr (Kind == call_kind::broadcast) {
      return MPI_Bcast(out, count, type, b.root, m.comm);
    } else if constexpr (Kind == call_kind::all_reduce) {
      if (mpi_tables::foreign(b.type)) [[unlikely]]
        return m.all_reduce_foreign(in, out, count, what);
      return MPI_Allreduce(in == out ? MPI_IN_PLACE : in, out, count, type, m.tables_.op(b.op), m.comm);
    } else if constexpr (Kind == call_kind::all_gather) {
      if (in == at(out, m.rank * n, b.type)) [[unlikely]]  // a branch, not a choice: that address takes its time
        return MPI_Allgather(MPI_IN_PLACE, count, type, out, count, type, m.comm);
      return MPI_Allgather(in, count, type, out, count, type, m.comm);
    } else if constexpr (Kind == call_kind::reduce_scatter) {
      // staged or not is this rank's own affair; blocking or not is not
      if (mpi_tables::foreign(b.type) || overlap({in, n * m.size, b.type}, {out, n, b.type})) [[unlikely]]
        return m.reduce_scatter_rare(in, out, count, what);
      return MPI_Reduce_scatter_block(in, out, count, type, m.tables_.op(b.op), m.comm);
    } else if constexpr (Kind == call_kind::send) {
      return MPI_Send(in, count, type, b.root, b.tag, m.comm);
    } else {
      static_assert(Kind == call_kind::receive);
      MPI_Status s;
      buffer const expected{out, n, b.type};
      int const code = MPI_Recv(out, count, type, b.root, b.tag, m.comm, &s);
      if (code != MPI_SUCCESS || fills(s, expected, type)) [[likely]]
        return code;
      return came(s, type);
    }
  }
  [[gnu::cold, gnu::noinline]] int all_reduce_foreign(void const* in, void* out, int count, std::uint32_t what) {
    auto const b = brief::of(what, 0);
    return MPI_Allreduce(in == out ? MPI_IN_PLACE : in, out, count, tables_.type(b.type), op(b), comm);
  }
  /// Of a foreign type, or of buffers that overlap.
  [[gnu::noinline]] int reduce_scatter_rare(void const* in, void* out, int count, std::uint32_t what) {
    auto const b = brief::of(what, 0);
    const_buffer const to{out, count, b.type};
    bool const staged = overlap({in, to.count * size, b.type}, to);
    if (staged) stage_.resize(static_cast<std::size_t>(to.bytes()) + 1);
    int const code =
        MPI_Reduce_scatter_block(in, staged ? stage_.data() : out, count, tables_.type(b.type), op(b), comm);
    if (staged && code == MPI_SUCCESS) copy_bytes(out, stage_.data(), to.bytes());
    return code;
  }
  /// How many elements came, as failed() wants it.
  [[gnu::cold, gnu::noinline]] static int came(MPI_Status const& s, MPI_Datatype type) {
    int n = 0;
    MPI_Get_count(&s, type, &n);
    return n == MPI_UNDEFINED ? no_whole_number : -1 - n;
  }

  void reduce(call const& c) {
    check(MPI_Reduce(reduced(c), c.out.data, as_int(c.in.count), type_of(c.in), op(c), c.root, comm), c);
  }
  void all_to_all(call const& c) {
    int const n = as_int(c.in.count) / size;
    auto const type = type_of(c.in);
    check(MPI_Alltoall(c.in.data, n, type, c.out.data, n, type, comm), c);
  }
  void reduce_scatter_v(call const& c) {
    lay_out(ints_, c.out_parts);
    bool const staged = overlap(c.in, c.out);
    if (staged) stage_.resize(static_cast<std::size_t>(c.out.bytes()) + 1);
    void* const out = staged ? stage_.data() : c.out.data;
    check(MPI_Reduce_scatter(c.in.data, out, ints_.data(), type_of(c.in), op(c), comm), c);
    if (staged) copy_bytes(c.out.data, out, c.out.bytes());
  }
  void all_gather_v(call const& c) {
    auto const type = type_of(c.in);
    void* const to = lay_out_gather(c, ints_, stage_);
    check(MPI_Allgatherv(source(c), as_int(c.in.count), type, to, ints_.data(), ints_.data() + size, type, comm), c);
    if (to != c.out.data) unstage(c, stage_.data());
  }
  void check_count(call const& c, index_t came) const {
    if (came != c.out.count) [[unlikely]]
      wrong_count(c, came);
  }
  /// \param came elements, or below 0: no whole number of them
  [[noreturn]] inline void wrong_count(call const& c, index_t came) const {
    throw error{describe(c),
                (came < 0 ? "no whole number of" : std::to_string(came)) + " elements came, " +
                    std::to_string(c.out.count) + " were expected",
                "Give send and receive the same element type and count", rank};
  }

  /// f(offset, n) for pieces of at most max_count elements; at least one, so that empty messages match too.
  template <class F> void pieces(index_t count, F const& f) const {
    index_t b = 0;
    do {
      index_t const n = std::min(max_count, count - b);
      f(b, static_cast<int>(n));
      b += n;
    } while (b < count);
  }

  inline void post(operation& o) {
    call const& c = o.what;
    auto const t = c.type();
    auto const type = mpi_type(t);
    switch (c.kind) {
      case call_kind::barrier:
        return check(MPI_Ibarrier(comm, o.more()), c);
      case call_kind::broadcast:
        return broadcast(o, c.out.data, c.count(), c.root);
      case call_kind::reduce:
      case call_kind::all_reduce: {
        bool const everywhere = c.kind == call_kind::all_reduce;
        void const* const from = source(c);
        pieces(c.in.count, [&](index_t b, int n) {
          void const* const in = from == MPI_IN_PLACE ? from : at(from, b, t);
          void* const out = c.out.data ? at(c.out.data, b, t) : nullptr;
          if (everywhere) check(MPI_Iallreduce(in, out, n, type, op(c), comm, o.more()), c);
          else check(MPI_Ireduce(in, out, n, type, op(c), c.root, comm, o.more()), c);
        });
        return;
      }
      case call_kind::reduce_scatter:
      case call_kind::reduce_scatter_v:
        return reduce_scatter(o);
      case call_kind::all_gather:
        if (fits(c)) {
          int const n = static_cast<int>(c.in.count);
          return check(MPI_Iallgather(source(c), n, type, c.out.data, n, type, comm, o.more()), c);
        }
        copy_bytes(at(c.out.data, rank * c.in.count, t), c.in.data, c.in.bytes());
        for (int r = 0; r < size; ++r) broadcast(o, at(c.out.data, r * c.in.count, t), c.in.count, r);
        return;
      case call_kind::all_gather_v:
        if (fits(c)) {
          void* const to = lay_out_gather(c, o.ints, o.stage);
          return check(MPI_Iallgatherv(source(c), static_cast<int>(c.in.count), type, to, o.ints.data(),
                                       o.ints.data() + size, type, comm, o.more()),
                       c);
        }
        copy_bytes(at(c.out.data, c.out_parts.offset(rank), t), c.in.data, c.in.bytes());
        for (int r = 0; r < size; ++r) broadcast(o, at(c.out.data, c.out_parts.offset(r), t), c.out_parts.count(r), r);
        return;
      case call_kind::all_to_all:
        if (fits(c)) {
          int const n = static_cast<int>(c.in.count / size);
          return check(MPI_Ialltoall(c.in.data, n, type, c.out.data, n, type, comm, o.more()), c);
        }
        [[fallthrough]];
      case call_kind::all_to_all_v:
        return exchange(o);
      case call_kind::send:
        return pieces(c.in.count, [&](index_t b, int n) {
          check(MPI_Isend(at(c.in.data, b, t), n, type, c.root, c.tag, comm, o.more()), c);
        });
      case call_kind::receive:
        return pieces(c.out.count, [&](index_t b, int n) {
          check(MPI_Irecv(at(c.out.data, b, t), n, type, c.root, c.tag, comm, o.more()), c);
        });
      case call_kind::split:
        return;
    }
  }

  void broadcast(operation& o, void* data, index_t count, int root) {
    auto const t = o.what.type();
    pieces(count,
           [&](index_t b, int n) { check(MPI_Ibcast(at(data, b, t), n, mpi_type(t), root, comm, o.more()), o.what); });
  }

  void lay_out(std::vector<int>& ints, parts const& p) const {
    ints.resize(2 * static_cast<std::size_t>(size));
    for (int r = 0; r < size; ++r) {
      ints[static_cast<std::size_t>(r)] = static_cast<int>(p.count(r));
      ints[static_cast<std::size_t>(size + r)] = static_cast<int>(p.offset(r));
    }
  }

  /// The parts of a gather, side by side where an int cannot say all offsets. \returns where MPI is to write them
  void* lay_out_gather(call const& c, std::vector<int>& ints, std::vector<std::byte>& stage) const {
    bool const in_reach = c.out_parts.end() <= max_count;
    lay_out(ints, in_reach ? c.out_parts : parts{c.out_parts.counts});
    if (in_reach) return c.out.data;
    stage.resize(static_cast<std::size_t>(c.out_parts.total()) * size_of(c.out.type) + 1);
    return stage.data();
  }
  /// Takes what MPI wrote beside the place of the result there.
  void unstage(call const& c, std::byte const* from) const noexcept {
    if (c.reduces()) return copy_bytes(c.out.data, from, c.out.bytes());
    for (int r = 0; r < size; ++r) {
      index_t const bytes = c.out_parts.count(r) * static_cast<index_t>(size_of(c.out.type));
      copy_bytes(at(c.out.data, c.out_parts.offset(r), c.out.type), from, bytes);
      from += bytes;
    }
  }

  /// MPI forbids a result within the operand; the call allows it where it is this rank's own block.
  [[nodiscard]] static bool overlap(const_buffer in, const_buffer out) noexcept {
    auto const *a = static_cast<std::byte const*>(in.data), *b = static_cast<std::byte const*>(out.data);
    // MPICH minds the address of nothing too
    return a == b || (out.count > 0 && b < a + in.bytes() && a < b + out.bytes());
  }

  inline void reduce_scatter(operation& o) {
    call const& c = o.what;
    auto const t = c.type();
    auto const type = mpi_type(t);
    bool const even = c.kind == call_kind::reduce_scatter;
    if (!fits(c)) {  // one reduction per block
      index_t first = 0;
      for (int r = 0; r < size; ++r) {
        index_t const n = even ? c.out.count : c.out_parts.count(r);
        pieces(n, [&](index_t b, int m) {
          void const* in = at(c.in.data, first + b, t);
          void* out = r == rank ? at(c.out.data, b, t) : nullptr;
          check(MPI_Ireduce(in == out ? MPI_IN_PLACE : in, out, m, type, op(c), r, comm, o.more()), c);
        });
        first += n;
      }
      return;
    }
    void* out = c.out.data;
    if (overlap(c.in, c.out)) {
      o.stage.resize(static_cast<std::size_t>(c.out.bytes()) + 1);
      out = o.stage.data();
    }
    if (even) {
      check(MPI_Ireduce_scatter_block(c.in.data, out, static_cast<int>(c.out.count), type, op(c), comm, o.more()), c);
    } else {
      lay_out(o.ints, c.out_parts);
      check(MPI_Ireduce_scatter(c.in.data, out, o.ints.data(), type, op(c), comm, o.more()), c);
    }
  }

  /// Everybody to everybody, by messages: their counts are known pair by pair, so each pair cuts its own pieces.
  inline void exchange(operation& o) {
    call const& c = o.what;
    auto const t = c.type();
    auto const type = mpi_type(t);
    bool const even = c.kind == call_kind::all_to_all;
    index_t const block = c.in.count / size;
    for (int i = 1; i < size; ++i) {
      int const from = (rank - i + size) % size;
      index_t const n = even ? block : c.out_parts.count(from), first = even ? block * from : c.out_parts.offset(from);
      if (n > 0)
        pieces(n, [&](index_t b, int m) {
          check(MPI_Irecv(at(c.out.data, first + b, t), m, type, from, tags::exchange, comm, o.more()), c);
        });
    }
    for (int i = 1; i < size; ++i) {
      int const to = (rank + i) % size;
      index_t const n = even ? block : c.in_parts.count(to), first = even ? block * to : c.in_parts.offset(to);
      if (n > 0)
        pieces(n, [&](index_t b, int m) {
          check(MPI_Isend(at(c.in.data, first + b, t), m, type, to, tags::exchange, comm, o.more()), c);
        });
    }
    index_t const n = even ? block : c.in_parts.count(rank);
    copy_bytes(at(c.out.data, even ? block * rank : c.out_parts.offset(rank), t),
               at(c.in.data, even ? block * rank : c.in_parts.offset(rank), t), n * static_cast<index_t>(size_of(t)));
  }

  [[noreturn]] inline void give_up(operation& o) {
    std::string problem = "waited " + name_seconds(o.seconds) + ", and ";
    if (o.what.kind == call_kind::send || o.what.kind == call_kind::receive) {
      problem += "rank " + std::to_string(o.what.root) + " did not come";
    } else if (auto const who = arrivals ? arrivals->absent(o.number) : std::vector<int>{}; !who.empty()) {
      problem += name_ranks(who) + " did not come";
    } else {
      problem += "the operation did not end, although every rank had entered it";
    }
    if (o.what.kind == call_kind::receive)
      throw error{describe(o.what), problem, "Look at what that rank was doing, or allow more time", rank};
    watch();
    broken = "an earlier " + std::string(name_of(o.what.kind)) + " was given up: " + problem;
    throw error{
        describe(o.what), problem,
        "The buffers of this call stay MPI's: end the program, or make a new communicator among those that are left",
        rank};
  }

  int owner_ = MPI_KEYVAL_INVALID;  // of a borrowed communicator
  index_t direct_ = max_count;      // calls of more elements go through requests; where something is watched, all do
  mpi_tables tables_;
  std::vector<int> ints_;         // of a blocking call
  std::vector<std::byte> stage_;  // of a blocking call

 public:
  operation_pool<operation> operations;
};

using mpi_core = mpi_core_of<>;

PLEAT_COMPILED_ONCE(struct mpi_operation<mpi_core_of<>>);
PLEAT_COMPILED_ONCE(class mpi_core_of<>);

}  // namespace pleat::comm::detail
