// The ops on NumPy arrays: mirror_ext/_numpy. mirror_ext/numpy.py gives them their public signatures and sees to it that
// every array that arrives here is contiguous, aligned and in native byte order.
#include <cstdint>
#include <string>
#include <utility>

#include "bindings/arguments.h"
#include "bindings/match_lists.h"
#include "core/isa.h"
#include "core/overlap_check.h"
#include "mirror/match_kernel.h"
#include "mirror/overlap.h"
#include "mirror/pooling.h"
#include "mirror/pr_mac.h"
#include "mirror/rasterize.h"
#include "mirror/similarity_support.h"
#include "numpy_ops/array.h"

namespace mirror::numpy_ops {
namespace {

using bindings::MatchArguments;
using bindings::RegionArguments;

nb::object match_kernel(const Input& descriptors, const OptionalInput& sizes, const OptionalInput& other,
                        const OptionalInput& other_sizes, const OptionalInput& pairs, int64_t depth,
                        int num_threads) {
  constexpr const char* op = "match_kernel";
  const MatchArguments args = bindings::match_arguments(op, view(descriptors), view(sizes), view(other),
                                                        view(other_sizes), view(pairs), depth);
  const bool listed = args.pairs != nullptr;
  Output<float> scores(listed ? std::vector<int64_t>{args.count}
                              : std::vector<int64_t>{args.a.images, args.b.images});
  unlocked([&] {
    bindings::check_values(op, args);
    if (listed)
      match_kernel_pairs(args.a, args.b, args.pairs, args.count, depth, scores.data(), threads(num_threads));
    else if (args.self)
      match_kernel_self(args.a, depth, scores.data(), threads(num_threads));
    else
      mirror::match_kernel(args.a, args.b, depth, scores.data(), threads(num_threads));
  });
  return scores.release();
}

nb::tuple mutual_matches(const Input& descriptors, const OptionalInput& sizes, const OptionalInput& other,
                         const OptionalInput& other_sizes, const Input& pairs, int64_t depth, float max_ratio,
                         bool exact, int num_threads) {
  constexpr const char* op = "mutual_matches";
  const MatchArguments args = bindings::match_arguments(op, view(descriptors), view(sizes), view(other),
                                                        view(other_sizes), view(pairs), depth);
  Output<int64_t> offsets({args.count + 1});
  bindings::MatchLists lists(args.count);
  int64_t total = 0;
  unlocked([&] {
    bindings::check_values(op, args);
    mirror::mutual_matches(args.a, args.b, args.pairs, args.count, depth, max_ratio, lists.sink(),
                           threads(num_threads), exact);
    total = lists.offsets(offsets.data());
  });
  Output<int32_t> matches({total, 2});
  Output<float> ratios({total, 2});
  unlocked([&] { lists.lay_out(matches.data(), ratios.data()); });
  return nb::make_tuple(matches.release(), ratios.release(), offsets.release());
}

nb::tuple similarity_support(const Input& keypoints, const OptionalInput& sizes, const Input& diagonals,
                             const Input& pairs, const Input& matches, const Input& ratios,
                             const Input& offsets, const OptionalInput& other,
                             const OptionalInput& other_sizes, const OptionalInput& other_diagonals,
                             double near, double far, double tolerance, double min_share, double min_support,
                             double weak, int num_threads) {
  const bindings::SupportArguments args = bindings::support_arguments(
      view(keypoints), view(sizes), view(diagonals), view(pairs), view(matches), view(ratios), view(offsets),
      view(other), view(other_sizes), view(other_diagonals));
  const SupportOptions options{near, far, tolerance, min_share, min_support, weak};
  bindings::check_options(options);
  Output<float> evidence({args.count});
  Output<bool> good({args.total});
  static_assert(sizeof(bool) == 1);
  unlocked([&] {
    bindings::check_values(args);
    mirror::similarity_support(args.a, args.b, args.pairs, args.count, args.matches, args.ratios,
                               args.offsets, options, evidence.data(),
                               reinterpret_cast<uint8_t*>(good.data()), threads(num_threads));
  });
  return nb::make_tuple(evidence.release(), good.release());
}

// Scores are float64 for float64 regions and float32 otherwise: work(Output<Score>&) fills them.
template <class Work>
nb::object scores_of(const RegionArguments& args, std::vector<int64_t> shape, const Work& work) {
  const auto fill = [&](auto scores) {
    unlocked([&] { work(scores.data()); });
    return scores.release();
  };
  if (args.scores == DType::kFloat64) return fill(Output<double>(std::move(shape)));
  return fill(Output<float>(std::move(shape)));
}

nb::tuple pr_mac(const Input& query, const OptionalInput& target, const OptionalInput& query_sizes,
                 const OptionalInput& target_sizes, const std::string& reduction,
                 const std::string& precision, bool with_argmax, int num_threads) {
  constexpr const char* op = "pr_mac";
  const RegionArguments args = bindings::region_arguments(op, view(query), view(target), view(query_sizes),
                                                          view(target_sizes), reduction);
  const Precision chosen = bindings::precision_of(op, precision);
  const int64_t images = args.query.images, targets = args.target.images;
  Output<int32_t> argmax({images, targets, with_argmax ? args.query.capacity : 0});
  const nb::object scores = scores_of(args, {images, targets}, [&](void* out) {
    bindings::check_values(op, args);
    int32_t* matched = with_argmax ? argmax.data() : nullptr;
    if (args.self)
      pr_mac_self(args.query, args.reduction, chosen, out, matched, threads(num_threads));
    else
      mirror::pr_mac(args.query, args.target, args.reduction, chosen, out, matched, threads(num_threads));
  });
  return nb::make_tuple(scores, argmax.release());
}

nb::tuple pr_mac_topk(const Input& query, const OptionalInput& target, const OptionalInput& query_sizes,
                      const OptionalInput& target_sizes, int64_t k, const std::string& reduction,
                      const std::string& precision, int64_t margin, bool certified, int num_threads) {
  constexpr const char* op = "pr_mac_topk";
  const RegionArguments args = bindings::region_arguments(op, view(query), view(target), view(query_sizes),
                                                          view(target_sizes), reduction);
  const TopKOptions options = bindings::topk_options(k, precision, margin, certified);
  Output<int64_t> indices({args.query.images, k});
  const nb::object values = scores_of(args, {args.query.images, k}, [&](void* out) {
    bindings::check_values(op, args);
    if (args.self)
      pr_mac_topk_self(args.query, args.reduction, options, out, indices.data(), threads(num_threads));
    else
      mirror::pr_mac_topk(args.query, args.target, args.reduction, options, out, indices.data(),
                          threads(num_threads));
  });
  return nb::make_tuple(values, indices.release());
}

nb::object pr_mac_rerank(const Input& query, const OptionalInput& target, const Input& candidates,
                         const OptionalInput& query_sizes, const OptionalInput& target_sizes,
                         const std::string& reduction, int num_threads) {
  constexpr const char* op = "pr_mac_rerank";
  const RegionArguments args = bindings::region_arguments(op, view(query), view(target), view(query_sizes),
                                                          view(target_sizes), reduction);
  const Array listed = view(candidates);
  bindings::expect_candidates(listed, args);
  return scores_of(args, {args.query.images, listed.size(1)}, [&](void* out) {
    bindings::check_values(op, args);
    bindings::check_candidates(listed, args);
    mirror::pr_mac_rerank(args.query, args.target, listed.as<int64_t>(), listed.size(1), args.reduction, out,
                          threads(num_threads));
  });
}

// Pooled numbers have the features' type: work(pointer) fills them.
template <class Work>
nb::object pooled_like(const StridedInput& features, const std::vector<int64_t>& shape, const Work& work) {
  size_t count = features.itemsize();
  for (const int64_t length : shape) count *= static_cast<size_t>(length);
  std::unique_ptr<uint8_t[]> memory(new uint8_t[count]);
  unlocked([&] { work(memory.get()); });
  const std::vector<size_t> lengths(shape.begin(), shape.end());
  uint8_t* const owned = memory.release();
  nb::capsule owner(owned, [](void* p) noexcept { delete[] static_cast<uint8_t*>(p); });
  return nb::cast(
      nb::ndarray<nb::numpy>(owned, lengths.size(), lengths.data(), owner, nullptr, features.dtype()));
}

nb::tuple region_max_pool(const StridedInput& features, const Input& boxes, bool with_argmax,
                          int num_threads) {
  constexpr const char* op = "region_max_pool";
  const FeatureMaps maps = bindings::feature_maps(op, strided_view(features), bindings::kPooled);
  const Boxes regions = bindings::boxes_of(view(boxes));
  Output<int32_t> argmax({maps.images, regions.count, with_argmax ? maps.channels : 0});
  const nb::object pooled =
      pooled_like(features, {maps.images, regions.count, maps.channels}, [&](void* out) {
        mirror::region_max_pool(maps, regions, out, with_argmax ? argmax.data() : nullptr,
                                threads(num_threads));
      });
  return nb::make_tuple(pooled, argmax.release());
}

nb::tuple masked_max_pool(const StridedInput& features, const Input& mask, bool with_argmax,
                          int num_threads) {
  constexpr const char* op = "masked_max_pool";
  const FeatureMaps maps = bindings::feature_maps(op, strided_view(features), bindings::kPooled);
  const uint8_t* const cells = bindings::mask_of(view(mask), maps);
  Output<int32_t> argmax({maps.images, with_argmax ? maps.channels : 0});
  const nb::object pooled = pooled_like(features, {maps.images, maps.channels}, [&](void* out) {
    mirror::masked_max_pool(maps, cells, out, with_argmax ? argmax.data() : nullptr, threads(num_threads));
  });
  return nb::make_tuple(pooled, argmax.release());
}

nb::tuple visible_triangles(const Input& triangle_ids, int64_t num_faces, int64_t min_pixels,
                            int num_threads) {
  constexpr const char* op = "visible_triangles";
  const IdMaps maps = bindings::id_maps(op, view(triangle_ids));
  overlap::check_visible(op, num_faces, min_pixels);
  Output<int64_t> bitsets({maps.views, words_of(num_faces)}), counts({maps.views});
  unlocked([&] {
    mirror::visible_triangles(maps, num_faces, min_pixels, reinterpret_cast<uint64_t*>(bitsets.data()),
                              counts.data(), threads(num_threads));
  });
  return nb::make_tuple(bitsets.release(), counts.release());
}

nb::object shared_triangles(const Input& bitsets, const OptionalInput& weights, int num_threads) {
  const Bitsets sets = bindings::bitsets_of("shared_triangles", view(bitsets));
  if (!weights.has_value()) {
    Output<int32_t> shared({sets.views, sets.views});
    unlocked([&] { mirror::shared_triangles(sets, shared.data(), threads(num_threads)); });
    return shared.release();
  }
  const TriangleWeights given = bindings::weights_of(view(*weights));
  Output<double> shared({sets.views, sets.views});
  unlocked([&] { mirror::shared_weights(sets, given, shared.data(), threads(num_threads)); });
  return shared.release();
}

nb::object overlap_masks(const Input& triangle_ids, const Input& bitsets, const Input& pairs, int64_t rows,
                         int64_t columns, bool directed, int num_threads) {
  const bindings::MaskArguments args =
      bindings::mask_arguments(view(triangle_ids), view(bitsets), view(pairs), rows, columns, directed);
  Output<float> coverage(directed ? std::vector<int64_t>{args.pairs.count, rows, columns}
                                  : std::vector<int64_t>{args.pairs.count, 2, rows, columns});
  unlocked([&] {
    mirror::overlap_masks(args.maps, args.sets, args.pairs, args.grid, coverage.data(), threads(num_threads));
  });
  return coverage.release();
}

nb::object morton_order(const Input& vertices, const Input& faces, int num_threads) {
  const bindings::MeshArguments mesh = bindings::mesh_arguments("morton_order", view(vertices), view(faces));
  Output<int32_t> order({mesh.num_faces});
  unlocked([&] {
    mirror::morton_order(mesh.vertices, mesh.scalar, mesh.num_vertices, mesh.faces, mesh.num_faces,
                         order.data(), threads(num_threads));
  });
  return order.release();
}

nb::tuple rasterize(const Input& vertices, const Input& faces, const Input& cam_from_world,
                    const Input& intrinsics, int64_t height, int64_t width, const Input& near, bool cull,
                    bool barycentrics, int num_threads) {
  const bindings::RasterArguments args =
      bindings::raster_arguments("rasterize", view(vertices), view(faces), view(cam_from_world),
                                 view(intrinsics), height, width, view(near));
  const int64_t views = args.cameras.views;
  Output<int32_t> ids({views, height, width});
  Output<float> depth({views, height, width}), weights({views, height, width, barycentrics ? 2 : 0});
  unlocked([&] {
    mirror::rasterize(args.mesh, args.cameras, args.size, cull, ids.data(), depth.data(),
                      barycentrics ? weights.data() : nullptr, threads(num_threads));
  });
  return nb::make_tuple(ids.release(), depth.release(), weights.release());
}

nb::tuple rasterize_visible(const Input& vertices, const Input& faces, const Input& cam_from_world,
                            const Input& intrinsics, int64_t height, int64_t width, const Input& near,
                            bool cull, int64_t min_pixels, int num_threads) {
  constexpr const char* op = "rasterize_visible";
  const bindings::RasterArguments args = bindings::raster_arguments(
      op, view(vertices), view(faces), view(cam_from_world), view(intrinsics), height, width, view(near));
  overlap::check_visible(op, args.mesh.num_faces, min_pixels);
  Output<int64_t> bitsets({args.cameras.views, words_of(args.mesh.num_faces)}), counts({args.cameras.views});
  unlocked([&] {
    mirror::rasterize_visible(args.mesh, args.cameras, args.size, cull, min_pixels,
                              reinterpret_cast<uint64_t*>(bitsets.data()), counts.data(),
                              threads(num_threads));
  });
  return nb::make_tuple(bitsets.release(), counts.release());
}

}  // namespace
}  // namespace mirror::numpy_ops

NB_MODULE(_numpy, m) {
  namespace ops = mirror::numpy_ops;
  m.def("match_kernel", &ops::match_kernel);
  m.def("mutual_matches", &ops::mutual_matches);
  m.def("similarity_support", &ops::similarity_support);
  m.def("region_max_pool", &ops::region_max_pool);
  m.def("masked_max_pool", &ops::masked_max_pool);
  m.def("visible_triangles", &ops::visible_triangles);
  m.def("shared_triangles", &ops::shared_triangles);
  m.def("overlap_masks", &ops::overlap_masks);
  m.def("morton_order", &ops::morton_order);
  m.def("pr_mac", &ops::pr_mac);
  m.def("pr_mac_topk", &ops::pr_mac_topk);
  m.def("pr_mac_rerank", &ops::pr_mac_rerank);
  m.def("rasterize", &ops::rasterize);
  m.def("rasterize_visible", &ops::rasterize_visible);
  m.def("isa_available", [] { return std::string(mirror::isa_name(mirror::isa_available())); });
  m.def("isa_selected", [] { return std::string(mirror::isa_name(mirror::isa_selected())); });
}
