// SPDX-FileCopyrightText: 2026 The pleat authors
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
/// \file
/// What a form is, and sets of forms. A form says how a weight's numbers are stored and runs them as they are stored
/// (law 9).
///
/// A weight of shape [out, …] is a matrix of `out` rows and (product of the rest) columns. A form `F` provides
///
///     using value_type = T;                             // of the activations it multiplies with
///     static constexpr std::string_view name;           // as it is written into files and reports
///     static constexpr bool trainable;                  // its values live in the arena and take gradients
///     template <class Space> struct storage;            // default-constructible, copyable (copies share immutable parts)
///
///     encode(context&, shape, T const* values, storage&)                    // from dense values in the space's memory
///     decode(context&, shape, storage const&, T* out)                       // back to dense values
///     apply(context&, shape, storage const&, m, x, y, epilogue)             // y[m, rows] = x[m, cols] · Wᵀ, then the epilogue
///     apply_transposed(context&, shape, storage const&, m, dy, dx, mask)    // dx[m, cols] = dy[m, rows] · W (mask: ReLU's, or null)
///     bytes(shape, storage const&)                                          // of the stored form, as in a file
///     to_file(context&, shape, storage const&) -> std::vector<file_tensor>  // what a file holds
///     from_file(context&, shape, std::span<file_tensor const>, storage&)    // throws error if the parts do not fit
///
/// if a stored weight can be cut along the tensor axis of a mesh,
///
///     slice(context&, shape, storage const&, index_box const&) -> storage   // the part of the box; values in the arena are not touched
///     join(shape, dim, std::span<weight_piece const>) -> std::vector<file_tensor>   // the inverse, on what files hold (forms that do not train)
///     granularity(shape) -> cut_unit                                        // if not every border between elements is good
///     granularity(shape, storage const&, std::span<std::string const> stored) -> cut_unit   // or so, if the storage says which; stored: suffixes of what a file brings
///
/// if it says how far its numbers may be from those that it was encoded from (the ledger of errors asks),
///
///     predict(context&, shape, std::span<T const> values, storage const&) -> error_norms   // values on the host
///
/// if it stores what decode() gives as it is, in the arena's memory (nobody needs to copy that to look at it),
///
///     static constexpr bool plain = true;
///
/// and, if it can run convolutions, `convolve` and `convolve_transposed` (see codec/dense.hpp). A trainable form's
/// storage has `void attach(T* values)`: the arena's memory. All are static functions.
#pragma once

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <pleat/base/context.hpp>
#include <pleat/codec/file_tensor.hpp>
#include <pleat/compute/detail/gemm_arguments.hpp>
#include <pleat/tensor/dtype.hpp>
#include <pleat/tensor/extents.hpp>

