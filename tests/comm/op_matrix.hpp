// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Every operation of a communicator against a sequential oracle: operation × element type × reduction × blocking or
/// not × in place or not × root × size. Values are small integers, so that every sum and product is exact in every type
/// and the oracle's answer is the only right one. Used on ranks as threads and on MPI ranks.
#pragma once

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include <pleat/comm/communicator.hpp>

namespace pleat_test {

using namespace pleat;

/// What went wrong on this rank; ranks compare notes afterwards, since an assertion on one of them would leave the
/// others.
struct findings {
  std::vector<std::string> list;
  void expect(bool good, std::string const& what) {
    if (!good && list.size() < 5) list.push_back(what);
  }
};

/// Rank r's element i. Products of eight ranks stay below 2^9, sums below 2^6: exact in bfloat16's 8 bits as powers of
/// two and small integers.
template <class T> T value(int rank, index_t i, comm::reduction op) {
  auto const k = static_cast<int>((i * 7 + rank * 3 + i / 11) % 5);
  int const x = op == comm::reduction::prod ? 1 + k % 2 : k + 1;
  if constexpr (std::is_integral_v<T>) return static_cast<T>(x);
  else return T(static_cast<float>(x));
}

template <class T> double as_number(T x) {
  if constexpr (std::is_integral_v<T>) return static_cast<double>(x);
  else return static_cast<double>(static_cast<float>(x));
}

template <class T> T expected(int size, index_t i, comm::reduction op) {
  auto const one = [&](int r) { return static_cast<std::int64_t>(as_number(value<T>(r, i, op))); };
  std::int64_t x = one(0);
  for (int r = 1; r < size; ++r) {
    auto const y = one(r);
    switch (op) {
      case comm::reduction::sum:
        x += y;
        break;
      case comm::reduction::min:
        x = std::min(x, y);
        break;
      case comm::reduction::max:
        x = std::max(x, y);
        break;
      case comm::reduction::prod:
        x *= y;
        break;
      case comm::reduction::bit_and:
        x &= y;
        break;
      case comm::reduction::bit_or:
        x |= y;
        break;
    }
  }
  if constexpr (std::is_integral_v<T>) return static_cast<T>(x);
  else return T(static_cast<float>(x));
}

class op_matrix {
 public:
  op_matrix(comm::communicator& c, findings& f, unsigned seed, bool jitter)
      : c_(c), f_(f), random_(seed + static_cast<unsigned>(c.rank())), jitter_(jitter) {}

  template <class T> void run(std::vector<index_t> const& sizes) {
    for (index_t const n : sizes)
      for (bool const later : {false, true}) {
        for (auto const op : {comm::reduction::sum, comm::reduction::min, comm::reduction::max, comm::reduction::prod,
                              comm::reduction::bit_and, comm::reduction::bit_or}) {
          bool const bits = op == comm::reduction::bit_and || op == comm::reduction::bit_or;
          if (bits && !std::is_integral_v<T>) continue;
          for (bool const in_place : {false, true}) reductions<T>(n, op, in_place, later);
        }
        movements<T>(n, later);
      }
  }

 private:
  template <class T> static comm::const_buffer in(std::vector<T> const& v, index_t at = 0, index_t n = -1) {
    return {v.data() + at, n < 0 ? static_cast<index_t>(v.size()) : n, comm::detail::element<T>::type()};
  }
  template <class T> static comm::buffer out(std::vector<T>& v, index_t at = 0, index_t n = -1) {
    return {v.data() + at, n < 0 ? static_cast<index_t>(v.size()) : n, comm::detail::element<T>::type()};
  }
  template <class T> static bool same(T a, T b) { return as_number(a) == as_number(b); }

  void go(comm::call const& c, bool later) {
    if (jitter_ && random_() % 8 == 0) std::this_thread::sleep_for(std::chrono::microseconds(random_() % 300));
    if (!later) return c_.run(c);
    auto r = c_.start(c);
    for (unsigned i = random_() % 4; i > 0; --i) (void)r.test();
    if (random_() % 2) r.wait();  // else the destructor finishes it
  }

  template <class T> std::vector<T> values(index_t n, comm::reduction op, int rank) const {
    std::vector<T> v(static_cast<std::size_t>(n));
    for (index_t i = 0; i < n; ++i) v[static_cast<std::size_t>(i)] = value<T>(rank, i, op);
    return v;
  }

