// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// Samples with classes or with numbers to be met: bytes or floats as they lie in the file, turned into normalised floats
/// batch by batch. Needs no Kokkos.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <pleat/base/config.hpp>
#include <pleat/base/error.hpp>
#include <pleat/base/isa.hpp>
#include <pleat/base/number_text.hpp>
#include <pleat/io/checksum.hpp>
#include <pleat/io/idx.hpp>
#include <pleat/io/shared_array.hpp>
#include <pleat/io/text.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::io {

namespace detail {

/// (byte − mean) · scale has no fused multiply-add to be contracted to: the same bits under every compiler flag and
/// instruction set. Blocks of a known length are vectorised at -O2 too.
PLEAT_INLINE void normalise_blocks(std::uint8_t const* __restrict in, float* __restrict out, index_t n, float mean,
                                   float scale) noexcept {
  constexpr index_t block = 64;
  index_t i = 0;
  for (; i + block <= n; i += block)
    for (index_t k = 0; k < block; ++k) out[i + k] = (static_cast<float>(in[i + k]) - mean) * scale;
  for (; i < n; ++i) out[i] = (static_cast<float>(in[i]) - mean) * scale;
}
#if defined(PLEAT_TARGET_AVX2)
PLEAT_TARGET_AVX2 inline void normalise_avx2(std::uint8_t const* in, float* out, index_t n, float mean,
                                             float scale) noexcept {
  normalise_blocks(in, out, n, mean, scale);
}
#endif
/// normalise_blocks with the best instructions of this machine.
PLEAT_LAZY inline void normalise(std::uint8_t const* in, float* out, index_t n, float mean, float scale) noexcept {
#if defined(PLEAT_TARGET_AVX2)
  if (isa::best() >= isa::level::avx2) return normalise_avx2(in, out, n, mean, scale);
#endif
  normalise_blocks(in, out, n, mean, scale);
}

}  // namespace detail

/// Samples of one shape, bytes or floats, with a class each, or with numbers each (regression); or windows of a text,
/// with the token that follows each of their positions (windows_of). MNIST's training set takes 47 MB here and would
/// take 188 MB as floats.
struct dataset {
  std::string name;                  ///< for messages: "mnist train"
  extents sample;                    ///< of one sample: [channels, height, width]
  index_t size = 0;                  ///< number of samples
  int classes = 0;                   ///< labels are 0 … classes−1; 0 where targets are numbers
  float mean = 0, scale = 1;         ///< value = (what is stored − mean) · scale, both in units of what is stored
  std::vector<std::uint8_t> pixels;  ///< size × sample, row-major, or empty where there are values
  std::vector<std::int32_t> labels;  ///< size, or empty where there are targets
  shared_array<float> values{};      ///< size × sample, row-major, instead of pixels
  extents target{};                  ///< of one sample's numbers: [outputs]
  shared_array<float> targets{};     ///< size × target, row-major, instead of labels
  std::shared_ptr<token_dataset const> windows{};  ///< instead of all that is stored above

  /// Elements of one sample.
  [[nodiscard]] index_t sample_size() const noexcept { return sample.size(); }
  /// True if samples have numbers, not classes.
  [[nodiscard]] bool regression() const noexcept { return target.rank() > 0; }
  /// Labels of one sample: one, or one for each position of a window.
  [[nodiscard]] index_t positions() const noexcept { return windows ? windows->context : 1; }

  /// \throws error if the members do not fit one another: not as many samples, labels or targets as `size` says, or two
  /// stores of the same. \param judged whether labels or targets must be there
  PLEAT_ONCE void demand_whole(bool judged = true) const;
  /// \throws error where `call` needs a class for each sample, and these have numbers
  PLEAT_ONCE void demand_classes(char const* call) const {
    if (regression())
      throw error{call, "the samples of '" + name + "' have numbers to be met, and this needs a class for each",
                  "Use data with labels here"};
  }

  /// Row r of the batch becomes sample indices[r]: `x` receives indices.size() × sample_size() normalised values (of
  /// windows, token numbers), `y` (if not null) the labels, positions() for each. Host memory. Rows are independent: threads may each take a part of the indices. \throws
  /// error if an index is outside [0, size)
  PLEAT_ONCE void gather(std::span<index_t const> indices, float* x, std::int32_t* y) const;
  /// Row r becomes the target of sample indices[r]: `t` receives indices.size() × target.size() numbers as they are.
  /// Host memory. \throws error if an index is outside [0, size)
  PLEAT_ONCE void gather_targets(std::span<index_t const> indices, float* t) const;

