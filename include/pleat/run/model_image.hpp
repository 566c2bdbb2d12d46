// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A model's weights as files take them: whole, in the form that they have, collected from wherever the mesh has them;
/// and back.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/as_span.hpp>
#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/detail/bits.hpp>
#include <pleat/codec/detail/parts.hpp>
#include <pleat/io/checkpoint_layout.hpp>
#include <pleat/io/weights.hpp>
#include <pleat/nn/any_weight.hpp>
#include <pleat/parallel/any_model.hpp>
#include <pleat/run/model_description.hpp>
#include <pleat/tensor/detail/number.hpp>
#include <pleat/comm/attempt.hpp>

namespace pleat::run {

/// How a model is written.
struct file_options {
  /// dense parameters in this type: f32, f64, bf16, f16 (rounded to nearest even); not set: as they are
  std::optional<dtype> dense_as{};
};

namespace detail {

/// Floating-point values in another type, rounded to nearest even. \throws error if a finite value would become
/// infinite
template <class From, class To>
std::vector<std::byte> convert(std::string const& call, std::vector<std::byte> const& bytes) {
  auto const from = codec::detail::values_of<From>(bytes);
  std::vector<To> to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    double const x = pleat::detail::number(from[i]);
    to[i] = pleat::detail::rounded<To>(x);
    if (!std::isfinite(pleat::detail::number(to[i])) && std::isfinite(x))
      throw error{
          call,
          "element " + std::to_string(i) + " is above the largest number of " + std::string(name_of(dtype_of<To>)),
          "Keep this weight in the wider type: choose another dense_as, or train and load with it"};
  }
  return codec::detail::bytes_of(std::span<To const>(to));
}
/// \throws error for a type that dense parameters cannot be written in
PLEAT_ONCE void demand_dense_type(char const* call, file_options const& how) {
  if (!how.dense_as) return;
  for (auto const t : {dtype::f32, dtype::f64, dtype::bf16, dtype::f16})
    if (*how.dense_as == t) return;
  throw error{call, "dense parameters cannot be written as " + std::string(name_of(*how.dense_as)),
              "Use dense_as = f32, f64, bf16 or f16; compress::quantize makes integers of weights"};
}
PLEAT_COMPILED_ONCE(void demand_dense_type(char const* call, file_options const& how));
/// Where both types are floating-point ones; other parts stay as they are, for the form to refuse.
PLEAT_ONCE void convert_part(std::string const& call, codec::file_tensor& part, dtype to) {
  auto const floating = [](dtype t) {
    return t == dtype::f32 || t == dtype::f64 || t == dtype::f16 || t == dtype::bf16;
  };
  if (part.type == to || !floating(part.type) || !floating(to)) return;
  auto const with = [](dtype t, auto&& f) {
    switch (t) {
      case dtype::f64:
        return f(double{});
      case dtype::f16:
        return f(half{});
      case dtype::bf16:
        return f(bfloat16{});
      default:
        return f(float{});
    }
  };
  part.bytes = with(part.type, [&](auto a) {
    return with(to, [&](auto b) { return convert<decltype(a), decltype(b)>(call, part.bytes); });
  });
  part.type = to;
}
PLEAT_COMPILED_ONCE(void convert_part(std::string const& call, codec::file_tensor& part, dtype to));

/// A file holds whole weights. \throws error for a part of one, or one that is on another pipeline stage
PLEAT_ONCE void demand_whole(char const* call, nn::parameter const& w) {
  if (w.parts > 1 && w.where.shards())
    throw error{call,
                "'" + w.name + "' is one of " + std::to_string(w.parts) +
                    " parts over the tensor axis: no rank holds a whole one",
                "Write a checkpoint, and load it into a model on one rank of that axis"};
  if (!w.materialised())
    throw error{call, "'" + w.name + "' is not here: it is only described, or on another pipeline stage",
                "Materialise the model, or ask the rank whose pipeline stage has this weight"};
}
PLEAT_COMPILED_ONCE(void demand_whole(char const* call, nn::parameter const& w));

/// A model's weights as files take them, and the bytes that they refer to.
struct model_image {
  std::vector<std::vector<codec::file_tensor>> parts;
  std::vector<io::stored_weight> weights;

