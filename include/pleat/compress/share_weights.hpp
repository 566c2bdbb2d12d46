// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Shared values: every weight becomes one of a few, the few are trained on, and what says which is which is
/// entropy-coded.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/codec/codebook.hpp>
#include <pleat/codec/masked.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/compress/detail/clusters.hpp>
#include <pleat/compress/detail/convertible.hpp>
#include <pleat/compress/fine_tune.hpp>
#include <pleat/compress/transform.hpp>
#include <pleat/io/detail/json.hpp>
#include <pleat/run/model_image.hpp>

namespace pleat::compress {

/// Another width for the weights whose name fits.
struct width_for {
  std::string pattern;  ///< * and ? as in a shell: "conv*"
  int num_bits = 8;
  /// As settings say it.
  friend std::string words_of(width_for const& w) {
    return io::detail::json_string(w.pattern) + " in " + std::to_string(w.num_bits);
  }
};

/// Gives every weight 2^num_bits values to share: k-means over its survivors, each of which takes the nearest centroid.
/// Zeros of a pruned weight stay zeros and are not stored; a weight without zeros needs no index. Then, with `.tune`,
/// the centroids are trained: the gradient of a centroid is the sum of the gradients of its members (S. Han et al.,
/// Deep Compression, 2016, section 3.3), and biases and whatever is not selected learn along. At last the weight takes
/// the form codec::coded with plain bits; `entropy_code` makes it smaller.
///
///     model | (prune{.sparsity = 0.95} | fine_tune(train) | share_weights{.num_bits = 4, .tune = fine_tune(train)} | entropy_code{})
///
/// Replicas compute the same, without a message but those of training; where training is deterministic, so are the
/// bytes. Over a pipeline every stage shares its own. A weight that is cut over the tensor axis is shared where it is,
/// nobody gathers: k-means sums counts and exact sums over the parts (k of each a step), so centroids and codes are the
/// bits that the whole weight would get. So it is where ranks have pieces of the optimizer's state or of the parameters
/// (state stages 1 to 3): a cluster's gradient is the exact sum over whoever has members. Sharded parameters come
/// together one weight at a time, for k-means and when they are coded.
struct share_weights {
  using fusable_transform = void;
  template <class T> using form = codec::coded<T>;
  static constexpr bool encodes = true;  ///< weights leave it in forms that are stored, not trained
  static constexpr bool shares_values = true;
  static constexpr bool takes_parts = true;             ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;            // layer by layer
  static constexpr char const* what = "share_weights";  ///< its name in reports and errors

  int num_bits = 4;                                             ///< of a code, 1 to 8
  codec::centroid_start start = codec::centroid_start::linear;  ///< k-means starts here
  std::uint64_t seed = 0;                                       ///< for centroid_start::random
  index_t rows_per_group = 0;                 ///< rows that share centroids; 0: one set of centroids per weight
  int index_bits = 5;                         ///< of a relative index, 2 to 8 (survivors of pruned weights)
  std::optional<compress::fine_tune> tune{};  ///< trains centroids, biases and all that shares nothing
  std::vector<width_for> widths{};            ///< exceptions to num_bits; the last one that fits counts
  std::vector<std::string> ignore{};          ///< names that stay as they are; * and ? as in a shell
  listener on_note{};                         ///< hears what stays as it was, and why

  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const {
    say("num_bits", num_bits), say("start", start, {"linear", "density", "random"}), say("seed", seed);
    say("rows_per_group", rows_per_group), say("index_bits", index_bits), say("tune", tune);
    say("widths", widths), say("ignore", ignore);
  }
  /// "share 4 bits"
  [[nodiscard]] std::string name() const { return "share " + std::to_string(num_bits) + " bits"; }

  [[nodiscard]] error_kind leaves_errors() const noexcept { return tune ? error_kind::trained : error_kind::bounded; }