  /// The samples with these numbers, in this order, in memory of their own. \throws error if one is outside [0, size)
  PLEAT_ONCE [[nodiscard]] dataset pick(std::span<index_t const> indices) const {
    demand_whole();
    if (windows) {
      dataset some = *this;
      some.size = static_cast<index_t>(indices.size());
      some.windows = std::make_shared<token_dataset const>(windows->pick(indices));
      return some;
    }
    dataset d{.name = name,
              .sample = sample,
              .size = static_cast<index_t>(indices.size()),
              .classes = classes,
              .mean = mean,
              .scale = scale,
              .pixels = {},
              .labels = {},
              .values = {},
              .target = target};
    index_t const n = sample_size(), m = target.size();
    std::vector<float> numbers, goals;
    for (index_t const asked : indices) {
      index_t const i = demand_index(asked);
      if (values.empty()) d.pixels.insert(d.pixels.end(), pixels.begin() + i * n, pixels.begin() + (i + 1) * n);
      else numbers.insert(numbers.end(), values.begin() + i * n, values.begin() + (i + 1) * n);
      if (regression()) goals.insert(goals.end(), targets.begin() + i * m, targets.begin() + (i + 1) * m);
      else d.labels.push_back(labels[static_cast<std::size_t>(i)]);
    }
    d.values = std::move(numbers);
    d.targets = std::move(goals);
    return d;
  }

  /// "60000 samples, 0123456789abcdef": number and a checksum of all that training sees (samples, labels or targets,
  /// normalisation). One pass over the data.
  PLEAT_ONCE [[nodiscard]] std::string fingerprint() const {
    if (windows) return windows->fingerprint();
    checksum c;
    std::vector<index_t> shape{sample.rank(), size, classes};
    for (int d = 0; d < sample.rank(); ++d) shape.push_back(sample[d]);
    for (int d = 0; d < target.rank(); ++d) shape.push_back(target[d]);
    float const normalisation[] = {mean, scale};
    c.add(std::as_bytes(std::span<index_t const>(shape)));
    c.add(std::as_bytes(std::span(normalisation)));
    c.add(std::as_bytes(std::span(pixels)));
    c.add(std::as_bytes(values.span()));
    c.add(std::as_bytes(std::span(labels)));
    c.add(std::as_bytes(targets.span()));
    return std::to_string(size) + " samples, " + checksum::hex(c.value());
  }

 private:
  PLEAT_LAZY [[nodiscard]] index_t demand_index(index_t i) const {
    if (i < 0 || i >= size)
      throw error{"io::dataset::gather",
                  "sample " + std::to_string(i) + " of '" + name + "', which has " + std::to_string(size),
                  "Gather samples from 0 to size - 1: make the sampler for the size of this data set"};
    return i;
  }
};

template <class> void dataset::demand_whole(bool judged) const {
  auto const refuse = [&](std::string const& problem, char const* remedy) {
    throw error{"io::dataset", "'" + name + "' " + problem, remedy};
  };
  auto const demand = [&](std::size_t found, index_t each, char const* what, char const* remedy) {
    auto const n = static_cast<index_t>(found);
    if (each < 1 || n % each != 0 || n / each != size)
      refuse("has " + std::to_string(size) + " samples of " + std::to_string(each) + " " + what + ", found " +
                 std::to_string(found),
             remedy);
  };
  if (windows) {
    if (size != windows->size() || sample != extents{windows->context} || classes != windows->vocabulary ||
        regression() || !pixels.empty() || !values.empty() || !labels.empty() || !targets.empty())
      refuse("is windows of a text, and its other members say otherwise",
             "Make it with io::windows_of, and choose windows with pick");
    return;
  }
  if (!pixels.empty() && !values.empty()) refuse("has both pixels and values", "Fill one of the two");
  if (!values.empty()) demand(values.size(), sample_size(), "values", "Fill values, or pixels, sample after sample");
  else demand(pixels.size(), sample_size(), "bytes", "Fill pixels, or values, sample after sample");
  if (regression() ? !labels.empty() : !targets.empty())
    refuse("has labels beside targets, or targets without their shape", "Fill labels, or target and targets");
  if (!judged && labels.empty() && targets.empty()) return;
  if (regression()) demand(targets.size(), target.size(), "targets", "Fill targets sample after sample");
  else demand(labels.size(), 1, "label", "Give every sample its class, or a shape of targets and their numbers");
}
PLEAT_COMPILED_ONCE(void dataset::demand_whole(bool judged) const);

