// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/base/owned_ptr.hpp>

#include <catch2/catch_test_macros.hpp>

#include <type_traits>
#include <utility>

namespace {
int alive = 0;
struct thing {
  explicit thing(int value = 0) : value(value) { ++alive; }
  thing(thing const&) = delete;
  virtual ~thing() { --alive; }
  int value;
};
struct further : thing {
  further() : thing(7) { alive += 10; }
  ~further() override { alive -= 10; }
};
using owner = pleat::owned_ptr<thing>;
static_assert(!std::is_copy_constructible_v<owner> && std::is_nothrow_move_constructible_v<owner>);
static_assert(std::is_convertible_v<pleat::owned_ptr<further>, owner>);
static_assert(!std::is_convertible_v<owner, pleat::owned_ptr<further>>);
static_assert(!std::is_convertible_v<pleat::owned_ptr<int>, owner>);
}  // namespace

TEST_CASE("an owner ends its object once, wherever it has been moved to") {
  {
    owner a = pleat::make_owned<thing>(3), none;
    CHECK(alive == 1);
    CHECK((a && !none && a->value == 3 && (*a).value == 3));
    owner b(std::move(a));
    CHECK((!a && b->value == 3 && alive == 1));
    auto* const itself = &b;
    b = std::move(*itself);
    CHECK((b && b->value == 3 && alive == 1));
    owner c = pleat::make_owned<thing>(4);
    c = std::move(b);
    CHECK((c->value == 3 && alive == 1));
    c = nullptr;
    CHECK((!c && alive == 0));
    c.reset(new thing(5));
    c.reset(new thing(6));
    CHECK((c->value == 6 && alive == 1));
    thing* const mine = c.release();
    CHECK((!c && alive == 1));
    delete mine;
    CHECK(alive == 0);
    c = pleat::make_owned<further>();
    CHECK((c->value == 7 && alive == 11));
  }
  CHECK(alive == 0);
}
