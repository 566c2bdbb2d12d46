// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// The loss on text that was not trained on. Included by one source for each precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include <pleat/comm/attempt.hpp>

#include "pieces.hpp"

namespace gpt {

/// −log of the probability that softmax(scores) gives to class `label`.
template <class T> [[nodiscard]] double surprise(std::span<T const> scores, std::int32_t label) {
  auto const wide = [](T s) { return static_cast<double>(static_cast<pl::wide_t<T>>(s)); };
  double largest = -1e300, sum = 0;
  for (T const s : scores) largest = std::max(largest, wide(s));
  for (T const s : scores) sum += std::exp(wide(s) - largest);
  return std::log(sum) + largest - wide(scores[static_cast<std::size_t>(label)]);
}

template <class T>
double validation_loss(model_of<T> const& m, pl::io::token_dataset const& text, pl::index_t windows,
                       pl::index_t batch) {
  auto& ranks = m.ranks();
  auto const mine = pl::block_range(windows, ranks.size(), ranks.rank());
  // every rank makes as many walks, for parameters that are gathered in them
  pl::index_t const most = (windows + ranks.size() - 1) / ranks.size();
  std::vector<double> loss(static_cast<std::size_t>(windows));
  std::vector<pl::index_t> which;
  std::vector<T> tokens, scores;
  std::vector<std::int32_t> next;
  // there ranks wait for each other inside layers
  pl::comm::attempts batches(m.parts().size() > 1 || m.plan().state_stage == 3);
  for (pl::index_t at = 0; at < most; at += batch)
    batches([&] {
      which.clear();
      for (pl::index_t i = at; i < std::min(at + batch, most); ++i)
        which.push_back(std::clamp<pl::index_t>(mine.begin + i, 0, windows - 1));
      auto const n = static_cast<pl::index_t>(which.size());
      tokens.resize(static_cast<std::size_t>(n * text.context));
      next.resize(tokens.size());
      text.gather(which, tokens.data(), next.data());
      auto x = model_of<T>::tensor_type::allocate(m.context(), {n, text.context});
      pl::copy_from_host(m.context(), tokens.data(), x);
      auto const y = m.predict(std::move(x), pl::parallel::answer_at::last_stage);
      if (!m.has_last_stage()) return;
      auto const classes = static_cast<std::size_t>(text.vocabulary);
      scores.resize(tokens.size() * classes);
      pl::copy_to_host(m.context(), y, scores.data());
      for (pl::index_t w = 0; w < n && mine.begin + at + w < mine.end; ++w) {
        double sum = 0;
        for (pl::index_t t = w * text.context; t < (w + 1) * text.context; ++t)
          sum += surprise(std::span<T const>(scores).subspan(static_cast<std::size_t>(t) * classes, classes),
                          next[static_cast<std::size_t>(t)]);
        loss[static_cast<std::size_t>(mine.begin + at + w)] = sum / static_cast<double>(text.context);
      }
    });
  batches.meet(m.all_ranks());                // what one rank finds, all hear
  ranks.all_reduce(std::span<double>(loss));  // one rank has each number: x + 0 is x
  if (m.pipeline().size() > 1) m.pipeline().broadcast(std::span<double>(loss), m.layout().last_rank());
  double sum = 0;
  for (double const l : loss) sum += l;
  return sum / static_cast<double>(windows);
}

}  // namespace gpt