  /// \param shape of the whole weight
  PLEAT_ONCE void add(std::string const& name, std::string const& form, extents const& shape,
                      std::vector<codec::file_tensor> tensors, model_description const& about, file_options const& how);
};

template <class>
void model_image::add(std::string const& name, std::string const& form, extents const& shape,
                      std::vector<codec::file_tensor> tensors, model_description const& about,
                      file_options const& how) {
  if (how.dense_as && form == "dense")
    for (auto& t : tensors) convert_part("run::save: '" + name + "'", t, *how.dense_as);
  io::stored_weight stored{name, form, {}, shape, {}, {}};
  if (auto const e = about.errors.find(name); e != about.errors.end()) stored.error = e->second;
  for (auto const& t : tensors) stored.parts.push_back({t.suffix, t.type, t.shape, as_span(t.bytes)});
  parts.push_back(std::move(tensors));  // the vectors' memory moves with them: the views stay good
  weights.push_back(std::move(stored));
}
PLEAT_COMPILED_ONCE(void model_image::add(std::string const& name, std::string const& form, extents const& shape,
                                          std::vector<codec::file_tensor> tensors, model_description const& about,
                                          file_options const& how));

/// A weight on its way to the file: as its form writes it; one that is cut as dense numbers of this rank's part, and
/// which of them live.
struct collected_weight {
  std::string form;
  std::vector<codec::file_tensor> tensors;

