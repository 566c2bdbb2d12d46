// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The bit logic of entropy-coded shared values: survivors by relative index, both streams coded, with restart points.
/// Needs no Kokkos.
///
/// Rows are cut into chunks of whole rows. In a chunk the elements are counted through; the index stream says how many
/// dead elements precede the next survivor (its largest symbol skips that many and names none), the code stream says
/// which centroid the survivor has. With index_bits = 0 there is no index stream and every element has a code.
#pragma once

#include <pleat/codec/detail/codebook_bits.hpp>
#include <pleat/codec/detail/coded_view.hpp>

namespace pleat::codec::detail {

struct coded_logic {
  static constexpr std::string_view name = "coded";
  using options = codebook_options;
  static constexpr index_t chunk_symbols = 4096;  ///< about so many survivors between two restart points

  static std::vector<file_tensor> encode(extents const& shape, std::span<float const> values, options const& o) {
    demand_finite(name, shape, values);
    index_t const rows = rows_of(shape), k = columns_of(shape);
    codebook_layout l{static_cast<std::uint32_t>(o.entries),
                      rows_of_group(call_of(name, "encode"), o.rows_per_group, rows),
                      static_cast<std::uint32_t>(o.phase), 1, static_cast<std::uint32_t>(o.index_bits)};
    check_codebook_options(call_of(name, "encode"), o, group_count(shape, l), true);
    bool const indexed = o.index_bits != 0;
    auto const books = find_codebooks(shape, values, o, l, !indexed);
    std::vector<std::uint8_t> codes;
    std::vector<index_t> places;
    for (index_t i = 0; i < shape.size(); ++i) {
      float const v = values[static_cast<std::size_t>(i)];
      if (indexed && v == 0) continue;
      auto const book = std::span<float const>(books).subspan(
          static_cast<std::size_t>((i / k + o.phase) / static_cast<index_t>(l.rows_per_group)) * l.entries, l.entries);
      codes.push_back(static_cast<std::uint8_t>(nearest(book, v)));
      places.push_back(i);
    }
    return write(shape, books, l, codes, places, o.entropy, o.entropy && o.piece);
  }
  /// What `encode` needs to give a part of a weight the codebooks of the whole. Its codes are as short as its own
  /// numbers allow; joined, they are as short as those of the whole.
  static options options_of_part(extents const& shape, std::vector<float> values, options o,
                                 codebook_part const& part) {
    return codebook_options_of_part(name, true, shape, std::move(values), std::move(o), part);
  }

  /// Codes and where they belong (ascending) as the parts of a file.
  /// \param never_plain one stream is coded even where plain bits are fewer: a piece says so that its weight was coded,
  /// for `join`
  static std::vector<file_tensor> write(extents const& shape, std::vector<float> const& books, codebook_layout l,
                                        std::vector<std::uint8_t> const& codes, std::vector<index_t> const& places,
                                        bool entropy, bool never_plain = false) {
    index_t const rows = rows_of(shape), k = std::max<index_t>(1, columns_of(shape)),
                  filler = l.index_bits ? (index_t{1} << l.index_bits) - 1 : 0;
    index_t const alive = static_cast<index_t>(codes.size());
    l.rows_per_chunk = static_cast<std::uint32_t>(
        std::clamp<index_t>(alive > 0 ? chunk_symbols * rows / alive : rows, 1, std::max<index_t>(1, rows)));
    index_t const chunks = (rows + l.rows_per_chunk - 1) / l.rows_per_chunk,
                  chunk_elements = static_cast<index_t>(l.rows_per_chunk) * k;
    std::vector<std::uint8_t> gaps;
    std::vector<std::size_t> code_end, gap_end;
    std::size_t next = 0;
    for (index_t c = 0; c < chunks; ++c) {
      for (index_t at = c * chunk_elements; next < places.size() && places[next] < (c + 1) * chunk_elements; ++next) {
        if (l.index_bits) {
          for (; places[next] - at >= filler; at += filler) gaps.push_back(static_cast<std::uint8_t>(filler));
          gaps.push_back(static_cast<std::uint8_t>(places[next] - at));
        }
        at = places[next] + 1;
      }
      code_end.push_back(next);
      gap_end.push_back(gaps.size());
    }
    auto const model_of = [&](std::vector<std::uint8_t> const& symbols, std::size_t alphabet) {
      std::vector<std::uint64_t> counts(alphabet, 0);
      for (auto s : symbols) ++counts[s];
      return best_model(counts, chunks, entropy);
    };
    auto code_model = model_of(codes, l.entries);
    auto const gap_model = model_of(gaps, static_cast<std::size_t>(filler) + 1);
    if (never_plain && alive > 0 && code_model.how == coder::plain && gap_model.how == coder::plain) {
      std::vector<std::uint64_t> counts(l.entries, 0);
      for (auto s : codes) ++counts[s];
      code_model = {coder::huffman, code_model.size, huffman_lengths(counts)};
    }
    std::vector<std::uint8_t> tables, bytes;
    write_model(code_model, tables);
    write_model(gap_model, tables);
    std::vector<std::uint32_t> restart;
    for (std::size_t c = 0, code = 0, gap = 0; c < code_end.size(); code = code_end[c], gap = gap_end[c], ++c) {
      auto const before = bytes.size();
      encode_symbols(code_model, std::span<std::uint8_t const>(codes).subspan(code, code_end[c] - code), bytes);
      auto const between = bytes.size();
      if (l.index_bits)
        encode_symbols(gap_model, std::span<std::uint8_t const>(gaps).subspan(gap, gap_end[c] - gap), bytes);
      if (bytes.size() > 0xffffffffu)
        throw error{call_of(name, "encode"), "a weight of shape " + shape.to_string() + " takes more than 4 GiB",
                    "Cut the weight over a tensor axis, or store it in another form"};
      restart.insert(restart.end(),
                     {static_cast<std::uint32_t>(code_end[c] - code), static_cast<std::uint32_t>(between - before),
                      static_cast<std::uint32_t>(bytes.size() - between)});
    }
    return {part_of(".codebook", {group_count(shape, l), static_cast<index_t>(l.entries)}, books), layout_part(l),
            part_of(".tables", tables), part_of(".restart", {chunks, 3}, restart), part_of(".bytes", bytes)};
  }