template <class> void dataset::gather(std::span<index_t const> indices, float* x, std::int32_t* y) const {
  if (windows) return windows->gather(indices, x, y);
  index_t const n = sample_size();
  // Rows lie at random in a set larger than the caches. Asking for the head of a row some rows early hides the
  // waiting (256 images of MNIST on a Zen 5: 105 µs before, 16 after); the rest of a long row is the hardware's
  // prefetcher's.
  constexpr std::size_t ahead = 4;
  bool const bytes = values.empty();
  auto const* const first = bytes ? pixels.data() : reinterpret_cast<std::uint8_t const*>(values.data());
  index_t const row = bytes ? n : n * static_cast<index_t>(sizeof(float));
  index_t const head = std::min<index_t>(row, 4096);
  for (std::size_t r = 0; r < indices.size(); ++r) {
    if (r + ahead < indices.size() && indices[r + ahead] >= 0 && indices[r + ahead] < size)
      for (index_t k = 0; k < head; k += 64) __builtin_prefetch(first + indices[r + ahead] * row + k);
    index_t const i = demand_index(indices[r]);
    auto* const to = x + static_cast<index_t>(r) * n;
    if (bytes) detail::normalise(pixels.data() + i * n, to, n, mean, scale);
    else
      for (index_t k = 0; k < n; ++k) to[k] = (values.data()[i * n + k] - mean) * scale;
    if (y) y[r] = labels[static_cast<std::size_t>(i)];
  }
}
PLEAT_COMPILED_ONCE(void dataset::gather(std::span<index_t const> indices, float* x, std::int32_t* y) const);

template <class> void dataset::gather_targets(std::span<index_t const> indices, float* t) const {
  for (index_t const n = target.size(); index_t const asked : indices)
    t = std::copy_n(targets.data() + demand_index(asked) * n, n, t);
}
PLEAT_COMPILED_ONCE(void dataset::gather_targets(std::span<index_t const> indices, float* t) const);

/// A text's windows as samples: tokens in, the token behind each position is its label. fit, evaluate, fine_tune, distill
/// and what scores weights by gradients take them as they take images.
///
///     auto const text = io::read_text("input.txt", 64);
///     auto const train = io::windows_of(text.train), test = io::windows_of(text.validation);
PLEAT_ONCE [[nodiscard]] dataset windows_of(token_dataset text) {
  dataset d;
  d.name = text.name;
  d.sample = {text.context};
  d.size = text.size();
  d.classes = text.vocabulary;
  d.windows = std::make_shared<token_dataset const>(std::move(text));
  return d;
}

/// What one trains on and what one is judged by.
struct split {
  dataset train, test;
};

/// What a pair of IDX files is expected to be, and how its bytes become numbers.
struct idx_spec {
  std::string name;
  int classes = 10;
  float mean = 0;         ///< of the training bytes
  float deviation = 255;  ///< of the training bytes
};

/// One part of a data set from a file of images (u8, [n, height, width] or [n, channels, height, width]) and a file of
/// labels (u8, [n]). \throws error that names the file, and where: wrong rank or element type, counts that differ, a
/// label out of range; a deviation that is not a positive number
PLEAT_ONCE [[nodiscard]] dataset read_idx_pair(std::string const& images_path, std::string const& labels_path,
                                               idx_spec const& spec) {
  auto const images_call = detail::call_on("read_idx", images_path),
             labels_call = detail::call_on("read_idx", labels_path);
  idx_array images = read_idx(images_path), labels = read_idx(labels_path);
  int const rank = images.shape.rank();
  if (!(spec.deviation > 1e-30f) || !(spec.deviation < 1e30f) || !(spec.mean > -1e30f && spec.mean < 1e30f))
    throw error{images_call,
                "expected a mean within 1e30 and a deviation between 1e-30 and 1e30, found a mean of " +
                    pleat::detail::number_text(spec.mean) + " and a deviation of " +
                    pleat::detail::number_text(spec.deviation),
                "Give those of the training bytes, or mean 0 and deviation 1 for bytes as they are"};
  constexpr char const* one_set =
      "Name files of one set: images as <set>-images-idx3-ubyte, labels as <set>-labels-idx1-ubyte";
  if (images.type != dtype::u8 || (rank != 3 && rank != 4))
    throw error{images_call,
                "expected images, U8 of rank 3 or 4; found " + std::string(name_of(images.type)) + " " +
                    images.shape.to_string(),
                one_set};
  if (labels.type != dtype::u8 || labels.shape.rank() != 1)
    throw error{
        labels_call,
        "expected labels, U8 of rank 1; found " + std::string(name_of(labels.type)) + " " + labels.shape.to_string(),
        one_set};
  if (images.shape[0] != labels.shape[0])
    throw error{labels_call,
                "expected " + std::to_string(images.shape[0]) + " labels, one for each image of '" + images_path +
                    "'; found " + std::to_string(labels.shape[0]),
                one_set};
  if (images.shape[0] == 0 || images.shape.size() == 0)
    throw error{images_call, "expected samples, found a file of " + images.shape.to_string() + " with none",
                "Take the files of another set, or write these again"};
  dataset d;
  d.name = spec.name;
  d.size = images.shape[0];
  d.sample = rank == 4 ? extents{images.shape[1], images.shape[2], images.shape[3]}
                       : extents{1, images.shape[1], images.shape[2]};
  d.classes = spec.classes;
  d.mean = spec.mean;
  d.scale = 1 / spec.deviation;
  d.labels.reserve(labels.bytes.size());
  for (std::size_t i = 0; i < labels.bytes.size(); ++i) {
    auto const label = std::to_integer<std::int32_t>(labels.bytes[i]);
    if (label >= spec.classes)
      throw error{labels_call,
                  "label " + std::to_string(label) + " of sample " + std::to_string(i) + " (byte " +
                      std::to_string(8 + i) + "), expected 0 to " + std::to_string(spec.classes - 1),
                  "Mend the file, or state more classes"};
    d.labels.push_back(label);
  }
  auto const values = images.values<std::uint8_t>();
  d.pixels.assign(values.begin(), values.end());
  return d;
}