  /// What a message says of it, besides the bytes.
  PLEAT_ONCE [[nodiscard]] std::string words() const;
  /// The same, without the bytes.
  PLEAT_ONCE [[nodiscard]] static collected_weight of_words(std::string_view s);
};

template <class> std::string collected_weight::words() const {
  std::string s = form;
  for (auto const& t : tensors) {
    s += '\n' + t.suffix + '\n' + std::to_string(static_cast<int>(t.type));
    for (int d = 0; d < t.shape.rank(); ++d) s += ' ' + std::to_string(t.shape[d]);
  }
  return s;
}
PLEAT_COMPILED_ONCE(std::string collected_weight::words() const);

template <class> collected_weight collected_weight::of_words(std::string_view s) {
  auto const line = [&] {
    auto const stop = s.find('\n');
    auto const l = s.substr(0, stop);
    s = stop == std::string_view::npos ? std::string_view{} : s.substr(stop + 1);
    return l;
  };
  collected_weight w{std::string(line()), {}};
  while (!s.empty()) {
    codec::file_tensor t{std::string(line()), {}, {}, {}};
    auto const numbers = line();
    index_t list[extents::max_rank + 1], n = 0;
    for (char const *at = numbers.data(), *const end = at + numbers.size(); at < end; ++n)
      at = std::from_chars(at, end, list[n]).ptr + 1;
    t.type = static_cast<dtype>(list[0]);
    t.shape = extents(std::span<index_t const>(list + 1, static_cast<std::size_t>(n - 1)));
    w.tensors.push_back(std::move(t));
  }
  return w;
}
PLEAT_COMPILED_ONCE(collected_weight collected_weight::of_words(std::string_view s));

/// What a form has to say against f, with the weight's name.
template <class F> void in_words(nn::parameter const& w, F const& f) {
  try {
    f();
  } catch (error const& e) {
    throw error{e.call(), "'" + w.name + "': " + e.problem(), e.remedy()};
  }
}

/// Whether the parts of a cut weight come together as numbers, and not as what its form writes of each.
template <class T, class Space> [[nodiscard]] bool joins_as_numbers(nn::any_weight<T, Space> const& w) {
  return w.trainable() && !w.joins();
}

/// This rank's part of a weight that is cut: dense numbers and which of them live, or what the form writes of it.
/// \throws error for a form whose parts cannot be put together
template <class T, class Space>
[[nodiscard]] collected_weight part_of(nn::any_weight<T, Space> const& w, context<Space>& where) {
  if (!joins_as_numbers(w)) {
    if (w.joins()) {
      collected_weight c{std::string(w.form_name()), {}};
      in_words(w, [&] { c.tensors = w.to_file(where); });
      return c;
    }
    throw error{"run::save",
                "'" + w.name + "' is one of " + std::to_string(w.parts) + " parts along the tensor axis, stored as '" +
                    std::string(w.form_name()) + "': parts of that form cannot be put together",
                "Save the model before it is cut (parallel::place)"};
  }
  collected_weight c{std::string(w.form_name()), {{"", dtype_of<T>, w.shape, {}}}};
  c.tensors[0].bytes.resize(static_cast<std::size_t>(w.size()) * sizeof(T));
  copy_to_host(where, tensor<T, Space>::wrap(w.data(), w.shape), reinterpret_cast<T*>(c.tensors[0].bytes.data()));
  if (!w.masked()) return c;
  if (w.size() > 0 && !w.mask_bits())
    throw error{"codec::masked", "'" + w.name + "' was never encoded: it has no mask",
                "Prune the model, or load its file, before it is saved"};
  auto const bits = nn::host_mask(where, w);
  c.tensors.push_back({".mask", dtype::u8, w.shape, std::vector<std::byte>(static_cast<std::size_t>(w.size()))});
  for (index_t i = 0; i < w.size(); ++i)
    c.tensors[1].bytes[static_cast<std::size_t>(i)] = std::byte{codec::detail::bit_at(bits.data(), i)};
  return c;
}

/// From the numbers of all parts to what the form writes.
template <class T> void finish_joined(collected_weight& w) {
  if (w.tensors.size() < 2) return;
  std::vector<std::uint8_t> bits(static_cast<std::size_t>(codec::detail::bit_bytes(w.tensors[1].shape.size())), 0);
  auto const& alive = w.tensors[1].bytes;
  for (std::size_t i = 0; i < alive.size(); ++i)
    if (alive[i] != std::byte{0}) bits[i / 8] = static_cast<std::uint8_t>(bits[i / 8] | (1u << i % 8));
  auto const values = codec::detail::values_of<T>(w.tensors[0].bytes);
  auto const left = codec::detail::survivors(std::span<T const>(values), bits.data());
  w.tensors = {
      {".mask",
       dtype::u8,
       {static_cast<index_t>(bits.size())},
       codec::detail::bytes_of(std::span<std::uint8_t const>(bits))},
      {".values", dtype_of<T>, {static_cast<index_t>(left.size())}, codec::detail::bytes_of(std::span<T const>(left))}};
}

/// A weight is sent (received) by two messages of what it is, and one for each tensor's bytes.
inline constexpr int collect_tag = comm::tags::weights;
PLEAT_ONCE void send_weight(comm::communicator& to, int peer, collected_weight const& w, bool with_bytes = true) {
  auto const words = w.words();
  auto const n = static_cast<index_t>(words.size());
  to.send(std::span<index_t const>(&n, 1), peer, collect_tag);
  if (n > 0) to.send(words, peer, collect_tag);
  for (auto const& t : w.tensors)
    if (with_bytes && !t.bytes.empty()) to.send(t.bytes, peer, collect_tag);
}
PLEAT_COMPILED_ONCE(void send_weight(comm::communicator& to, int peer, collected_weight const& w, bool with_bytes));
PLEAT_ONCE [[nodiscard]] collected_weight receive_weight(comm::communicator& from, int peer, bool with_bytes = true) {
  index_t n = 0;
  from.receive(std::span<index_t>(&n, 1), peer, collect_tag);
  std::string words(static_cast<std::size_t>(n), '\0');
  if (n > 0) from.receive(words, peer, collect_tag);
  auto w = collected_weight::of_words(words);
  for (auto& t : w.tensors) {
    if (with_bytes) t.bytes.resize(static_cast<std::size_t>(t.shape.size()) * size_of(t.type));
    if (!t.bytes.empty()) from.receive(t.bytes, peer, collect_tag);
  }
  return w;
}
PLEAT_COMPILED_ONCE(collected_weight receive_weight(comm::communicator& from, int peer, bool with_bytes));

/// The parts of a cut weight from the tensor axis, put together on its rank 0. Collective over the axis.
PLEAT_ONCE void join_parts(comm::communicator& axis, nn::parameter const& w, collected_weight& c) {
  if (axis.rank() > 0) {
    for (auto const& t : c.tensors)
      if (!t.bytes.empty()) axis.send(t.bytes, 0, collect_tag);
    return;
  }
  for (auto& t : c.tensors) {
    std::size_t const width = size_of(t.type);
    std::vector<std::byte> whole(static_cast<std::size_t>(w.whole().size()) * width), part = std::move(t.bytes);
    for (int r = 0; r < axis.size(); ++r) {
      auto const box = w.box(r);
      if (box.size() == 0) continue;
      part.resize(static_cast<std::size_t>(box.size()) * width);
      if (r > 0) axis.receive(part, r, collect_tag);
      io::for_each_run(w.whole(), box, {0, box.size()}, [&](index_t global, index_t local, index_t n) {
        std::memcpy(whole.data() + static_cast<std::size_t>(global) * width,
                    part.data() + static_cast<std::size_t>(local) * width, static_cast<std::size_t>(n) * width);
      });
    }
    t.bytes = std::move(whole);
    t.shape = w.whole();
  }
}

/// The same of an encoded weight: every part as its form writes it. \throws error, once all parts have come
template <class T, class Space>
void join_encoded(comm::communicator& axis, nn::any_weight<T, Space> const& w, collected_weight& c) {
  if (axis.rank() > 0) return send_weight(axis, 0, c);
  std::vector<codec::weight_piece> pieces;
  for (int r = 0; r < axis.size(); ++r)
    pieces.push_back({w.box(r).shape(), r > 0 ? receive_weight(axis, r).tensors : std::move(c.tensors)});
  c.tensors.clear();
  try {
    c.tensors = w.join(pieces);
  } catch (error const& e) {
    throw error{"run::save", "'" + w.name + "': " + e.problem(), e.remedy()};
  }
}

/// Which rank of the pipeline has each parameter, in the order of the network.
template <class T, class Space>
[[nodiscard, gnu::cold]] std::map<std::string, int> homes(parallel::any_model<T, Space> const& m) {
  std::map<std::string, int> at;
  auto const& layout = m.layout();
  for (index_t s = 0; s < layout.count(); ++s)
    // only read
    nn::for_each_parameter_units(const_cast<parallel::network<T, Space>&>(m.any_net()), layout.begin(s), layout.end(s),
                                 [&](nn::parameter const& w) { at[w.name] = layout.rank_of(s); });
  return at;
}

/// What collect() is to bring.
enum class collecting : std::uint8_t { descriptions, weights };

/// Dense numbers: what the form writes of them is known without looking.
template <class T, class Space> [[nodiscard]] bool is_plain(nn::any_weight<T, Space> const& w) {
  return w.trainable() && w.form_name() == "dense";
}
template <class T, class Space>
[[nodiscard]] std::optional<collected_weight> plain_description(nn::any_weight<T, Space> const& w) {
  if (!is_plain(w)) return std::nullopt;
  return collected_weight{std::string(w.form_name()), {{"", dtype_of<T>, w.whole(), {}}}};
}

/// Who takes the weights that collect() brings.
using weight_sink = std::function<void(nn::parameter const&, collected_weight)>;

/// Every weight whole, one after the other, on rank 0 of the mesh: sink(parameter const&, collected_weight) there, in
/// the order of the network. Rank 0 holds one weight at a time; a rank that has a stage of its own holds one of its
/// weights, and where parameters are sharded (state_stage = 3) every rank does. The same from every mesh. Collective
/// over all ranks. \param what descriptions come without their bytes
/// \throws error on every rank alike, also what the sink has to say
template <class T, class Space>
[[gnu::cold]] void collect(parallel::any_model<T, Space> const& m, collecting what, weight_sink const& sink) {
  bool const asked = m.ranks().rank() == 0;  // one replica speaks
  bool const bytes = what == collecting::weights;
  auto& axis = m.parts();
  auto& stages = m.pipeline();
  auto const home = homes(m);
  std::exception_ptr refused;  // the others still wait for the rest of the weight
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    if (!w.tied_to.empty()) return;
    bool const cut = w.parts > 1 && w.where.shards();
    int const from = home.at(w.name);
    bool const here = asked && from == stages.rank();
    auto known = bytes || !here ? std::nullopt : plain_description(w);
    collected_weight c;
    auto const whole = m.open(const_cast<nn::any_weight<T, Space>&>(w), bytes || !is_plain(w));  // only read
    comm::all_or_none(m.all_ranks(), [&] {  // what one rank finds, all hear, before anybody waits for it
      if (refused) std::rethrow_exception(refused);
      if (!here || (!cut && axis.rank() > 0)) return;
      if (known) {
        c = std::move(*known);
      } else if (cut) {
        c = part_of(w, m.context());
      } else {
        demand_whole("run::save", w);
        in_words(w, [&] { c = {std::string(w.form_name()), w.to_file(m.context())}; });
      }
    });
    if (!asked) return;
    auto const heed = [&](auto&& f) {
      try {
        f();
      } catch (...) {
        if (!refused) refused = std::current_exception();
        c = {};
      }
    };
    if (here) {
      if (cut && !known) {
        if (joins_as_numbers(w)) {
          join_parts(axis, w, c);
          if (axis.rank() == 0) finish_joined<T>(c);
        } else {
          heed([&] { join_encoded(axis, w, c); });
        }
      }
      if (axis.rank() > 0) return;
      if (from > 0) return send_weight(stages, 0, c, bytes);
    } else if (stages.rank() == 0 && axis.rank() == 0) {
      c = receive_weight(stages, from, bytes);
    } else {
      return;
    }
    if (!bytes)
      for (auto& t : c.tensors) t.bytes = {};
    if (!refused && !c.form.empty()) heed([&] { sink(w, std::move(c)); });
  });
  comm::all_or_none(m.all_ranks(), [&] {
    if (refused) std::rethrow_exception(refused);
  });
}

