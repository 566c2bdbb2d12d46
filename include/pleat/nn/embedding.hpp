// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Tokens to vectors: a row of a table per token, and one per position.
///
/// Tokens are the network's input, so they travel as its input does: a tensor of the network's own value type that
/// holds their numbers (tensor/token.hpp). A vocabulary that the type cannot tell apart is refused.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <pleat/compute/elementwise.hpp>
#include <pleat/compute/embedding.hpp>
#include <pleat/compute/embedding_part.hpp>
#include <pleat/compute/reduce.hpp>
#include <pleat/nn/description.hpp>
#include <pleat/nn/layer.hpp>
#include <pleat/nn/weight_products.hpp>
#include <pleat/tensor/token.hpp>

namespace pleat::nn {

/// Positions, and the first values.
struct embedding_options {
  index_t positions = 0;    ///< longest sequence with a learned vector per position; 0: none are added
  double deviation = 0.02;  ///< first values are drawn from N(0, deviation²)
};

/// y[m, t, :] = weight[x[m, t], :] (+ positions[t, :]): x[m, t] → y[m, t, width]. Input layer only: tokens have no
/// gradient. Parameters: "<name>.weight" [vocabulary, width]; with positions "<name>.positions" [positions, width].
template <class T = float, class Space = Kokkos::DefaultExecutionSpace> class embedding {
 public:
  using value_type = T;                             ///< of weights and activations
  using execution_space = Space;                    ///< where it runs
  using tensor_type = tensor<T, Space>;             ///< of its activations
  static constexpr char const* kind = "embedding";  ///< what descriptions call it
  static constexpr mixing mixes = mixing::weights;  ///< where the tensor axis may cut its input (placement_rules.hpp)

  /// The tokens; after backward_input the output's gradient too.
  struct saved {
    tensor_type x, dy;
  };

  embedding(std::string name, index_t vocabulary, index_t width, embedding_options options = {})
      : name_(std::move(name)),
        weight_(name_ + ".weight", extents{vocabulary, width}, initializer::normal(options.deviation)),
        positions_(name_ + ".positions", extents{options.positions, width}, initializer::normal(options.deviation)) {
    if (vocabulary < 1 || width < 1 || options.positions < 0)
      throw error{"nn::embedding '" + name_ + "'",
                  "expected a positive vocabulary and width, found vocabulary = " + std::to_string(vocabulary) +
                      ", width = " + std::to_string(width) + ", positions = " + std::to_string(options.positions),
                  "Give the number of tokens, the width of a token's row, and 0 or more positions"};
    if (vocabulary > most_tokens<T>())
      throw error{"nn::embedding '" + name_ + "'",
                  "tokens travel as the network's numbers, which tell " + std::to_string(most_tokens<T>()) +
                      " of them apart, found vocabulary = " + std::to_string(vocabulary),
                  "Use a smaller vocabulary, or a network of a wider type"};
  }

  [[nodiscard]] std::string const& name() const noexcept { return name_; }
  void prefix_name(std::string_view prefix) { name_.insert(0, prefix); }
  [[nodiscard]] index_t vocabulary() const noexcept { return weight_.whole()[0]; }
  [[nodiscard]] index_t width() const noexcept { return weight_.whole()[1]; }
  /// Longest sequence; 0: any.
  [[nodiscard]] index_t positions() const noexcept { return positions_.shape[0]; }
  [[nodiscard]] values<T, Space> const& weight() const noexcept { return weight_; }
  [[nodiscard]] values<T, Space> const& position_weight() const noexcept { return positions_; }

  [[nodiscard]] extents shape(extents const& in) const {
    if (in.rank() != 2)
      throw error{"nn::embedding '" + name_ + "'",
                  "expected tokens [m, positions], found an input of shape " + in.to_string(),
                  "Hand over sequences of token numbers, one sequence in each row"};
    if (positions() > 0 && in[1] > positions())
      throw error{"nn::embedding '" + name_ + "'",
                  "a sequence of " + std::to_string(in[1]) + " tokens is longer than the " +
                      std::to_string(positions()) + " positions of the table",
                  "Shorten the sequences, or give the layer more positions"};
    return {in[0], in[1], width()};
  }

  /// \throws error for a token that is not in the vocabulary, with its value, sample and position
  [[nodiscard]] step<saved, tensor_type> forward(pass<Space> const& p, tensor_type x) const {
    x = redistribute(p, std::move(x), {}, name_);
    extents out = shape(x.shape());
    check(p, x);
    index_t const columns = weight_.shape[1];
    out[2] = columns;
    auto y = tensor_type::allocate(*p.where, out);
    auto const by_position = positions() > 0 ? static_cast<T const*>(positions_.data()) : nullptr;
    bool const partial = p.tensor && weight_.where.shards(0);
    if (!partial) {
      compute::embed(p.space(), x.size(), x.extent(1), columns, static_cast<T const*>(x.data()),
                     static_cast<T const*>(weight_.data()), by_position, y.data());
    } else {  // rows of tokens that others have are zero here; positions enter the sum once
      index_range const mine = weight_.box()[0];
      compute::embed_part(p.space(), x.size(), x.extent(1), columns, mine.begin, mine.end,
                          static_cast<T const*>(x.data()), static_cast<T const*>(weight_.data()),
                          p.tensor->rank() == 0 ? by_position : nullptr, y.data());
    }
    if (p.tensor) {
      axis_layout const wish = left_layout(p, weight_, out, 2);
      if (partial) y = resolve(p, std::move(y), wish);
      else if (weight_.where.shards(1)) y = y.with_layout({{spread::shard, 2, weight_.where.unit}, width()});
      else y = redistribute(p, std::move(y), wish);
    }
    saved s;
    if (p.training) s.x = std::move(x);
    return {std::move(y), std::move(s)};
  }

  /// The tokens' gradient is zero.
  [[nodiscard]] tensor_type backward_input(pass<Space> const& p, saved& s, tensor_type dy) {
    tensor_type dx;
    if (p.input_gradient) {
      dx = tensor_type::allocate(*p.where, s.x.shape());
      compute::fill(p.space(), dx.size(), T(0), dx.data());
    }
    if (p.tensor && !weight_.where.shards(1)) dy = redistribute(p, std::move(dy), {});
    s.dy = std::move(dy);
    return dx;
  }

  void backward_weight(pass<Space> const& p, saved& s) {
    index_t const length = s.x.extent(1), columns = weight_.shape[1];
    T const* const dy = s.dy.data();
    bool const part = p.tensor && weight_.where.shards(0);
    auto tokens = s.x;
    auto d = s.dy;
    if (part) {  // tokens that others have count as the first row's, with a gradient of zero
      index_range const mine = weight_.box()[0];
      tokens = tensor_type::allocate(*p.where, s.x.shape());
      d = tensor_type::allocate(*p.where, s.dy.shape());
      compute::own_tokens(p.space(), s.x.size(), columns, mine.begin, mine.end, static_cast<T const*>(s.x.data()), dy,
                          tokens.data(), d.data());
    }
    auto q = p;
    q.addends = false;  // all positions are here: the gradients are complete
    if (weight_.shape[0] > 0)
      accumulate_gradient(q, weight_, length, [&](auto* out, compute::lanes const& l) {
        compute::embed_gradient(p.space(), weight_.shape[0], columns, static_cast<T const*>(tokens.data()),
                                static_cast<T const*>(d.data()), out, l);
      });
    else accumulate_gradient(q, weight_, length, [](auto*, compute::lanes const&) {});
    if (positions() > 0)
      accumulate_gradient(q, positions_, [&](auto* out, compute::lanes const& l) {
        index_t const used = length * columns;
        compute::column_sum(p.space(), used, dy, used, out, l);
        if (!(l.accumulate && l.count == 1))
          compute::fill(p.space(), positions_.size() - used, wide_t<T>(0), out + used);
      });
    s = {};
  }

  template <class F> void for_each_parameter(F&& f) {
    f(weight_);
    if (positions() > 0) f(positions_);
  }

  [[nodiscard]] layer_cost cost(extents const& in) const {
    layer_cost c{.name = name_, .kind = kind, .in = in, .out = shape(in)};
    double const n = static_cast<double>(c.out.size());
    c.forward_flops = positions() > 0 ? n : 0;
    c.backward_weight_flops = positions() > 0 ? 2 * n : n;
    return c;
  }
  /// Where its activations live along the tensor axis: tokens whole, results as forward leaves them.
  [[nodiscard]] layer_path path(extents const& in, axis_layout const&) const {
    if (weight_.where.shards(1)) {
      axis_layout const channels{{spread::shard, 2, weight_.where.unit}, width()};
      return {{}, channels, channels};
    }
    return {{}, product_leaves(weight_.leaves, shape(in), 2), {}};
  }

 private:
  void check(pass<Space> const& p, tensor_type const& x) const {
    if (x.size() == 0) return;
    auto found = tensor<index_t, Space>::allocate(*p.where, {1});
    compute::first_bad_token(p.space(), x.size(), static_cast<T const*>(x.data()), vocabulary(), found.data());
    index_t at = 0;
    copy_to_host(*p.where, found, &at);
    if (at == compute::no_bad_label) return;
    T token{};
    copy_to_host(*p.where, tensor_type::wrap(x.data() + at, {1}), &token);
    throw error{"nn::embedding '" + name_ + "'",
                "the token at position " + std::to_string(at % x.extent(1)) + " of sample " +
                    std::to_string(p.first_sample + at / x.extent(1)) + " of the batch is " + shown(token) +
                    ", but the vocabulary has " + std::to_string(vocabulary()) + " tokens (0 to " +
                    std::to_string(vocabulary() - 1) + ")",
                "Look at the data, and whether it was encoded with this vocabulary"};
  }

  [[nodiscard]] static std::string shown(T token) {
    if constexpr (is_reduced_v<T>) return std::to_string(token_index(token));
    else return std::to_string(token);
  }

  std::string name_;
  values<T, Space> weight_, positions_;
};

embedding(std::string, index_t, index_t) -> embedding<>;
embedding(std::string, index_t, index_t, embedding_options) -> embedding<>;

}  // namespace pleat::nn
