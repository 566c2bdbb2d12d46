// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// A teacher's scores on disk: the largest k of every sample, or of every position of a window of text, and what the
/// others weigh together, so that a large teacher runs once.
///
/// The file is a safetensors file:
///
///     scores    F32 [samples, k]   the k largest scores (logits), descending; ties by class
///     classes   I32 [samples, k]   whose they are
///     rest      F32 [samples]      log Σ exp of all other scores; only if k < classes
///
/// (of windows [samples, positions, k] and [samples, positions]), and `__metadata__`: pleat.targets = "1" (version; of
/// windows "2"), pleat.targets.classes, pleat.targets.data (16 hexadecimal digits:
/// XXH64 of the data set's pixels, then labels as I32; of what io::token_dataset::fingerprint says), pleat.targets.checksum (XXH64 of all tensors' bytes in the
/// order above), pleat.targets.dropped_mean and .dropped_max (probability at temperature 1 that the k largest do not
/// have). Read back, the other classes share their weight evenly, which is exact at temperature 1 in sum, and exact in
/// everything if k = classes.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/math.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/comm/attempt.hpp>
#include <pleat/comm/communicator.hpp>
#include <pleat/compress/teacher.hpp>
#include <pleat/io/checksum.hpp>
#include <pleat/io/dataset.hpp>
#include <pleat/io/safetensors.hpp>
#include <pleat/run/checkpoint_image.hpp>
#include <pleat/run/evaluate.hpp>
#include <pleat/tensor/index_set.hpp>

namespace pleat::compress {

/// The k largest scores of samples, and what is left. A sample has a row of scores for each of its positions; but for
/// windows of a text that is one.
struct top_scores {
  index_t samples = 0, k = 0, classes = 0, positions = 1;
  std::vector<float> scores;         ///< [samples, positions, k]
  std::vector<std::int32_t> labels;  ///< [samples, positions, k]
  std::vector<float> rest;           ///< [samples, positions], empty if k = classes
  double dropped_mean = 0, dropped_max = 0;