/// All weights at once, on rank 0 of the mesh; nothing elsewhere. Collective as collect() is.
template <class T, class Space>
[[nodiscard, gnu::cold]] model_image image_of(parallel::any_model<T, Space> const& m, model_description const& about,
                                              file_options const& how, collecting what = collecting::weights) {
  model_image image;
  collect(m, what, [&](nn::parameter const& w, collected_weight c) {
    image.add(w.name, c.form, w.whole(), std::move(c.tensors), about, how);
  });
  return image;
}

/// The same on the calling rank, which must hold every weight whole (one stage, uncut). Not collective. \throws error
template <class T, class Space>
[[nodiscard, gnu::cold]] model_image local_image_of(char const* call, parallel::any_model<T, Space> const& m,
                                                    model_description const& about = {}, file_options const& how = {}) {
  demand_dense_type(call, how);
  m.demand_whole_parameters(call);
  model_image image;
  nn::for_each_parameter(m.any_net(), [&](nn::any_weight<T, Space> const& w) {
    if (!w.tied_to.empty()) return;
    demand_whole(call, w);
    std::vector<codec::file_tensor> tensors;
    in_words(w, [&] { tensors = w.to_file(m.context()); });
    image.add(w.name, std::string(w.form_name()), w.shape, std::move(tensors), about, how);
  });
  return image;
}

/// What a file says of a weight, or of this rank's part of it, into the weight. \param values takes the numbers of a
/// form that trains
/// \param keep false: the numbers alone \throws error for a form that cannot be cut
template <class T, class Space>
[[gnu::cold]] void take_weight(nn::any_weight<T, Space>& w, context<Space>& where,
                               std::vector<codec::file_tensor> const& tensors, T* values, bool keep) {
  bool const part = w.trainable() && w.parts > 1 && w.where.shards();  // the whole comes first
  auto const numbers = tensor<T, Space>::allocate(where, part ? w.whole() : extents{0});
  auto const in_place = w.from_file(where, tensors, part ? numbers.data() : values);
  if (part) {
    std::vector<T> host(static_cast<std::size_t>(w.whole().size())), mine(static_cast<std::size_t>(w.size()));
    copy_to_host(where, numbers, host.data());
    io::copy_part(std::as_bytes(std::span<T const>(host)), w.whole(), sizeof(T), w.box(), {0, w.size()},
                  std::as_writable_bytes(std::span<T>(mine)));
    copy_from_host(where, static_cast<T const*>(mine.data()), tensor<T, Space>::wrap(values, w.shape));
  }
  if (keep) in_place();
}

}  // namespace detail

}  // namespace pleat::run