  template <class T> void reductions(index_t n, comm::reduction op, bool in_place, bool later) {
    int const me = c_.rank(), p = c_.size();
    auto const label = [&](char const* what) {
      return std::string(what) + "(" + std::string(name_of(comm::detail::element<T>::type())) + " x " +
             std::to_string(n) + ", " + std::string(name_of(op)) + (in_place ? ", in place" : "") +
             (later ? ", request)" : ")");
    };
    auto const right = [&](std::vector<T> const& got, index_t first, index_t count) {
      for (index_t i = 0; i < count; ++i)
        if (!same(got[static_cast<std::size_t>(i)], expected<T>(p, first + i, op))) return false;
      return true;
    };
    {
      auto a = values<T>(n, op, me);
      std::vector<T> b(a.size());
      auto& to = in_place ? a : b;
      go({.kind = comm::call_kind::all_reduce, .in = in(a), .out = out(to), .op = op}, later);
      f_.expect(right(to, 0, n), label("all_reduce"));
      if (!in_place) {
        bool kept = true;
        for (index_t i = 0; i < n; ++i) kept = kept && same(a[static_cast<std::size_t>(i)], value<T>(me, i, op));
        f_.expect(kept, label("all_reduce touched its input"));
      }
    }
    for (int const root : {0, p - 1}) {
      auto a = values<T>(n, op, me);
      std::vector<T> b(me == root ? a.size() : 0);
      auto& to = in_place && me == root ? a : b;
      go({.kind = comm::call_kind::reduce, .in = in(a), .out = out(to), .op = op, .root = root}, later);
      if (me == root) f_.expect(right(to, 0, n), label("reduce"));
    }
    {
      auto a = values<T>(n * p, op, me);
      std::vector<T> b(static_cast<std::size_t>(n));
      auto const to = in_place ? out(a, n * me, n) : out(b);
      go({.kind = comm::call_kind::reduce_scatter, .in = in(a), .out = to, .op = op}, later);
      if (in_place) b.assign(a.begin() + n * me, a.begin() + n * (me + 1));
      f_.expect(right(b, n * me, n), label("reduce_scatter"));
    }
    {
      std::vector<index_t> counts(static_cast<std::size_t>(p));
      index_t first = 0, total = 0;
      for (int r = 0; r < p; ++r) {
        counts[static_cast<std::size_t>(r)] = n * (r % 3) / 2 + r;  // uneven; rank 0 gets nothing
        if (r < me) first += counts[static_cast<std::size_t>(r)];
        total += counts[static_cast<std::size_t>(r)];
      }
      auto a = values<T>(total, op, me);
      auto const mine = counts[static_cast<std::size_t>(me)];
      std::vector<T> b(static_cast<std::size_t>(mine));
      auto const to = in_place ? out(a, first, mine) : out(b);
      go({.kind = comm::call_kind::reduce_scatter_v, .in = in(a), .out = to, .op = op, .out_parts = {counts, {}}},
         later);
      if (in_place) b.assign(a.begin() + first, a.begin() + first + mine);
      f_.expect(right(b, first, mine), label("reduce_scatter_v"));
    }
  }

