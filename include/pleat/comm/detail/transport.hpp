// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Any transport behind one interface: by the calls that it runs, or by the named members that it has.
#pragma once

#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

#include <pleat/base/owned_ptr.hpp>
#include <pleat/comm/concepts.hpp>
#include <pleat/comm/detail/by_name.hpp>
#include <pleat/comm/request.hpp>
#include <pleat/comm/types.hpp>

namespace pleat::comm::detail {

/// What a communicator asks of its transport, one indirect call each.
struct transport {
  virtual ~transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  virtual std::string_view name() const = 0;
  virtual void run(call const&) = 0;
  virtual briefly runs_briefly() = 0;
  virtual request start(call const&) = 0;
  virtual void progress() = 0;
  virtual void set_timeout(double) = 0;
  virtual owned_ptr<transport> split(int color, int key) = 0;
};

/// A brief call as the whole that it stands for. \param n of one block, as briefly::function has it
[[nodiscard]] constexpr call whole_of(void const* in, void* out, index_t n, brief b, int size) noexcept {
  index_t const ins = b.kind == call_kind::receive ? 0 : n * (b.kind == call_kind::reduce_scatter ? size : 1);
  index_t const outs = b.kind == call_kind::send ? 0 : n * (b.kind == call_kind::all_gather ? size : 1);
  return {
      .kind = b.kind, .in = {in, ins, b.type}, .out = {out, outs, b.type}, .op = b.op, .root = b.root, .tag = b.tag};
}
/// The frequent kinds of a transport that takes calls as a whole only, so that nobody asks whether it does.
/// \param self the transport
PLEAT_LAZY int run_whole(void* self, void const* in, void* out, index_t n, std::uint32_t what, std::uint64_t where) {
  auto& t = *static_cast<transport*>(self);
  t.run(whole_of(in, out, n, brief::of(what, where), t.size()));
  return 0;
}
PLEAT_LAZY [[nodiscard]] inline briefly whole_calls_of(transport& t) noexcept {
  static_assert(call_kinds == 13);
  static constexpr briefly::function f = &run_whole<>;
  static constexpr briefly::function by_kind[call_kinds] = {f, f, f, f, f, f, f, f, f, f, f, f, f};
  return {&t, by_kind, nullptr};
}

/// A transport of type T, by whichever members it has.
template <class T> struct transport_model final : transport {
  explicit transport_model(T&& t) : t(std::move(t)) {}
  int rank() const override { return t.rank(); }
  int size() const override { return t.size(); }
  std::string_view name() const override {
    if constexpr (requires { std::string_view(t.name()); }) return t.name();
    else return "user's transport";
  }
  void run(call const& c) override {
    if constexpr (runs_calls<T>) t.run(c);
    else run_by_name(t, c);
  }
  briefly runs_briefly() override {
    if constexpr (comm::runs_briefly<T>) return t.runs_briefly();
    else return {};
  }
  request start(call const& c) override {
    if constexpr (runs_calls<T>) return t.start(c);
    else return start_by_name(t, c);
  }
  void progress() override {
    if constexpr (requires { t.progress(); }) t.progress();
  }
  void set_timeout(double seconds) override {
    if constexpr (requires { t.set_timeout(seconds); }) t.set_timeout(seconds);
    else cannot("set_timeout", t.rank(), "set_timeout");
  }
  owned_ptr<transport> split(int color, int key) override {
    if constexpr (requires { *t.split(color, key); }) {
      auto part = t.split(color, key);
      if (!part) return nullptr;
      return make_owned<transport_model<std::remove_cvref_t<decltype(*part)>>>(std::move(*part));
    } else {
      cannot("split", t.rank(), "split");
    }
  }
  T t;
};

}  // namespace pleat::comm::detail