namespace pleat::codec {

namespace detail {
template <class F>
concept has_value_type = requires { typename F::value_type; };
template <class F, class Space>
concept has_storage = requires { typename F::template storage<Space>; };
template <class F>
concept has_name = requires { std::string_view(F::name); };
template <class F>
concept has_trainable = requires {
  { F::trainable } -> std::convertible_to<bool>;
};
template <class F, class Space>
concept has_codec =
    requires(context<Space>& c, extents const& e, typename F::value_type const* in, typename F::value_type* out,
             typename F::template storage<Space>& s, typename F::template storage<Space> const& cs) {
      F::encode(c, e, in, s);
      F::decode(c, e, cs, out);
    };
template <class F, class Space>
concept has_products =
    requires(context<Space>& c, extents const& e, typename F::value_type const* in, typename F::value_type* out,
             typename F::template storage<Space> const& s, compute::epilogue<typename F::value_type> const& after) {
      F::apply(c, e, s, index_t{}, in, out, after);
      F::apply_transposed(c, e, s, index_t{}, in, out, in);
    };
template <class F, class Space>
concept has_bytes = requires(extents const& e, typename F::template storage<Space> const& s) {
  { F::bytes(e, s) } -> std::convertible_to<index_t>;
};
}  // namespace detail

/// Says in words what a form lacks (law 1).
template <class F, class Space = Kokkos::DefaultExecutionSpace> constexpr void demand_form() {
  static_assert(detail::has_value_type<F>,
                "pleat: a form needs 'using value_type = T': the type of the activations it multiplies with");
  static_assert(detail::has_name<F>,
                "pleat: a form needs 'static constexpr std::string_view name': what files and reports call it");
  static_assert(detail::has_trainable<F>,
                "pleat: a form needs 'static constexpr bool trainable': whether its values take gradients");
  static_assert(detail::has_storage<F, Space>,
                "pleat: a form needs 'template <class Space> struct storage': the encoded weight");
  static_assert(detail::has_codec<F, Space>,
                "pleat: a form needs static 'encode(context&, shape, T const* values, storage&)' and 'decode(context&, "
                "shape, storage const&, T* out)'");
  static_assert(detail::has_products<F, Space>,
                "pleat: a form needs static 'apply(context&, shape, storage const&, m, x, y, epilogue)' and "
                "'apply_transposed(context&, shape, storage const&, m, dy, dx, mask)': what is stored runs as it is "
                "stored (law 9)");
  static_assert(detail::has_bytes<F, Space>,
                "pleat: a form needs static 'bytes(shape, storage const&)' that returns the stored bytes");
}

/// A closed set of forms, named in a weight's type; which member a weight uses is a run-time value.
template <class First, class... Rest> struct forms {
  static_assert((detail::has_value_type<First> && ... && detail::has_value_type<Rest>),
                "pleat: a form needs 'using value_type = T': the type of the activations it multiplies with");
  static_assert((detail::has_storage<First, Kokkos::DefaultExecutionSpace> && ... &&
                 detail::has_storage<Rest, Kokkos::DefaultExecutionSpace>),
                "pleat: a form needs 'template <class Space> struct storage': the encoded weight");
  using value_type = typename First::value_type;
  static_assert((std::is_same_v<value_type, typename Rest::value_type> && ...),
                "pleat: the forms of one set multiply with one value_type");
  static constexpr int size = 1 + static_cast<int>(sizeof...(Rest));
  /// True if a weight of this set can be trained in some form.
  static constexpr bool trainable = First::trainable || (Rest::trainable || ...);

  template <class Space>
  using storages = std::tuple<typename First::template storage<Space>, typename Rest::template storage<Space>...>;
  template <int At> using form = std::tuple_element_t<At, std::tuple<First, Rest...>>;

  template <class F> static constexpr bool contains = std::is_same_v<F, First> || (std::is_same_v<F, Rest> || ...);
  /// Position of F in the set.
  template <class F> [[nodiscard]] static constexpr int index_of() {
    static_assert(
        contains<F>,
        "pleat: this form is not a member of the weight's set: widen the model first (a transform does that)");
    constexpr bool same[] = {std::is_same_v<F, First>, std::is_same_v<F, Rest>...};
    int i = 0;
    while (!same[i]) ++i;
    return i;
  }
  /// This set with F appended, unless it is there.
  template <class F> using with = std::conditional_t<contains<F>, forms, forms<First, Rest..., F>>;

  [[nodiscard]] static std::string_view name(int i) {
    constexpr std::string_view names[] = {First::name, Rest::name...};
    return names[i];
  }
  /// Position of the form called `wanted`, or -1.
  [[nodiscard]] static int index(std::string_view wanted) {
    for (int i = 0; i < size; ++i)
      if (name(i) == wanted) return i;
    return -1;
  }
};

namespace detail {
/// The form that a weight takes whose factors, which it has as F, take forms of their own; void: it has none.
template <class F> struct refined_of {
  using type = void;
};
template <class F>
  requires requires { typename F::refined; }
struct refined_of<F> {
  using type = typename F::refined;
};
template <class F>
  requires requires { typename F::bits::refined; }
struct refined_of<F> {
  using type = typename F::bits::refined;
};
}  // namespace detail

/// A form as an argument.
template <class F> struct form_tag {
  using type = F;
};

/// Says in words what a member of a set lacks.
template <class Space, class... F> constexpr void demand_forms(form_tag<forms<F...>>) {
  (demand_form<F, Space>(), ...);
}

/// Calls f(form_tag<F>{}) for member `index` of the set. With one member there is no dispatch.
template <class Forms, class F, int At = 0> decltype(auto) visit_form(int index, F&& f) {
  if constexpr (At + 1 == Forms::size) {
    return f(form_tag<typename Forms::template form<At>>{});
  } else {
    if (index == At) return f(form_tag<typename Forms::template form<At>>{});
    return visit_form<Forms, F, At + 1>(index, std::forward<F>(f));
  }
}

}  // namespace pleat::codec
