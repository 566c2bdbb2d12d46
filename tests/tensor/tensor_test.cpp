// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <pleat/tensor/adapt.hpp>
#include <pleat/tensor/tensor.hpp>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <string>
#include <vector>

using space = Kokkos::DefaultExecutionSpace;
using pleat::extents;
using tensor = pleat::tensor<float, space>;

namespace {
// The smallest thing that is an array.
struct archetype {
  using element_type = float;
  float* data() const { return nullptr; }
  extents shape() const { return extents{0}; }
  pleat::index_t stride(int) const { return 1; }
};
struct near_miss {
  using element_type = float;
  float* data() const { return nullptr; }
  extents shape() const { return extents{0}; }
};
static_assert(pleat::strided_array<archetype>);
static_assert(!pleat::strided_array<near_miss>);
static_assert(pleat::strided_array<pleat::array_view<float>>);
}  // namespace

TEST_CASE("a tensor shares its block, and rows and reshape share it too") {
  pleat::context<space> where(pleat::make_instance<space>(1));
  auto t = tensor::allocate(where, {4, 6});
  CHECK(t.sole_owner());
  {
    auto const u = t;
    CHECK_FALSE(t.sole_owner());
    CHECK(u.data() == t.data());
  }
  CHECK(t.sole_owner());
  CHECK(t.rows(1, 3).data() == t.data() + 6);
  CHECK(t.rows(1, 3).shape() == extents{2, 6});
  CHECK(t.reshape({2, 12}).data() == t.data());
  CHECK_THROWS_AS(t.reshape({5, 5}), pleat::error);
  CHECK_THROWS_AS(tensor::wrap(nullptr, {1}), pleat::error);
  CHECK(tensor::allocate(where, {0, 6}).data() == nullptr);
}

TEST_CASE("a shape whose bytes no number counts is refused, not made smaller") {
  pleat::context<space> where(pleat::make_instance<space>(1));
  constexpr pleat::index_t half = pleat::index_t{1} << 32;
  for (pleat::extents const& shape :
       {pleat::extents{half, half}, pleat::extents{half, 0, half}, pleat::extents{half, half / 8}})
    CHECK_THROWS_WITH(tensor::allocate(where, shape),
                      Catch::Matchers::ContainsSubstring("tensor::allocate: the shape " + shape.to_string() +
                                                         " has more bytes than 62 bits can count"));
  // Their products wrap around, to 0 and to 2 elements.
  float three[3] = {};
  CHECK_THROWS_WITH(tensor::wrap(nullptr, {half, half}), Catch::Matchers::ContainsSubstring("tensor::wrap: the shape"));
  CHECK_THROWS_WITH(tensor::wrap(three, {half, half}), Catch::Matchers::ContainsSubstring("tensor::wrap: the shape"));
  constexpr pleat::index_t third = 0x2aaaaaaaaaaaaaab;  // 6 · third = 2^64 + 2
  CHECK_THROWS_WITH(tensor::wrap(three, {2}).reshape({6, third}),
                    Catch::Matchers::ContainsSubstring("tensor::reshape: the shape"));
  CHECK_THROWS_WITH(tensor::wrap(nullptr, {0}).reshape({half, half}),
                    Catch::Matchers::ContainsSubstring("tensor::reshape: the shape"));
}

TEST_CASE("elements travel to the host and back unchanged") {
  pleat::context<space> where(pleat::make_instance<space>(2));
  auto const t = tensor::allocate(where, {2, 3});
  std::vector<float> const in{1, 2, 3, 4, 5, 6};
  pleat::copy_from_host(where, in.data(), t);
  std::vector<float> out(6);
  pleat::copy_to_host(where, t, out.data());
  CHECK(out == in);
  auto const v = t.view<float**>();
  CHECK(v.extent(0) == 2);
  CHECK(v.extent(1) == 3);
  CHECK(v.data() == t.data());
  CHECK_THROWS_AS(t.view<float*>(), pleat::error);
}

TEST_CASE("a View, a pointer and an mdspan become tensors without a copy") {
  Kokkos::View<float**, Kokkos::LayoutRight, space::memory_space> const v("v", 3, 5);
  auto const t = pleat::as_tensor<space>(pleat::adapt(v));
  CHECK(t.data() == v.data());
  CHECK(t.shape() == extents{3, 5});

  if constexpr (Kokkos::SpaceAccessibility<space, Kokkos::HostSpace>::accessible) {
    std::vector<float> host(15);
    CHECK(pleat::as_tensor<space>(pleat::adapt(host.data(), {5, 3})).data() == host.data());
    Kokkos::mdspan<float, Kokkos::dextents<int, 2>> const m(host.data(), 5, 3);
    auto const u = pleat::as_tensor<space>(pleat::adapt(m));
    CHECK(u.data() == host.data());
    CHECK(u.shape() == extents{5, 3});
  }
}

namespace {
/// Reads half of what is stored: elements that are no memory.
struct halving_accessor {
  using element_type = float;
  using reference = float;
  using data_handle_type = float*;
  using offset_policy = halving_accessor;
  reference access(data_handle_type p, std::size_t i) const { return p[i] / 2; }
  data_handle_type offset(data_handle_type p, std::size_t i) const { return p + i; }
};
template <class M>
concept adaptable = requires(M const& m) { pleat::adapt(m); };
}  // namespace

TEST_CASE("an mdspan whose accessor computes is no array; one without elements is one whatever its strides") {
  using shape = Kokkos::dextents<int, 2>;
  static_assert(adaptable<Kokkos::mdspan<float, shape>> && adaptable<Kokkos::mdspan<float const, shape>>);
  static_assert(!adaptable<Kokkos::mdspan<float, shape, Kokkos::layout_right, halving_accessor>>);
  Kokkos::View<float**, Kokkos::LayoutLeft, space::memory_space> const none("v", 3, 0);
  CHECK(pleat::adapt(none).contiguous());
  CHECK(pleat::as_tensor<space>(pleat::adapt(none)).shape() == extents{3, 0});
}

TEST_CASE("an array that is not row-major is refused with its stride") {
  Kokkos::View<float**, Kokkos::LayoutLeft, space::memory_space> const v("v", 3, 5);
  auto const a = pleat::adapt(v);
  CHECK_FALSE(a.contiguous());
  try {
    (void)pleat::as_tensor<space>(a);
    FAIL("a column-major View was taken as a tensor");
  } catch (pleat::error const& e) {
    CHECK(std::string(e.what()).find("dimension 0") != std::string::npos);
    CHECK(std::string(e.what()).find("LayoutRight") != std::string::npos);
  }
}
