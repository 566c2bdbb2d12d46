// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Stored weights as floats, on the host, whatever their form: for tools that look at files without a network. Needs no
/// Kokkos.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/math.hpp>
#include <pleat/codec/detail/block_bits.hpp>
#include <pleat/codec/detail/codebook_bits.hpp>
#include <pleat/codec/detail/coded_bits.hpp>
#include <pleat/codec/detail/factor_parts.hpp>
#include <pleat/codec/detail/int8_bits.hpp>
#include <pleat/codec/detail/low_rank_bits.hpp>
#include <pleat/codec/detail/reduced_bits.hpp>
#include <pleat/codec/detail/spatial_bits.hpp>
#include <pleat/codec/detail/sparse_bits.hpp>
#include <pleat/io/weights.hpp>

namespace pleat::io {

namespace detail {

/// A weight's parts where a form's bit logic can open them: with room behind each.
struct host_parts {
  std::vector<codec::file_tensor> parts;
  template <class V> [[nodiscard]] V const* find(std::string_view suffix) const noexcept {
    auto const* p = codec::detail::find_part(parts, suffix);
    return p ? reinterpret_cast<V const*>(p->bytes.data()) : nullptr;
  }
  [[nodiscard]] index_t count(std::string_view suffix) const noexcept {
    auto const* p = codec::detail::find_part(parts, suffix);
    return p ? p->shape.size() : 0;
  }
};

/// Through the bit logic of codec/: check, derive, open, decode.
template <class Bits> std::vector<float> decode_bits(extents const& shape, std::vector<codec::file_tensor> parts) {
  Bits::check(shape, parts);
  if constexpr (requires { Bits::derive(shape, parts); })
    for (auto& p : Bits::derive(shape, std::span<codec::file_tensor const>(parts))) parts.push_back(std::move(p));
  host_parts held{parts};
  for (auto& p : held.parts) p.bytes.resize(p.bytes.size() + 64);  // vector code may read past a part's end
  typename Bits::view view;
  if constexpr (requires { Bits::open(shape, held, std::span<codec::file_tensor const>(parts)); })
    view = Bits::open(shape, held, std::span<codec::file_tensor const>(parts));
  else view = Bits::open(shape, held);

  index_t const rows = codec::rows_of(shape), columns = codec::columns_of(shape);
  std::vector<float> out(static_cast<std::size_t>(shape.size()), 0.0f);
  if (out.empty()) return out;
  if constexpr (requires { view.scatter(index_t{}, out.data()); }) {
    for (index_t c = 0; c < view.chunks; ++c) view.scatter(c, out.data() + c * view.chunk_rows * columns);
  } else if constexpr (requires { view.left; }) {
    for (index_t r = 0; r < rows; ++r) {
      float* const row = out.data() + r * columns;
      if constexpr (std::is_same_v<Bits, codec::detail::low_rank_logic<true>>) view.apart.decode(r, 0, columns, row);
      for (index_t k = 0; k < columns; ++k)
        for (index_t q = 0; q < view.rank; ++q)
          row[k] = std::fma(view.left[r * view.rank + q], view.right[q * columns + k], row[k]);
    }
  } else {
    for (index_t r = 0; r < rows; ++r) view.decode(r, 0, columns, out.data() + r * columns);
  }
  return out;
}

template <class T> std::vector<float> widened(std::span<std::byte const> bytes) {
  auto const values = codec::detail::values_of<T>(bytes);
  std::vector<float> out(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = static_cast<float>(values[i]);
  return out;
}

PLEAT_ONCE [[nodiscard]] std::vector<float> decode_dense(std::string const& call, stored_weight const& w) {
  if (w.parts.size() != 1 || !w.parts[0].suffix.empty() || w.parts[0].shape != w.shape)
    throw error{call, detail::shown(w.name) + " is no single tensor of shape " + w.shape.to_string(),
                "Give it one part, of the weight's own shape, or write the file anew with run::save"};
  auto const bytes = w.parts[0].bytes;
  switch (w.parts[0].type) {
    case dtype::f32:
      return widened<float>(bytes);
    case dtype::f64:
      return widened<double>(bytes);
    case dtype::f16:
      return widened<half>(bytes);
    case dtype::bf16:
      return widened<bfloat16>(bytes);
    case dtype::boolean:
    case dtype::u8:
      return widened<std::uint8_t>(bytes);
    case dtype::i8:
      return widened<std::int8_t>(bytes);
    case dtype::i16:
      return widened<std::int16_t>(bytes);
    case dtype::u16:
      return widened<std::uint16_t>(bytes);
    case dtype::i32:
      return widened<std::int32_t>(bytes);
    case dtype::u32:
      return widened<std::uint32_t>(bytes);
    case dtype::i64:
      return widened<std::int64_t>(bytes);
    case dtype::u64:
      return widened<std::uint64_t>(bytes);
  }
  return {};
}

PLEAT_ONCE [[nodiscard]] std::vector<float> decode_int8(extents const& shape,
                                                        std::span<codec::file_tensor const> parts) {
  auto const w = codec::detail::read_int8(shape, parts);
  std::vector<float> out(w.codes.size());
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<float>(w.codes[i]) * w.scales[i / static_cast<std::size_t>(codec::columns_of(shape))];
  return out;
}

template <class... Bits> struct bit_logics {
  static constexpr std::size_t size = sizeof...(Bits);
  template <class... More> using with = bit_logics<Bits..., More...>;
};
/// Of the forms that factors take (codec/detail/factored_weight.hpp), all but floats and int8.
using factor_bit_logic = bit_logics<
    codec::detail::reduced_logic<bfloat16>, codec::detail::reduced_logic<half>,
    codec::detail::block_logic<codec::detail::q8_0_format>, codec::detail::block_logic<codec::detail::q4_0_format>,
    codec::detail::block_logic<codec::detail::q4_1_format>, codec::detail::block_logic<codec::detail::q5_0_format>,
    codec::detail::block_logic<codec::detail::q5_1_format>, codec::detail::block_logic<codec::detail::q4_k_format>,
    codec::detail::block_logic<codec::detail::q6_k_format>, codec::detail::block_logic<codec::detail::int4_format<32>>,
    codec::detail::block_logic<codec::detail::int4_format<64>>,
    codec::detail::block_logic<codec::detail::int4_format<128>>>;
/// The bit logic of every form that decode() knows, but dense, masked and int8.
using every_bit_logic =
    factor_bit_logic::with<codec::detail::block_logic<codec::detail::int4_format<256>>,
                           codec::detail::compressed_rows_logic<1>, codec::detail::compressed_rows_logic<4>,
                           codec::detail::bitmask_logic, codec::detail::n_m_logic<1, 4>, codec::detail::n_m_logic<2, 4>,
                           codec::detail::n_m_logic<4, 8>, codec::detail::codebook_logic, codec::detail::coded_logic,
                           codec::detail::low_rank_logic<false>, codec::detail::low_rank_logic<true>,
                           codec::detail::spatial_logic>;

template <class... Bits, class F> bool with_logic_of(bit_logics<Bits...>, std::string_view form, F&& f) {
  return ((form == Bits::name ? (f.template operator()<Bits>(), true) : false) || ...);
}
/// Calls f.operator()<Bits>() for the bit logic of that name. \returns false if there is none
template <class F> bool with_bit_logic(std::string_view form, F&& f) {
  return with_logic_of(every_bit_logic{}, form, f);
}

/// A few bytes may claim any number of zeros: 1/128 bit each is where belief ends.
PLEAT_LAZY [[nodiscard]] inline bool believable(index_t rows, index_t columns, std::uint64_t bytes) noexcept {
  index_t size = 0;
  return !__builtin_mul_overflow(rows, columns, &size) && static_cast<std::uint64_t>(size) / 1024 <= bytes + 1024;
}

/// One factor of codec::factors. \throws error for a form that factors cannot take, and for what it cannot believe
template <int = 0>
[[nodiscard]] std::vector<float> decode_factor(extents const& shape, codec::detail::factor_parts const& f) {
  std::uint64_t bytes = 0;
  for (auto const& p : f.parts) bytes += p.bytes.size();
  if (!believable(shape[0], shape[1], bytes))
    throw error{"",
                "a factor claims the shape " + shape.to_string() + " with " + std::to_string(bytes) + " bytes stored",
                "The file is damaged, or no file of pleat's"};
  std::vector<float> out;
  if (f.form == "int8") out = decode_int8(shape, f.parts);
  else if (f.form == codec::detail::plain_factor_logic::name)
    out = decode_bits<codec::detail::plain_factor_logic>(shape, f.parts);
  else if (!with_logic_of(factor_bit_logic{}, f.form, [&]<class Bits>() { out = decode_bits<Bits>(shape, f.parts); }))
    throw error{"", "a factor is stored as " + shown(f.form.substr(0, 80)) + ", which factors cannot be",
                "The file is damaged, or a newer pleat wrote it"};
  return out;
}
/// The sum of what lies apart and the factors' product, each element one chain.
template <int = 0>
[[nodiscard]] std::vector<float> decode_factors(extents const& shape, std::vector<codec::file_tensor> const& parts) {
  auto const s = codec::detail::split("codec::factors::from_file", shape, parts);
  index_t const rows = codec::rows_of(shape), columns = codec::columns_of(shape);
  auto const left = decode_factor({rows, s.rank}, s.left), right = decode_factor({s.rank, columns}, s.right);
  auto out = s.apart.empty() ? std::vector<float>(static_cast<std::size_t>(shape.size()), 0.0f)
                             : decode_bits<codec::detail::compressed_rows_logic<1>>({rows, columns}, s.apart);
  for (index_t r = 0; r < rows; ++r)
    for (index_t k = 0; k < columns; ++k)
      for (index_t q = 0; q < s.rank; ++q) {
        auto& to = out[static_cast<std::size_t>(r * columns + k)];
        to = std::fma(left[static_cast<std::size_t>(r * s.rank + q)], right[static_cast<std::size_t>(q * columns + k)],
                      to);
      }
  return out;
}

}  // namespace detail

/// True if decode knows the form: dense, masked, int8, and every form of codec/ in its usual sizes. A form of one's own
/// is not known here: a network that has it in its set loads it.
// a template: who does not ask does not compile every form
template <int = 0> [[nodiscard]] bool can_decode(std::string_view form) {
  return form == "dense" || form == "masked" || form == "int8" || form == "factors" ||
         detail::with_bit_logic(form, []<class>() {});
}

/// The numbers of a stored weight, row-major (64-bit ones rounded to float). What the file claims is checked first.
/// \throws error for a form that can_decode does not know, and parts that cannot be believed
template <int = 0>
[[nodiscard]] std::vector<float> decode(stored_weight const& w, std::string const& call = "io::decode") {
  if (w.form == "dense") return detail::decode_dense(call, w);
  if (!detail::believable(w.shape.size(), 1, w.bytes()))
    throw error{call,
                detail::shown(w.name) + " claims the shape " + w.shape.to_string() + " with " +
                    std::to_string(w.bytes()) + " bytes stored",
                "The file is damaged, or no file of pleat's"};
  try {
    std::vector<float> out;
    if (w.form == "masked") return codec::detail::read_masked<float>(w.shape, w.copy()).values;
    if (w.form == "int8") return detail::decode_int8(w.shape, w.copy());
    if (w.form == "factors") return detail::decode_factors(w.shape, w.copy());
    if (detail::with_bit_logic(w.form, [&]<class Bits>() { out = detail::decode_bits<Bits>(w.shape, w.copy()); }))
      return out;
  } catch (error const& e) {
    throw error{call, detail::shown(w.name) + ": " + e.problem(), e.remedy()};
  }
  throw error{call,
              detail::shown(w.name) + " is stored in " +
                  (w.form.empty() ? "the type " + w.type : "the form " + detail::shown(w.form.substr(0, 80))) +
                  ", which this tool cannot decode",
              w.form.empty() ? "Requantize it with llama.cpp to a type that pleat has, e.g. Q8_0"
                             : "Load it into a network whose form set has it"};
}

}  // namespace pleat::io