  /// Collective. \throws error for a width outside 1 to 8, a weight with NaN or infinity (by name), or no weight that
  /// is selected
  template <class Net> void run(parallel::model<Net>& m) const {
    using T = typename parallel::model<Net>::value_type;
    using Space = typename parallel::model<Net>::execution_space;
    auto const numbers_of = [&](auto& w) {
      auto const here = m.open(w);
      std::vector<float> values(static_cast<std::size_t>(w.size()));
      copy_to_host(m.context(), tensor<T, Space>::wrap(w.data(), w.shape), values.data());
      return values;
    };
    auto const settings_for = [&](auto& w) {
      return codec::codebook_options{.entries = 1 << width_of(w.name),
                                     .start = start,
                                     .rows_per_group = rows_per_group,
                                     .seed = seed,
                                     .index_bits = index_bits};
    };
    std::vector<std::string> patterns;
    for (auto const& x : widths) patterns.push_back(x.pattern);
    detail::demand_names(m, "compress::share_weights", ".widths", patterns);
    bool any = false;
    comm::all_or_none(m.all_ranks(), [&] {
      for_each_selected(m, true, [&](auto& w) {
        any = true;
        if (w.absent) return;
        auto const settings = settings_for(w);
        try {
          detail::demand_settings(settings);
          detail::demand_finite<float>(w.whole(), w.box(), numbers_of(w));
        } catch (error const& e) {
          throw error{"compress::share_weights", "'" + w.name + "': " + e.problem(), e.remedy()};
        }
      });
      if (!any)
        throw error{"compress::share_weights", "no weight is left whose values could be shared",
                    "Ignore less; what is encoded already, or lies in a layer without with_forms, does not count"};
    });
    using form = codec::coded<T>;
    std::vector<detail::cluster_map> maps;  // of weights that are trained before they are coded
    for_each_selected(m, false, [&](auto& w) {
      if (w.absent) return;
      auto values = numbers_of(w);  // of one weight at a time
      bool const cut = w.parts > 1 && w.where.shards();
      auto map = detail::make_clusters(
          w.shape, values, settings_for(w),
          {codec::rows_of(w.whole()), cut && w.where.shards(0) ? w.box()[0].begin : 0, sum_over(m, w)});
      if (!tune) {
        detail::take_centroids(map, values, sum_over(m, w));
        auto const shared = tensor<T, Space>::allocate(m.context(), w.shape);
        copy_from_host(m.context(), values.data(), shared);
        form::encode_with(m.context(), w.shape, static_cast<T const*>(shared.data()), detail::options_of(map, false),
                          w.storage_of(codec::form_tag<form>{}));
        return;
      }
      detail::keep_run(map, m.summed(w).range);
      maps.push_back(std::move(map));
      m.set_host_values_of(w, values);
      auto const here = m.open(w);
      // where it was gathered before, too
      copy_from_host(m.context(), values.data(), tensor<T, Space>::wrap(w.data(), w.shape));
      w.visit([&](auto tag, auto& s) {  // a survivor that is 0 is none any more
        if constexpr (std::is_same_v<typename decltype(tag)::type, codec::masked<T>>)
          codec::masked<T>::encode(m.context(), w.shape, w.data(), s);
      });
    });
    if (tune) {
      m.refresh_masks();
      if (m.shards()) m.values_changed();
      train(m, maps);
    }
    std::size_t next = 0;
    for_each_selected(m, false, [&](auto& w) {
      if (tune && !w.absent) {
        auto& map = maps[next++];
        auto const trained = m.summed(w);
        std::vector<float> values(static_cast<std::size_t>(trained.range.size()));
        copy_to_host(m.context(), tensor<T, Space>::wrap(trained.values, {trained.range.size()}), values.data());
        detail::take_centroids(map, values, sum_over_members(m, w));
        auto const here = m.open(w);
        form::encode_with(m.context(), w.shape, static_cast<T const*>(w.data()), detail::options_of(map, false),
                          w.storage_of(codec::form_tag<form>{}));
      }
      w.template use_form<form>();
      w.follow_form(false);
    });
    m = m.rebuild(m.net());  // an arena without the coded weights
  }

 private:
  [[nodiscard]] int width_of(std::string const& name) const {
    int bits = num_bits;
    for (auto const& x : widths)
      if (nn::matches(x.pattern, name)) bits = x.num_bits;
    if (bits < 1 || bits > 8)
      throw error{"compress::share_weights", "a code of " + std::to_string(bits) + " bits, expected 1 to 8",
                  "Say .num_bits = 4 for 16 shared values; .widths has exceptions by name"};
    return bits;
  }