  [[nodiscard]] index_t rows() const noexcept { return samples * positions; }
  /// All scores of one sample into out[positions, classes].
  void expand(index_t sample, float* out) const {
    for (index_t row = sample * positions; row < (sample + 1) * positions; ++row, out += classes) {
      if (k < classes)
        std::fill(out, out + classes, rest[static_cast<std::size_t>(row)] - std::log(static_cast<float>(classes - k)));
      for (index_t j = row * k; j < (row + 1) * k; ++j)
        out[labels[static_cast<std::size_t>(j)]] = scores[static_cast<std::size_t>(j)];
    }
  }
};

namespace detail {

/// XXH64 of pixels or values, then labels, or of the fingerprint of windows: whose scores these are.
[[nodiscard]] inline std::string fingerprint(io::dataset const& d) {
  io::checksum c;
  c.add(std::as_bytes(std::span(d.pixels)));
  c.add(std::as_bytes(d.values.span()));
  auto const of_windows = d.windows ? d.windows->fingerprint() : std::string();
  c.add(std::as_bytes(std::span(of_windows)));
  c.add(std::as_bytes(std::span(d.labels)));
  return io::checksum::hex(c.value());
}
[[nodiscard]] inline std::string checksum_of(top_scores const& t) {
  io::checksum c;
  c.add(std::as_bytes(std::span(t.scores)));
  c.add(std::as_bytes(std::span(t.labels)));
  c.add(std::as_bytes(std::span(t.rest)));
  return io::checksum::hex(c.value());
}
/// " of sample 3", " of sample 3, position 7"
[[nodiscard]] inline std::string where_in(io::dataset const& d, index_t row) {
  return " of sample " + std::to_string(row / d.positions()) +
         (d.windows ? ", position " + std::to_string(row % d.positions()) : "");
}
/// What a file of targets has of each sample. \param last extent behind those of rows; 0: none
[[nodiscard]] inline extents shape_of_targets(io::dataset const& d, index_t samples, index_t last) {
  if (d.windows) return last > 0 ? extents{samples, d.positions(), last} : extents{samples, d.positions()};
  return last > 0 ? extents{samples, last} : extents{samples};
}
/// Appends the k largest of one row of scores. \throws error for a score that is not finite
inline void append_top(std::span<float const> scores, io::dataset const& d, index_t row, top_scores& t) {
  std::vector<std::int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  auto const at = [&](std::int32_t c) { return scores[static_cast<std::size_t>(c)]; };
  for (std::int32_t const c : order)
    if (!std::isfinite(at(c)))
      throw error{
          "compress::cache_targets",
          "the teacher's score of class " + std::to_string(c) + where_in(d, row) + " is " + std::to_string(at(c)),
          "Look at the teacher and at this sample: scores that are kept must be finite"};
  std::sort(order.begin(), order.end(),
            [&](std::int32_t a, std::int32_t b) { return at(a) != at(b) ? at(a) > at(b) : a < b; });
  auto const k = static_cast<std::size_t>(t.k);
  for (std::size_t j = 0; j < k; ++j) {
    t.scores.push_back(at(order[j]));
    t.labels.push_back(order[j]);
  }
  if (t.k == t.classes) return;
  // beside the largest that is left out, not the largest of all: beside that the sum may be 0, and its logarithm infinite
  double const most = static_cast<double>(at(order[k]));
  double rest = 0;
  for (std::size_t j = k; j < order.size(); ++j) rest += std::exp(static_cast<double>(at(order[j])) - most);
  t.rest.push_back(static_cast<float>(most + std::log(rest)));
}
/// What the k largest leave out, over all rows.
inline void measure_dropped(top_scores& t) {
  t.dropped_mean = t.dropped_max = 0;
  if (t.k == t.classes || t.samples == 0) return;
  for (index_t s = 0; s < t.rows(); ++s) {
    double const top = static_cast<double>(t.scores[static_cast<std::size_t>(s * t.k)]),
                 rest = std::exp(static_cast<double>(t.rest[static_cast<std::size_t>(s)]) - top);
    double kept = 0;
    for (index_t j = 0; j < t.k; ++j)
      kept += std::exp(static_cast<double>(t.scores[static_cast<std::size_t>(s * t.k + j)]) - top);
    double const share = rest / (kept + rest);
    t.dropped_mean += share / static_cast<double>(t.rows());
    t.dropped_max = std::max(t.dropped_max, share);
  }
}

}  // namespace detail

/// Writes the file of targets, whole or not at all. \see target_cache.hpp
inline void write_targets(std::string const& path, top_scores const& t, io::dataset const& data) {
  io::safetensors_writer w;
  w.add<float>("scores", detail::shape_of_targets(data, t.samples, t.k), t.scores);
  w.add<std::int32_t>("classes", detail::shape_of_targets(data, t.samples, t.k), t.labels);
  if (t.k < t.classes) w.add<float>("rest", detail::shape_of_targets(data, t.samples, 0), t.rest);
  w.metadata("pleat.targets", data.windows ? "2" : "1");
  w.metadata("pleat.targets.classes", std::to_string(t.classes));
  w.metadata("pleat.targets.data", detail::fingerprint(data));
  w.metadata("pleat.targets.checksum", detail::checksum_of(t));
  w.metadata("pleat.targets.dropped_mean", pleat::detail::number_text(t.dropped_mean));
  w.metadata("pleat.targets.dropped_max", pleat::detail::number_text(t.dropped_max));
  w.write(path);
}

/// Reads and checks a file of targets.
/// \throws error: no such file or no safetensors; not a file of targets, or of a newer version; tensors that are
/// missing or of other shapes;
///         a checksum that does not fit; classes out of range or twice, scores that ascend or are not finite; another data set's targets
[[nodiscard]] inline top_scores read_targets(std::string const& path, io::dataset const& data) {
  std::string const call = "compress::read_targets('" + path + "')";
  io::safetensors_file const file(path);
  auto const text = [&](char const* key) -> std::string {
    auto const it = file.metadata().find(key);
    if (it == file.metadata().end())
      throw error{call, "the metadata entry '" + std::string(key) + "' is missing: this is no file of targets",
                  "Write one with compress::cache_targets"};
    return it->second;
  };
  auto const version = text("pleat.targets");
  if (version != "1" && version != "2")
    throw error{call, "the file is of version " + version + " of the format, this pleat knows 1 and 2",
                "Read it with a newer pleat"};
  if ((version == "2") != (data.windows != nullptr))
    throw error{call,
                data.windows
                    ? "the file holds targets of samples with one label each, '" + data.name + "' is windows of a text"
                    : "the file holds targets of windows of a text, '" + data.name + "' is none",
                "Make the targets of this data set"};
  top_scores t;
  auto const number = text("pleat.targets.classes");
  auto const [end, failed] = std::from_chars(number.data(), number.data() + number.size(), t.classes);
  if (failed != std::errc{} || end != number.data() + number.size() || t.classes < 1 || t.classes > 1 << 30)
    throw error{call, "the metadata entry 'pleat.targets.classes' is '" + number + "', expected a count",
                remedy::copy_again};
  auto const& scores = file.at("scores");
  int const last_extent = data.windows ? 2 : 1;
  if (scores.shape.rank() != last_extent + 1 || scores.shape[last_extent] < 1 || scores.shape[last_extent] > t.classes)
    throw error{call,
                "the scores have shape " + scores.shape.to_string() + ", expected [samples, " +
                    (data.windows ? "positions, " : "") + "k] with k from 1 to " + std::to_string(t.classes),
                remedy::copy_again};
  t.samples = scores.shape[0];
  t.positions = data.windows ? scores.shape[1] : 1;
  t.k = scores.shape[last_extent];
  if (t.positions != data.positions())
    throw error{call,
                "the file holds targets of windows of " + std::to_string(t.positions) + " tokens, those of '" +
                    data.name + "' have " + std::to_string(data.positions()),
                "Make the targets of this data set"};
  t.scores.resize(static_cast<std::size_t>(t.rows() * t.k));
  t.labels.resize(t.scores.size());
  file.copy<float>("scores", t.scores);
  file.copy<std::int32_t>("classes", t.labels);
  if (t.k < t.classes) {
    t.rest.resize(static_cast<std::size_t>(t.rows()));
    file.copy<float>("rest", t.rest);
  }
  if (auto const sum = text("pleat.targets.checksum"); sum != detail::checksum_of(t))
    throw error{call,
                "the checksum of the scores is " + detail::checksum_of(t) + ", the file says " + sum +
                    ": it was altered or damaged",
                "Write it again with compress::cache_targets"};
  if (t.samples != data.size)
    throw error{call,
                "the file holds targets of " + std::to_string(t.samples) + " samples, '" + data.name + "' has " +
                    std::to_string(data.size),
                "Make the targets of this data set"};
  if (auto const mark = text("pleat.targets.data"); mark != detail::fingerprint(data))
    throw error{call,
                "the targets belong to another data set (" + mark + ") than '" + data.name + "' (" +
                    detail::fingerprint(data) + ")",
                "Write them again for this data set with compress::cache_targets"};
  std::vector<std::int32_t> of_row(static_cast<std::size_t>(t.k));  // not one for each class: their number is only said
  for (index_t s = 0; s < t.rows(); ++s) {
    auto const where = [&] { return detail::where_in(data, s); };
    for (index_t j = s * t.k; j < (s + 1) * t.k; ++j) {
      auto const c = t.labels[static_cast<std::size_t>(j)];
      if (c < 0 || c >= t.classes)
        throw error{call, "class " + std::to_string(c) + where() + ", expected 0 to " + std::to_string(t.classes - 1),
                    remedy::copy_again};
      of_row[static_cast<std::size_t>(j - s * t.k)] = c;
      if (!std::isfinite(t.scores[static_cast<std::size_t>(j)]))
        throw error{call, "a score" + where() + " is NaN or infinite", remedy::copy_again};
      if (j > s * t.k && t.scores[static_cast<std::size_t>(j)] > t.scores[static_cast<std::size_t>(j - 1)])
        throw error{call, "the scores" + where() + " do not descend", remedy::copy_again};
    }
    std::sort(of_row.begin(), of_row.end());
    if (auto const twice = std::adjacent_find(of_row.begin(), of_row.end()); twice != of_row.end())
      throw error{call, "class " + std::to_string(*twice) + where() + " is there twice", remedy::copy_again};
    if (t.k < t.classes && !std::isfinite(t.rest[static_cast<std::size_t>(s)]))
      throw error{call, "what is left" + where() + " is NaN or infinite", remedy::copy_again};
  }
  detail::measure_dropped(t);
  return t;
}

/// Asks a teacher for the scores of every sample, each on one rank, and writes the `top_k` largest of each (0: all) to
/// a file. Collective; the same bytes on any number of ranks. Returns what was written: say `dropped_mean` and
/// `dropped_max` where it matters. Of windows of a text every position of every window has its row, 8·k + 4 bytes:
/// windows that overlap (a stride below the context) have what they share once each.
/// \throws error on every rank alike: data or a top_k that differ between ranks, top_k below 0 or above the classes, batch
/// below 1, scores that are not finite, a file that cannot be written. Teachers are not compared: give every rank the
/// same.
inline top_scores cache_targets(teacher const& from, io::dataset const& data, comm::communicator& ranks,
                                std::string const& path, index_t top_k = 0, index_t batch = 256) {
  pleat::run::detail::demand_alike(ranks, "compress::cache_targets", data, "top_k " + std::to_string(top_k), [&] {
    from.demand_alone("compress::cache_targets");
    if (data.size == 0)
      throw error{"compress::cache_targets", "the data set '" + data.name + "' is empty",
                  "Give it the samples that the student will be trained on"};
    if (top_k < 0)
      throw error{"compress::cache_targets",
                  "top_k is " + std::to_string(top_k) + ", expected 1 to the number of classes, or 0 for all",
                  "Pass 10 as top_k, or 0 to keep all scores"};
    if (batch < 1)
      throw error{"compress::cache_targets", "batch is " + std::to_string(batch) + ", expected at least one sample",
                  "Pass 64 as batch"};
    data.demand_whole(false);
  });
  batch = std::min(batch, data.size);
  index_range const mine = block_range(data.size, ranks.size(), ranks.rank());
  top_scores t;
  t.positions = data.positions();
  std::vector<index_t> samples;
  answer said;
  comm::all_or_none(ranks, [&] {
    for (index_t at = mine.begin; at < mine.end; at += batch) {
      samples.resize(static_cast<std::size_t>(std::min(batch, mine.end - at)));
      std::iota(samples.begin(), samples.end(), at);
      from.ask({&data, samples, {}}, said);
      std::size_t const rows = samples.size() * static_cast<std::size_t>(t.positions);
      if (said.scores.empty() || said.scores.size() % rows != 0)
        throw error{"compress::cache_targets",
                    "the teacher gives " + std::to_string(said.scores.size()) + " scores for " +
                        std::to_string(samples.size()) + " samples of " + std::to_string(t.positions) + " positions",
                    "Let the teacher end in a layer that makes one score for each class at each position"};
      t.classes = static_cast<index_t>(said.scores.size() / rows);
      if (data.windows && t.classes != data.classes)
        throw error{"compress::cache_targets",
                    "the teacher gives " + std::to_string(t.classes) + " scores for each position, the text has " +
                        std::to_string(data.classes) + " tokens",
                    "Let the teacher end in a layer that makes one score for each token at each position"};
      t.k = top_k == 0 ? t.classes : top_k;
      if (t.k > t.classes)
        throw error{"compress::cache_targets",
                    "top_k is " + std::to_string(top_k) + ", the teacher has " + std::to_string(t.classes) + " classes",
                    "Keep no more scores than there are classes, or pass 0 as top_k for all"};
      for (std::size_t i = 0; i < rows; ++i)
        detail::append_top(std::span<float const>(said.scores)
                               .subspan(i * static_cast<std::size_t>(t.classes), static_cast<std::size_t>(t.classes)),
                           data, at * t.positions + static_cast<index_t>(i), t);
    }
  });
  t.samples = data.size;
  t.classes = ranks.broadcast_value(t.classes);  // rank 0 has samples if anybody has
  t.k = ranks.broadcast_value(t.k);
  if (ranks.size() > 1) {
    auto const gather = [&]<class V>(std::vector<V>& part, index_t per_sample) {
      std::vector<index_t> counts;
      for (int r = 0; r < ranks.size(); ++r)
        counts.push_back(block_range(data.size, ranks.size(), r).size() * per_sample);
      std::vector<V> all(static_cast<std::size_t>(data.size * per_sample));
      ranks.all_gather_v(part, all, {counts, {}});
      part = std::move(all);
    };
    gather(t.scores, t.positions * t.k);
    gather(t.labels, t.positions * t.k);
    if (t.k < t.classes) gather(t.rest, t.positions);
  }
  detail::measure_dropped(t);
  comm::on_root(ranks, [&] { write_targets(path, t, data); });
  return t;
}

/// A teacher that answers from a file of targets, for the samples of the data set that it was written for.
/// \throws error as read_targets
[[nodiscard]] inline teacher cached_teacher(std::string const& path, io::dataset const& data, double weight = 1) {
  auto const t = std::make_shared<top_scores const>(read_targets(path, data));
  teacher::source s;
  s.name = "'" + path + "'";
  s.ask = [t](question const& q, answer& a) {
    a.features.clear();
    auto const each = static_cast<std::size_t>(t->positions * t->classes);
    a.scores.resize(q.samples.size() * each);
    for (std::size_t i = 0; i < q.samples.size(); ++i) t->expand(q.samples[i], a.scores.data() + i * each);
  };
  return teacher(std::move(s), weight);
}

}  // namespace pleat::compress