  template <class T> void movements(index_t n, bool later) {
    int const me = c_.rank(), p = c_.size();
    constexpr auto op = comm::reduction::sum;
    auto const label = [&](char const* what) {
      return std::string(what) + "(" + std::string(name_of(comm::detail::element<T>::type())) + " x " +
             std::to_string(n) + (later ? ", request)" : ")");
    };
    go({.kind = comm::call_kind::barrier}, later);
    for (int const root : {0, p - 1}) {
      auto a = values<T>(n, op, me);
      go({.kind = comm::call_kind::broadcast, .in = in(a), .out = out(a), .root = root}, later);
      bool good = true;
      for (index_t i = 0; i < n; ++i) good = good && same(a[static_cast<std::size_t>(i)], value<T>(root, i, op));
      f_.expect(good, label("broadcast"));
    }
    for (bool const in_place : {false, true}) {
      auto a = values<T>(n, op, me);
      std::vector<T> b(static_cast<std::size_t>(n * p));
      if (in_place) std::copy(a.begin(), a.end(), b.begin() + n * me);
      go({.kind = comm::call_kind::all_gather, .in = in_place ? in(b, n * me, n) : in(a), .out = out(b)}, later);
      bool good = true;
      for (int r = 0; r < p; ++r)
        for (index_t i = 0; i < n; ++i) good = good && same(b[static_cast<std::size_t>(r * n + i)], value<T>(r, i, op));
      f_.expect(good, label(in_place ? "all_gather in place" : "all_gather"));
    }
    for (bool const gaps : {false, true}) {
      std::vector<index_t> counts, offsets;
      index_t at = 0;
      for (int r = 0; r < p; ++r) {
        counts.push_back(n * (r % 3) / 2 + r);
        offsets.push_back(at);
        at += counts.back() + (gaps ? 1 : 0);
      }
      auto const a = values<T>(counts[static_cast<std::size_t>(me)], op, me);
      std::vector<T> b(static_cast<std::size_t>(at));
      comm::parts const where{counts, gaps ? std::span<index_t const>(offsets) : std::span<index_t const>{}};
      go({.kind = comm::call_kind::all_gather_v, .in = in(a), .out = out(b), .out_parts = where}, later);
      bool good = true;
      for (std::size_t r = 0; r < counts.size(); ++r) {
        for (index_t i = 0; i < counts[r]; ++i)
          good = good && same(b[static_cast<std::size_t>(offsets[r] + i)], value<T>(static_cast<int>(r), i, op));
        if (gaps) good = good && same(b[static_cast<std::size_t>(offsets[r] + counts[r])], T{});
      }
      f_.expect(good, label("all_gather_v"));
    }
    {
      auto const a = values<T>(n * p, op, me);
      std::vector<T> b(a.size());
      go({.kind = comm::call_kind::all_to_all, .in = in(a), .out = out(b)}, later);
      bool good = true;
      for (int r = 0; r < p; ++r)
        for (index_t i = 0; i < n; ++i)
          good = good && same(b[static_cast<std::size_t>(r * n + i)], value<T>(r, me * n + i, op));
      f_.expect(good, label("all_to_all"));
    }
    {
      auto const count = [&](int i, int j) { return ((i + 2 * j) % 3) * n / 2 + (i == j ? 1 : 0); };
      std::vector<index_t> sent, got, sent_at, got_at;
      index_t s = 0, g = 1;  // the received parts lie in descending order with a gap in front
      for (int r = 0; r < p; ++r) {
        sent.push_back(count(me, r));
        sent_at.push_back(s);
        s += sent.back();
        got.push_back(count(r, me));
      }
      got_at.resize(got.size());
      for (std::size_t r = got.size(); r-- > 0;) {
        got_at[r] = g;
        g += got[r];
      }
      auto const a = values<T>(s, op, me);
      std::vector<T> b(static_cast<std::size_t>(g));
      go({.kind = comm::call_kind::all_to_all_v,
          .in = in(a),
          .out = out(b),
          .in_parts = {sent, {}},
          .out_parts = {got, got_at}},
         later);
      bool good = same(b[0], T{});
      for (int r = 0; r < p; ++r) {
        index_t first = 0;
        for (int j = 0; j < me; ++j) first += count(r, j);
        auto const k = static_cast<std::size_t>(r);
        for (index_t i = 0; i < got[k]; ++i)
          good = good && same(b[static_cast<std::size_t>(got_at[k] + i)], value<T>(r, first + i, op));
      }
      f_.expect(good, label("all_to_all_v"));
    }
    {
      auto const a = values<T>(n, op, me);
      std::vector<T> b(a.size());
      int const right = (me + 1) % p, left = (me + p - 1) % p;
      auto r = c_.start({.kind = comm::call_kind::receive, .out = out(b), .root = left, .tag = 5});
      go({.kind = comm::call_kind::send, .in = in(a), .root = right, .tag = 5}, later);
      r.wait();
      bool good = true;
      for (index_t i = 0; i < n; ++i) good = good && same(b[static_cast<std::size_t>(i)], value<T>(left, i, op));
      f_.expect(good, label("send and receive"));
    }
  }