  /// f(weight&) for every weight whose values are shared; with `aloud`, says which are not and why.
  template <class Net, class F> void for_each_selected(parallel::model<Net>& m, bool aloud, F&& f) const {
    auto const shared = detail::shared_names(m.net());
    detail::for_each_convertible<codec::forms<codec::coded<typename parallel::model<Net>::value_type>>>(
        m, "compress::share_weights", ignore, aloud ? &on_note : nullptr, [&](auto& w) -> std::string {
          auto why = detail::why_not_encoded(w, shared);
          if (why.empty()) f(w);
          return why;
        });
  }

  /// Adds up over the ranks that have the other parts of a weight; nothing for a whole one.
  template <class Net>
  [[nodiscard]] static std::function<void(std::span<std::int64_t>)> sum_over(parallel::model<Net> const& m,
                                                                             nn::parameter const& w) {
    if (w.parts == 1 || !w.where.shards()) return {};
    return [&ranks = m.parts()](std::span<std::int64_t> counts) { ranks.all_reduce(counts); };
  }

  /// The same over the ranks that have other members of its clusters while they are trained: those who divide the
  /// optimizer's state, too.
  template <class Net>
  [[nodiscard]] static std::function<void(std::span<std::int64_t>)> sum_over_members(parallel::model<Net> const& m,
                                                                                     nn::parameter const& w) {
    auto* const shards = m.state_shards();
    auto over_parts = sum_over(m, w);
    if (!shards || shards->size() == 1) return over_parts;
    return [shards, over_parts = std::move(over_parts)](std::span<std::int64_t> counts) {
      shards->all_reduce(counts);
      if (over_parts) over_parts(counts);
    };
  }

  /// \param gradient of `size` elements, of which the map knows the members \param sum adds up over those that have the
  /// other members; empty for all
  template <class Space>
  static void share(context<Space>& c, detail::cluster_map& map, float* gradient, index_t size,
                    std::function<void(std::span<std::int64_t>)> const& sum) {
    auto const g = tensor<float, Space>::wrap(gradient, {size});
    std::vector<float> host;
    float* numbers = gradient;
    if constexpr (compute::is_host_space_v<Space>) {
      c.fence();
    } else {
      host.resize(static_cast<std::size_t>(size));
      numbers = host.data();
      copy_to_host(c, g, numbers);
    }
    detail::sum_gradients(map, numbers);
    if (sum) detail::add_up(map, sum);
    detail::give_gradients(map, numbers);
    if constexpr (!compute::is_host_space_v<Space>) copy_from_host(c, numbers, g);
  }

  /// Members of a cluster begin with one value, get one gradient and have one history: they stay equal, whatever the
  /// optimizer.
  template <class Net> void train(parallel::model<Net>& m, std::vector<detail::cluster_map>& maps) const {
    auto options = tune->options();
    auto const theirs = options.before_step;
    options.before_step = [&] {
      (void)m.arena();  // gradients have come
      std::size_t next = 0;
      for_each_selected(m, false, [&](auto& w) {
        if (w.absent) return;
        auto const here = m.summed(w);
        share(m.context(), maps[next++], here.gradient, here.range.size(), sum_over_members(m, w));
      });
      if (theirs) theirs();
    };
    (void)pleat::run::fit(m, tune->data(), options);
  }
};

/// Codes of shared values and relative indices are written in canonical Huffman codes or by a range coder, whichever is
/// smallest; the numbers do not change. The width of the relative index is the one that makes the weight smallest,
/// unless it is given.
///
/// Of a weight that is cut over the tensor axis each part is coded where it is. Which width is best is a matter of the
/// whole: its codes (not its numbers) come together on one rank, one weight at a time, as they do when a file is
/// written, and that rank decodes it once. With .index_bits nothing comes together.
struct entropy_code {
  using fusable_transform = void;
  static constexpr bool encodes = true;       ///< weights leave it in forms that are stored, not trained
  static constexpr bool takes_parts = true;   ///< runs where weights are cut over the tensor axis
  static constexpr bool takes_shards = true;  ///< runs where parameters are in pieces (state_stage = 3)
  template <class T> using needs_form = codec::coded<T>;
  static constexpr char const* what = "entropy_code";  ///< its name in reports and errors