namespace detail {

/// The file `stem` + "-idx<rank>-ubyte" in one of its customary spellings. \throws error with the folder and all names
/// that were looked for
PLEAT_ONCE [[nodiscard]] std::string find_idx(std::string const& folder, std::string const& stem, int rank,
                                              std::string const& call) {
  std::string const end = "idx" + std::to_string(rank) + "-ubyte";
  std::string looked_for;
  for (auto const& name : {stem + "-" + end, stem + "-" + end + ".gz", stem + "." + end, stem + "." + end + ".gz"}) {
    auto path = join(folder, name);
    if (exists(path)) return path;
    looked_for += (looked_for.empty() ? "'" : ", '") + name + "'";
  }
  throw error{call, "none of the files " + looked_for + " is in the folder",
              "Name the folder that holds the four IDX files"};
}

/// The four files of a folder. \throws error as mnist()
PLEAT_ONCE [[nodiscard]] split read_split(std::string const& folder, char const* function, idx_spec spec) {
  auto const call = call_on(function, folder);
  if (!is_folder(folder))
    throw error{call, exists(folder) ? "this is no folder" : "there is no such folder",
                "Name the folder that holds the four IDX files"};
  std::string const name = spec.name;
  auto const part = [&](char const* stem, char const* suffix) {
    spec.name = name + suffix;
    auto const images = find_idx(folder, std::string(stem) + "-images", 3, call);
    return read_idx_pair(images, find_idx(folder, std::string(stem) + "-labels", 1, call), spec);
  };
  split s{part("train", " train"), part("t10k", " test")};
  if (!(s.train.sample == s.test.sample))
    throw error{call,
                "training images are " + s.train.sample.to_string() + ", test images " + s.test.sample.to_string(),
                "Name a folder with one set's files"};
  return s;
}
PLEAT_COMPILED_ONCE(split read_split(std::string const& folder, char const* function, idx_spec spec));

}  // namespace detail

/// MNIST, or a set in its form (Fashion-MNIST, KMNIST), from a folder with train-images, train-labels, t10k-images,
/// t10k-labels as IDX, plain or gzip, "train-images-idx3-ubyte[.gz]" or "train-images.idx3-ubyte[.gz]". Values are
/// (byte/255 − 0.1307)/0.3081, the mean and the deviation of MNIST's training images. \throws error that names folder
/// or file, offset, expected and found
PLEAT_LAZY [[nodiscard]] inline split mnist(std::string const& folder) {
  return detail::read_split(folder, "mnist", {"mnist", 10, 0.1307f * 255, 0.3081f * 255});
}

/// The UCI handwritten digits that pleat ships (examples/data/digits): 8×8 images of values 0 to 16, in the same four
/// files. Values are (byte − 4.88)/6.02, mean and deviation of its training images.
PLEAT_LAZY [[nodiscard]] inline split load_digits(std::string const& folder) {
  return detail::read_split(folder, "load_digits", {"digits", 10, 4.88f, 6.02f});
}

}  // namespace pleat::io