  using view = coded_view;

  static void check(extents const& shape, std::span<file_tensor const> parts) {
    auto const call = call_of(name, "from_file");
    demand_only(call.c_str(), parts, {".codebook", ".layout", ".tables", ".restart", ".bytes"});
    auto const l = read_layout(call, shape, parts);
    index_t const chunks = (rows_of(shape) + l.rows_per_chunk - 1) / l.rows_per_chunk;
    auto const tables = values_of<std::uint8_t>(
        demand_part(call.c_str(), parts, ".tables", dtype::u8, {std::min<index_t>(list_length(parts, ".tables"), 2048)})
            .bytes);
    std::size_t at = 0;
    auto const code_model = read_model(call, tables, at), gap_model = read_model(call, tables, at);
    if (at != tables.size())
      throw error{call, std::to_string(tables.size() - at) + " bytes follow the tables", remedy::copy_again};
    if (code_model.size != static_cast<int>(l.entries) || gap_model.size != (l.index_bits ? 1 << l.index_bits : 1))
      throw error{call, "a table's alphabet is not the layout's", remedy::copy_again};
    auto const restart =
        values_of<std::uint32_t>(demand_part(call.c_str(), parts, ".restart", dtype::u32, {chunks, 3}).bytes);
    index_t const size = list_length(parts, ".bytes");
    if (size > 8 * shape.size() + 64 * (chunks + 1))
      throw error{
          call,
          std::to_string(size) + " bytes of codes are more than a weight of shape " + shape.to_string() + " can have",
          remedy::copy_again};
    (void)demand_part(call.c_str(), parts, ".bytes", dtype::u8, {size});
    std::uint64_t sum = 0;
    for (index_t c = 0; c < chunks; ++c) {
      auto const* const r = restart.data() + 3 * c;
      index_t const here =
          std::min<index_t>(l.rows_per_chunk, rows_of(shape) - c * static_cast<index_t>(l.rows_per_chunk)) *
          columns_of(shape);
      if (r[0] > here)
        throw error{call,
                    "chunk " + std::to_string(c) + " is said to have " + std::to_string(r[0]) + " survivors among " +
                        std::to_string(here) + " elements",
                    remedy::copy_again};
      sum += std::uint64_t{r[1]} + r[2];
      if ((code_model.how == coder::range && r[1] < 4) || (gap_model.how == coder::range && l.index_bits && r[2] < 4))
        throw error{call, "chunk " + std::to_string(c) + " is too short for its coder", remedy::copy_again};
    }
    if (sum != static_cast<std::uint64_t>(size))
      throw error{call, "the chunks hold " + std::to_string(sum) + " bytes, " + std::to_string(size) + " are stored",
                  remedy::copy_again};
    host_copy const h(shape, parts);
    auto lists = h.lists();
    for (index_t c = 0; c < chunks; ++c)
      if (!h.v.template read<true>(c, lists.where()))
        throw error{call,
                    "the codes of chunk " + std::to_string(c) + " lead out of its rows, its codebook or its bytes",
                    remedy::copy_again};
  }