  std::optional<int> index_bits{};    ///< of a relative index, 2 to 8; empty: the best
  std::vector<std::string> ignore{};  ///< names that stay as they are
  /// What ranks compare of it (settings_words).
  void settings(settings_words& say) const { say("index_bits", index_bits), say("ignore", ignore); }
  [[nodiscard]] std::string name() const { return "entropy code"; }
  [[nodiscard]] error_kind leaves_errors() const noexcept { return error_kind::bounded; }

  /// Collective. \throws error if no weight has shared values, or for a width that is none
  template <class Net> void run(parallel::model<Net>& m) const {
    using T = typename parallel::model<Net>::value_type;
    using form = codec::coded<T>;
    detail::demand_names(m, "compress::entropy_code", ".ignore", ignore);
    int done = 0;
    // the stages of a pipeline have different weights; what one finds in its own, all hear
    comm::all_or_none(m.all_ranks(), [&] {
      m.net().for_each_parameter([&](auto& w) {
        using W = std::remove_cvref_t<decltype(w)>;
        if constexpr (requires { typename W::forms; })
          if constexpr (W::forms::template contains<form>)
            if (w.form_name() == form::name && !detail::matches_any(ignore, w.name)) {
              ++done;
              if (!w.absent) recode(m, w);
            }
      });
    });
    if (done == 0)
      throw error{"compress::entropy_code", "no weight has shared values",
                  "Share them first: model | (share_weights{…} | entropy_code{})"};
  }

 private:
  template <class Model, class W> void recode(Model& m, W& w) const {
    using form = codec::coded<typename W::value_type>;
    auto& storage = w.storage_of(codec::form_tag<form>{});
    if (w.parts == 1 || !w.where.shards())
      return form::set(m.context(), w.shape, best_of(m, w.shape, form::to_file(m.context(), w.shape, storage)),
                       storage);
    auto const piece = [&](std::span<codec::file_tensor const> parts, int bits) {
      form::set(m.context(), w.shape, form::bits::recode_piece(w.shape, parts, bits), storage);
    };
    if (index_bits) {  // nothing to find out
      auto const parts = form::to_file(m.context(), w.shape, storage);
      detail::demand_index_bits(*index_bits,
                                codec::detail::read_layout("compress::entropy_code", w.shape, parts).index_bits != 0);
      return piece(parts, *index_bits);
    }
    pleat::run::detail::collected_weight c;
    comm::all_or_none(m.parts(), [&] { c = pleat::run::detail::part_of(w, m.context()); });
    auto const mine = c.tensors;
    // it throws when all parts have come
    comm::all_or_none(m.parts(), [&] { pleat::run::detail::join_encoded(m.parts(), w, c); });
    std::int64_t bits = 0;
    comm::on_root(m.parts(), [&] {
      bits =
          codec::detail::read_layout("compress::entropy_code", w.whole(), best_of(m, w.whole(), std::move(c.tensors)))
              .index_bits;
    });
    bits = m.parts().broadcast_value(bits);
    piece(mine, static_cast<int>(bits));
  }
  /// The parts of a whole weight's file, coded anew.
  template <class Model>
  [[nodiscard]] std::vector<codec::file_tensor> best_of(Model& m, extents const& shape,
                                                        std::vector<codec::file_tensor> const& parts) const {
    using T = typename Model::value_type;
    using Space = typename Model::execution_space;
    using form = codec::coded<T>;
    typename form::template storage<Space> whole;
    form::set(m.context(), shape, parts, whole);
    auto const values = tensor<T, Space>::allocate(m.context(), shape);
    form::decode(m.context(), shape, whole, values.data());
    std::vector<float> host(static_cast<std::size_t>(shape.size()));
    copy_to_host(m.context(), values, host.data());
    return detail::recoded(shape, parts, host, index_bits);
  }
};

}  // namespace pleat::compress