  comm::communicator& c_;
  findings& f_;
  std::minstd_rand random_;
  bool jitter_;
};

/// Booleans, which travel as bytes of 0 or 1: all_reduce, reduce and reduce_scatter with the reductions that they have,
/// and the refusal of those that they have not.
inline void run_booleans(comm::communicator& c, findings& f) {
  auto const p = c.size(), me = c.rank();
  auto const truth = [](int r, index_t i) { return static_cast<std::uint8_t>((i + r * i / 3 + r) % 3 == 0); };
  auto const any = [&](index_t i) {
    int n = 0;
    for (int r = 0; r < p; ++r) n += truth(r, i);
    return n;
  };
  constexpr index_t n = 37;
  auto const mine = [&](index_t count) {
    std::vector<std::uint8_t> v(static_cast<std::size_t>(count));
    for (index_t i = 0; i < count; ++i) v[static_cast<std::size_t>(i)] = truth(me, i);
    return v;
  };
  for (auto const op :
       {comm::reduction::min, comm::reduction::max, comm::reduction::bit_and, comm::reduction::bit_or}) {
    // the logical and; the others are the or
    bool const all = op == comm::reduction::min || op == comm::reduction::bit_and;
    auto const want = [&](index_t i) { return static_cast<std::uint8_t>(all ? any(i) == p : any(i) > 0); };
    for (bool const later : {false, true}) {
      auto const go = [&](comm::call const& k) {
        if (later) c.start(k).wait();
        else c.run(k);
      };
      auto const label = "(BOOL, " + std::string(name_of(op)) + (later ? ", request)" : ")");
      auto const a = mine(n);
      std::vector<std::uint8_t> b(a.size(), 7);
      auto const matches = [&](index_t first) {
        for (index_t i = 0; i < n; ++i)
          if (b[static_cast<std::size_t>(i)] != want(first + i)) return false;
        return true;
      };
      go({.kind = comm::call_kind::all_reduce,
          .in = {a.data(), n, dtype::boolean},
          .out = {b.data(), n, dtype::boolean},
          .op = op});
      f.expect(matches(0), "all_reduce" + label);
      std::fill(b.begin(), b.end(), std::uint8_t{7});
      go({.kind = comm::call_kind::reduce,
          .in = {a.data(), n, dtype::boolean},
          .out = {b.data(), n, dtype::boolean},
          .op = op,
          .root = p - 1});
      if (me == p - 1) f.expect(matches(0), "reduce" + label);
      auto const wide = mine(n * p);
      go({.kind = comm::call_kind::reduce_scatter,
          .in = {wide.data(), n * p, dtype::boolean},
          .out = {b.data(), n, dtype::boolean},
          .op = op});
      f.expect(matches(n * me), "reduce_scatter" + label);
    }
  }
  for (auto const op : {comm::reduction::sum, comm::reduction::prod}) {
    auto const a = mine(3);
    std::vector<std::uint8_t> b(3);
    bool refused = false;
    try {
      c.run({.kind = comm::call_kind::all_reduce,
             .in = {a.data(), 3, dtype::boolean},
             .out = {b.data(), 3, dtype::boolean},
             .op = op});
    } catch (error const& e) {
      refused = std::string(e.what()).find(name_of(op)) != std::string::npos;
    }
    f.expect(refused, "all_reduce(BOOL, " + std::string(name_of(op)) + ") was not refused with the reduction's name");
  }
}

/// The whole matrix on one rank.
inline findings run_op_matrix(comm::communicator& c, bool jitter) {
  findings f;
  op_matrix m(c, f, 17, jitter);
  std::vector<index_t> const sizes{0, 1, 37, 1000};
  m.run<float>(sizes);
  m.run<double>({0, 1, 37});
  m.run<half>({1, 37});
  m.run<bfloat16>({1, 37});
  m.run<std::int8_t>({1, 37});
  m.run<std::uint8_t>({1, 37});
  m.run<std::int16_t>({37});
  m.run<std::uint16_t>({37});
  m.run<std::int32_t>({0, 37});
  m.run<std::uint32_t>({37});
  m.run<std::int64_t>({37});
  m.run<std::uint64_t>({37});
  run_booleans(c, f);
  return f;
}

/// Many non-blocking operations at once, finished in another order on every rank.
inline findings run_many_requests(comm::communicator& c) {
  findings f;
  constexpr std::size_t many = 40;
  std::minstd_rand random(static_cast<unsigned>(c.rank()) + 3);
  std::vector<std::vector<std::int64_t>> data(many);
  std::vector<comm::request> requests(many);
  for (std::size_t k = 0; k < many; ++k) {
    data[k].assign(k * 50 + 1, static_cast<std::int64_t>(k) + c.rank());
    requests[k] = c.iall_reduce(data[k]);
  }
  std::vector<std::size_t> order(many);
  for (std::size_t k = 0; k < many; ++k) order[k] = k;
  std::shuffle(order.begin(), order.end(), random);
  for (auto const k : order) {
    if (random() % 2) c.progress();
    if (random() % 2) (void)requests[k].test();
    requests[k].wait();
    auto const p = static_cast<std::int64_t>(c.size());
    auto const want = p * static_cast<std::int64_t>(k) + p * (p - 1) / 2;
    for (auto x : data[k]) f.expect(x == want, "all_reduce number " + std::to_string(k));
  }
  return f;
}

}  // namespace pleat_test