  /// Look-up tables and where chunks begin.
  static std::vector<file_tensor> derive(extents const& shape, std::span<file_tensor const> parts) {
    auto const tables = values_of<std::uint8_t>(find_part(parts, ".tables")->bytes);
    auto const restart = values_of<std::uint32_t>(find_part(parts, ".restart")->bytes);
    static_cast<void>(shape);
    std::size_t at = 0;
    auto const code = read_model(std::string(name), tables, at), gap = read_model(std::string(name), tables, at);
    std::vector<std::uint64_t> begin{0};
    for (std::size_t c = 0; c < restart.size(); c += 3) begin.push_back(begin.back() + restart[c + 1] + restart[c + 2]);
    return {part_of(".begin", begin), part_of(".code_table", decode_table(code)),
            part_of(".gap_table", decode_table(gap))};
  }
  template <class Parts> static view open(extents const& shape, Parts const& p, std::span<file_tensor const> parts) {
    auto const l = read_layout(call_of(name, "open"), shape, parts);
    auto const tables = values_of<std::uint8_t>(find_part(parts, ".tables")->bytes);
    std::size_t at = 0;
    auto const code = read_model(std::string(name), tables, at), gap = read_model(std::string(name), tables, at);
    view v;
    v.restart = p.template find<std::uint32_t>(".restart");
    v.begin = p.template find<std::uint64_t>(".begin");
    v.bytes = p.template find<byte_t>(".bytes");
    v.code_table = p.template find<std::uint32_t>(".code_table");
    v.gap_table = p.template find<std::uint32_t>(".gap_table");
    v.books = p.template find<float>(".codebook");
    v.code_how = code.how, v.gap_how = gap.how;
    v.code_bits = plain_bits(code.size), v.gap_bits = plain_bits(gap.size);
    v.rows = rows_of(shape), v.columns = columns_of(shape), v.chunk_rows = l.rows_per_chunk;
    v.chunks = (v.rows + v.chunk_rows - 1) / v.chunk_rows;
    v.entries = l.entries, v.rows_per_group = l.rows_per_group, v.phase = l.phase;
    v.filler = l.index_bits ? (index_t{1} << l.index_bits) - 1 : 0;
    auto const restart = values_of<std::uint32_t>(find_part(parts, ".restart")->bytes);
    for (std::size_t c = 0; c < restart.size(); c += 3) {
      v.alive += restart[c];
      v.most_alive = std::max<index_t>(v.most_alive, restart[c]);
    }
    return v;
  }
  static cut_unit granularity(extents const&) { return {1, 1}; }
  /// The same centroids and codes, in chunks of their own.
  static std::vector<file_tensor> slice(extents const& shape, std::span<file_tensor const> parts, index_t first,
                                        index_t last) {
    auto l = read_layout(call_of(name, "slice"), shape, parts);
    auto const books = values_of<float>(find_part(parts, ".codebook")->bytes);
    auto const codes = codes_of(shape, parts);
    index_t const group = (first + l.phase) / l.rows_per_group,
                  end = last > first ? (last - 1 + l.phase) / l.rows_per_group + 1 : group, k = columns_of(shape);
    l.phase = static_cast<std::uint32_t>((first + l.phase) % l.rows_per_group);
    return write_codes(shape.with_batch(last - first),
                       {books.begin() + group * l.entries, books.begin() + end * l.entries}, l,
                       {codes.begin() + first * k, codes.begin() + last * k}, is_coded(parts), is_coded(parts));
  }
  static std::vector<file_tensor> slice_columns(extents const& shape, extents const& part,
                                                std::span<file_tensor const> parts, index_t first, index_t last) {
    return write_codes(
        part, values_of<float>(find_part(parts, ".codebook")->bytes), read_layout(call_of(name, "slice"), shape, parts),
        cut_matrix(codes_of(shape, parts), rows_of(shape), first, last), is_coded(parts), is_coded(parts));
  }
  static std::vector<file_tensor> join(extents const& shape, int dim, std::span<weight_piece const> pieces) {
    auto const whole = join_codebooks(name, shape, dim, pieces);
    std::vector<std::vector<std::int16_t>> codes;
    bool coded = false;
    for (auto const& p : pieces) {
      codes.push_back(codes_of(p.shape, p.parts));
      coded = coded || is_coded(p.parts);
    }
    return write_codes(shape, whole.books, whole.layout, join_matrix(rows_of(shape), dim, codes), coded);
  }
  /// A piece of a larger weight, its codes coded anew with relative indices of so many bits (of none where it has
  /// none): what it decodes to stays.
  static std::vector<file_tensor> recode_piece(extents const& shape, std::span<file_tensor const> parts,
                                               int index_bits) {
    auto l = read_layout(call_of(name, "recode"), shape, parts);
    if (l.index_bits != 0) l.index_bits = static_cast<std::uint32_t>(index_bits);
    return write_codes(shape, values_of<float>(find_part(parts, ".codebook")->bytes), l, codes_of(shape, parts), true,
                       true);
  }
  static error_norms predict(extents const& shape, std::span<float const> values, std::span<file_tensor const> parts) {
    auto const l = read_layout(call_of(name, "predict"), shape, parts);
    return predict_codebook(shape, values, values_of<float>(find_part(parts, ".codebook")->bytes), l,
                            l.index_bits == 0);
  }

