// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// The communicator of one rank: every collective is a copy.
#pragma once

#include <memory>

#include <pleat/base/config.hpp>
#include <pleat/comm/local.hpp>

namespace pleat::comm {

/// A group of one. Messages to rank 0 are messages to oneself.
class self : public local {
 public:
  PLEAT_ONCE self();
  [[nodiscard]] static constexpr char const* name() noexcept { return "self"; }
};

template <class> self::self() : local(std::make_shared<detail::local_core>(1), 0) {}
PLEAT_COMPILED_ONCE(self::self());

}  // namespace pleat::comm