 private:
  /// The code of every element, −1 where none survives; and back.
  static std::vector<std::int16_t> codes_of(extents const& shape, std::span<file_tensor const> parts) {
    host_copy h(shape, parts);
    std::vector<float> numbers(static_cast<std::size_t>(find_part(parts, ".codebook")->shape.size()));
    for (std::size_t i = 0; i < numbers.size(); ++i)
      numbers[i] = static_cast<float>(i % static_cast<std::size_t>(h.v.entries));
    h.v.books = numbers.data();  // a codebook whose values are the codes
    std::vector<std::int16_t> out(static_cast<std::size_t>(shape.size()), -1);
    auto lists = h.lists();
    for (index_t c = 0; c < h.v.chunks; ++c) {
      h.v.template read<false>(c, lists.where());
      for (index_t r = 0; r < h.v.rows_in(c); ++r)
        for (auto i = lists.start[static_cast<std::size_t>(r)]; i < lists.start[static_cast<std::size_t>(r) + 1]; ++i)
          out[static_cast<std::size_t>((c * h.v.chunk_rows + r) * h.v.columns + lists.column[i])] =
              static_cast<std::int16_t>(lists.value[i]);
    }
    return out;
  }
  static std::vector<file_tensor> write_codes(extents const& shape, std::vector<float> const& books,
                                              codebook_layout const& l, std::vector<std::int16_t> const& all,
                                              bool entropy, bool never_plain = false) {
    std::vector<std::uint8_t> codes;
    std::vector<index_t> places;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (all[i] >= 0) {
        codes.push_back(static_cast<std::uint8_t>(all[i]));
        places.push_back(static_cast<index_t>(i));
      }
    return write(shape, books, l, codes, places, entropy, never_plain);
  }
  /// False for plain bits.
  static bool is_coded(std::span<file_tensor const> parts) {
    auto const tables = values_of<std::uint8_t>(find_part(parts, ".tables")->bytes);
    std::size_t at = 0;
    auto const code = read_model(std::string(name), tables, at), gap = read_model(std::string(name), tables, at);
    return code.how != coder::plain || gap.how != coder::plain;
  }
  /// Room for one chunk.
  struct list_room {
    std::vector<std::uint32_t> start, column;
    std::vector<float> value;
    [[nodiscard]] chunk_lists where() { return {start.data(), column.data(), value.data()}; }
  };
  /// A view of parts on the host, with room behind the bytes that readers look at.
  struct host_copy {
    std::vector<file_tensor> parts, derived;
    view v;
    host_copy(extents const& shape, std::span<file_tensor const> from)
        : parts(from.begin(), from.end()), derived(derive(shape, from)) {
      for (auto& p : parts) p.bytes.resize(p.bytes.size() + 16);
      v = open(shape, *this, from);
    }
    template <class V> [[nodiscard]] V const* find(std::string_view suffix) const {
      auto const* p = find_part(parts, suffix);
      if (!p) p = find_part(derived, suffix);
      return reinterpret_cast<V const*>(p->bytes.data());
    }
    [[nodiscard]] list_room lists() const {
      // check has seen that a chunk has no more elements, and the weight no fewer rows
      auto const n = static_cast<std::size_t>(v.most_alive);
      return {std::vector<std::uint32_t>(static_cast<std::size_t>(v.chunk_rows) + 1), std::vector<std::uint32_t>(n + 1),
              std::vector<float>(n + 1)};
    }
  };
};

}  // namespace pleat::codec::detail
