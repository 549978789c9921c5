#include "bindings/arguments.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/overlap_check.h"
#include "core/rasterize_check.h"

namespace mirror::bindings {
namespace {

std::string text(int64_t number) { return std::to_string(number); }

template <class T>
const T* data_or_null(const OptionalArray& array) {
  return array ? array->as<T>() : nullptr;
}

void expect_sizes(const char* op, const char* argument, const OptionalArray& sizes, int64_t images) {
  if (sizes) expect(op, argument, *sizes, {DType::kInt32}, "[" + text(images) + "]");
}

void check_sizes(const char* op, const char* argument, const int32_t* sizes, int64_t images,
                 int64_t capacity) {
  for (int64_t i = 0; sizes != nullptr && i < images; ++i)
    if (sizes[i] < 0 || sizes[i] > capacity)
      fail(op, argument, "sizes 0.." + text(capacity), text(sizes[i]) + " at " + text(i));
}

// pairs [count, 2] = (index into a set of `a` images, index into one of `b`)
void check_pairs(const char* op, const int64_t* pairs, int64_t count, int64_t a, int64_t b) {
  for (int64_t i = 0; i < count; ++i)
    for (int side = 0; side < 2; ++side) {
      const int64_t index = pairs[2 * i + side], images = side == 0 ? a : b;
      if (index >= 0 && index < images) continue;
      const std::string expected = images > 0 ? "indices 0.." + text(images - 1) : "no pairs of no photos";
      fail(op, "pairs", expected + " in column " + text(side), text(index) + " in row " + text(i));
    }
}

// Rows that are read: the first min(size, depth) of every image that occurs in column `side` of the pairs.
void check_descriptors(const char* op, const char* argument, const Descriptors& set,
                       const MatchArguments& arguments, bool first, bool second) {
  std::vector<bool> used(set.images, arguments.pairs == nullptr);
  for (int64_t i = 0; arguments.pairs != nullptr && i < arguments.count; ++i) {
    if (first) used[arguments.pairs[2 * i]] = true;
    if (second) used[arguments.pairs[2 * i + 1]] = true;
  }
  for (int64_t image = 0; image < set.images; ++image) {
    if (!used[image]) continue;
    int64_t rows = set.sizes != nullptr ? set.sizes[image] : set.capacity;
    if (arguments.depth >= 0) rows = std::min(rows, arguments.depth);
    const uint8_t* values = set.data + image * set.capacity * kDescriptorLength;
    uint8_t seen = 0;
    for (int64_t i = 0; i < rows * kDescriptorLength; ++i) seen |= values[i];
    if (seen <= 127) continue;
    const uint8_t* bad =
        std::find_if(values, values + rows * kDescriptorLength, [](uint8_t v) { return v > 127; });
    fail(op, argument, "values 0..127",
         text(*bad) + " in row " + text((bad - values) / kDescriptorLength) + " of photo " + text(image));
  }
}

Descriptors descriptors_of(const char* op, const char* argument, const Array& data,
                           const char* sizes_argument, const OptionalArray& sizes) {
  expect(op, argument, data, {DType::kUInt8}, "[N, n, 128]");
  if (data.size(1) > kMaxFeatures)
    fail(op, argument, "at most " + text(kMaxFeatures) + " features a photo", text(data.size(1)));
  expect_sizes(op, sizes_argument, sizes, data.size(0));
  return {data.as<uint8_t>(), data_or_null<int32_t>(sizes), data.size(0), data.size(1)};
}

void expect_absent(const char* op, const char* argument, const OptionalArray& array, const char* owner) {
  if (array) fail(op, argument, std::string("None without `") + owner + "`", describe(*array));
}

}  // namespace

// ---- match_kernel, mutual_matches -----------------------------------------------------------------------------------

MatchArguments match_arguments(const char* op, const Array& descriptors, const OptionalArray& sizes,
                               const OptionalArray& other, const OptionalArray& other_sizes,
                               const OptionalArray& pairs, int64_t depth) {
  MatchArguments result;
  result.a = result.b = descriptors_of(op, "descriptors", descriptors, "sizes", sizes);
  result.self = !other;
  if (other)
    result.b = descriptors_of(op, "other", *other, "other_sizes", other_sizes);
  else
    expect_absent(op, "other_sizes", other_sizes, "other");
  if (pairs) {
    expect(op, "pairs", *pairs, {DType::kInt64}, "[P, 2]");
    // An empty list may have no memory; the core takes a null pointer for "all pairs".
    static const int64_t none[2] = {};
    result.pairs = pairs->data != nullptr ? pairs->as<int64_t>() : none;
    result.count = pairs->size(0);
  }
  result.depth = depth;
  return result;
}

void check_values(const char* op, const MatchArguments& arguments) {
  const Descriptors &a = arguments.a, &b = arguments.b;
  check_sizes(op, "sizes", a.sizes, a.images, a.capacity);
  if (!arguments.self) check_sizes(op, "other_sizes", b.sizes, b.images, b.capacity);
  check_pairs(op, arguments.pairs, arguments.count, a.images, b.images);
  check_descriptors(op, "descriptors", a, arguments, true, arguments.self);
  if (!arguments.self) check_descriptors(op, "other", b, arguments, false, true);
}

// ---- similarity_support ---------------------------------------------------------------------------------------------

namespace {

constexpr const char* kSupport = "similarity_support";

Keypoints keypoints_of(const char* argument, const Array& data, const char* diagonals_argument,
                       const Array& diagonals) {
  expect(kSupport, argument, data, {DType::kFloat32}, "[N, n, 4]");
  expect(kSupport, diagonals_argument, diagonals, {DType::kFloat32}, "[" + text(data.size(0)) + "]");
  return {data.as<float>(), diagonals.as<float>(), data.size(0), data.size(1)};
}

void check_keypoints(const char* argument, const char* sizes_argument, const char* diagonals_argument,
                     const Keypoints& set, const int32_t* sizes) {
  check_sizes(kSupport, sizes_argument, sizes, set.images, set.capacity);
  for (int64_t image = 0; image < set.images; ++image) {
    if (!(set.diagonals[image] > 0) || !std::isfinite(set.diagonals[image]))
      fail(kSupport, diagonals_argument, "finite numbers above 0",
           std::to_string(set.diagonals[image]) + " at " + text(image));
    const int64_t rows = sizes != nullptr ? sizes[image] : set.capacity;
    for (int64_t row = 0; row < rows; ++row) {
      const float* k = set.data + (image * set.capacity + row) * 4;
      const auto where = " in row " + text(row) + " of photo " + text(image);
      for (int c = 0; c < 4; ++c)
        if (!std::isfinite(k[c])) fail(kSupport, argument, "finite numbers", std::to_string(k[c]) + where);
      if (!(k[2] > 0)) fail(kSupport, argument, "scales above 0", std::to_string(k[2]) + where);
    }
  }
}

}  // namespace

SupportArguments support_arguments(const Array& keypoints, const OptionalArray& sizes, const Array& diagonals,
                                   const Array& pairs, const Array& matches, const Array& ratios,
                                   const Array& offsets, const OptionalArray& other,
                                   const OptionalArray& other_sizes, const OptionalArray& other_diagonals) {
  SupportArguments result;
  result.a = result.b = keypoints_of("keypoints", keypoints, "diagonals", diagonals);
  expect_sizes(kSupport, "sizes", sizes, result.a.images);
  result.sizes = result.other_sizes = data_or_null<int32_t>(sizes);
  if (other) {
    if (!other_diagonals) fail(kSupport, "other_diagonals", "float32 [M] together with `other`", "None");
    result.b = keypoints_of("other", *other, "other_diagonals", *other_diagonals);
    expect_sizes(kSupport, "other_sizes", other_sizes, result.b.images);
    result.other_sizes = data_or_null<int32_t>(other_sizes);
  } else {
    expect_absent(kSupport, "other_sizes", other_sizes, "other");
    expect_absent(kSupport, "other_diagonals", other_diagonals, "other");
  }
  expect(kSupport, "pairs", pairs, {DType::kInt64}, "[P, 2]");
  expect(kSupport, "matches", matches, {DType::kInt32}, "[M, 2]");
  expect(kSupport, "ratios", ratios, {DType::kFloat32}, "[" + text(matches.size(0)) + ", 2]");
  expect(kSupport, "offsets", offsets, {DType::kInt64}, "[" + text(pairs.size(0) + 1) + "]");
  result.pairs = pairs.as<int64_t>();
  result.count = pairs.size(0);
  result.matches = matches.as<int32_t>();
  result.ratios = ratios.as<float>();
  result.total = matches.size(0);
  result.offsets = offsets.as<int64_t>();
  return result;
}

void check_values(const SupportArguments& arguments) {
  const Keypoints &a = arguments.a, &b = arguments.b;
  check_keypoints("keypoints", "sizes", "diagonals", a, arguments.sizes);
  if (b.data != a.data) check_keypoints("other", "other_sizes", "other_diagonals", b, arguments.other_sizes);
  check_pairs(kSupport, arguments.pairs, arguments.count, a.images, b.images);
  const int64_t* offsets = arguments.offsets;
  if (offsets[0] != 0) fail(kSupport, "offsets", "0 first", text(offsets[0]));
  for (int64_t i = 0; i < arguments.count; ++i) {
    if (offsets[i + 1] < offsets[i])
      fail(kSupport, "offsets", "numbers that never fall",
           text(offsets[i + 1]) + " after " + text(offsets[i]));
    if (offsets[i + 1] > arguments.total)
      fail(kSupport, "offsets", "at most " + text(arguments.total) + " (the matches)", text(offsets[i + 1]));
    for (int64_t m = offsets[i]; m < offsets[i + 1]; ++m)
      for (int side = 0; side < 2; ++side) {
        const Keypoints& set = side == 0 ? a : b;
        const int32_t* sizes = side == 0 ? arguments.sizes : arguments.other_sizes;
        const int64_t image = arguments.pairs[2 * i + side];
        const int64_t rows = sizes != nullptr ? sizes[image] : set.capacity;
        const int32_t row = arguments.matches[2 * m + side];
        if (row < 0 || row >= rows)
          fail(kSupport, "matches", "rows 0.." + text(rows - 1) + " of photo " + text(image),
               text(row) + " in match " + text(m));
        const float ratio = arguments.ratios[2 * m + side];
        if (!(ratio >= 0 && ratio <= 1))
          fail(kSupport, "ratios", "numbers 0..1", std::to_string(ratio) + " in match " + text(m));
      }
  }
  if (offsets[arguments.count] != arguments.total)
    fail(kSupport, "offsets", text(arguments.total) + " (the matches) last", text(offsets[arguments.count]));
}

void check_options(const SupportOptions& o) {
  const auto check = [](const char* name, double value) {
    if (!(value >= 0) || !std::isfinite(value))
      fail(kSupport, name, "a finite number >= 0", std::to_string(value));
  };
  check("near", o.near);
  check("far", o.far);
  check("tolerance", o.tolerance);
  check("min_share", o.min_share);
  check("min_support", o.min_support);
  check("weak", o.weak);
}

// ---- pr_mac, pr_mac_topk, pr_mac_rerank -----------------------------------------------------------------------------

namespace {

Reduction reduction_of(const char* op, const std::string& name) {
  constexpr const char* kNames[] = {"cosine", "sqeuclid", "euclid_sum", "euclid_l2", "best", "hausdorff"};
  for (int i = 0; i < 6; ++i)
    if (name == kNames[i]) return static_cast<Reduction>(i);
  fail(op, "reduction", "cosine, sqeuclid, euclid_sum, euclid_l2, best or hausdorff", "'" + name + "'");
}

Scalar scalar_of(DType dtype) {
  switch (dtype) {
    case DType::kFloat64:
      return Scalar::kFloat64;
    case DType::kBFloat16:
      return Scalar::kBFloat16;
    case DType::kFloat16:
      return Scalar::kFloat16;
    default:
      return Scalar::kFloat32;
  }
}

Regions regions_of(const char* op, const char* argument, const Array& data, const std::string& pattern,
                   std::initializer_list<DType> dtypes, const char* sizes_argument,
                   const OptionalArray& sizes) {
  expect(op, argument, data, dtypes, pattern);
  expect_sizes(op, sizes_argument, sizes, data.size(0));
  return {data.data,    data_or_null<int32_t>(sizes), data.size(0), data.size(1),
          data.size(2), scalar_of(data.dtype)};
}

}  // namespace

RegionArguments region_arguments(const char* op, const Array& query, const OptionalArray& target,
                                 const OptionalArray& query_sizes, const OptionalArray& target_sizes,
                                 const std::string& reduction) {
  RegionArguments result;
  result.reduction = reduction_of(op, reduction);
  result.query = result.target = regions_of(
      op, "query", query, "[Q, R, C]", {DType::kFloat32, DType::kFloat64, DType::kBFloat16, DType::kFloat16},
      "query_sizes", query_sizes);
  result.self = !target;
  if (target)
    result.target = regions_of(op, "target", *target, "[T, S, " + text(query.size(2)) + "]", {query.dtype},
                               "target_sizes", target_sizes);
  else
    expect_absent(op, "target_sizes", target_sizes, "target");
  result.scores = query.dtype == DType::kFloat64 ? DType::kFloat64 : DType::kFloat32;
  return result;
}

void check_values(const char* op, const RegionArguments& arguments) {
  const Regions &query = arguments.query, &target = arguments.target;
  check_sizes(op, "query_sizes", query.sizes, query.images, query.capacity);
  if (!arguments.self) check_sizes(op, "target_sizes", target.sizes, target.images, target.capacity);
}

Precision precision_of(const char* op, const std::string& precision) {
  if (precision == "exact") return Precision::kExact;
  if (precision == "bf16") return Precision::kBf16;
  fail(op, "precision", "exact or bf16", "'" + precision + "'");
}

TopKOptions topk_options(int64_t k, const std::string& precision, int64_t margin, bool certified) {
  if (k < 0) fail("pr_mac_topk", "k", "a number >= 0", text(k));
  if (margin < 0) fail("pr_mac_topk", "margin", "a number >= 0", text(margin));
  return {k, precision_of("pr_mac_topk", precision), margin, certified};
}

void expect_candidates(const Array& candidates, const RegionArguments& arguments) {
  expect("pr_mac_rerank", "candidates", candidates, {DType::kInt64},
         "[" + text(arguments.query.images) + ", K]");
}

void check_candidates(const Array& candidates, const RegionArguments& arguments) {
  const int64_t count = candidates.size(0) * candidates.size(1), images = arguments.target.images;
  const int64_t* index = candidates.as<int64_t>();
  for (int64_t i = 0; i < count; ++i)
    if (index[i] < -1 || index[i] >= images)
      fail("pr_mac_rerank", "candidates", "-1 or indices 0.." + text(images - 1),
           text(index[i]) + " for query " + text(i / candidates.size(1)));
}

// ---- region_max_pool, masked_max_pool --------------------------------------------------------------------------------

FeatureMaps feature_maps(const char* op, const Array& features, std::initializer_list<DType> dtypes) {
  expect(op, "features", features, dtypes, "[B, C, H, W]");
  FeatureMaps maps{features.data,
                   features.size(0),
                   features.size(1),
                   features.size(2),
                   features.size(3),
                   {},
                   scalar_of(features.dtype)};
  int64_t dense = 1;
  for (int i = 3; i >= 0; dense *= features.size(i), --i)
    maps.strides[i] = features.strides.empty() ? dense : features.strides[static_cast<size_t>(i)];
  return maps;
}

Boxes boxes_of(const Array& boxes) {
  expect("region_max_pool", "boxes", boxes, {DType::kInt64, DType::kInt32}, "[R, 4]");
  return {boxes.data, boxes.size(0), boxes.dtype == DType::kInt32};
}

const uint8_t* mask_of(const Array& mask, const FeatureMaps& features) {
  expect("masked_max_pool", "mask", mask, {DType::kBool, DType::kUInt8},
         "[" + text(features.images) + ", " + text(features.height) + ", " + text(features.width) + "]");
  return mask.as<uint8_t>();
}

// ---- visible_triangles, shared_triangles, overlap_masks, morton_order -----------------------------------------------

IdMaps id_maps(const char* op, const Array& triangle_ids) {
  expect(op, "triangle_ids", triangle_ids, {DType::kInt32}, "[N, H, W]");
  const IdMaps maps{triangle_ids.as<int32_t>(), triangle_ids.size(0), triangle_ids.size(1),
                    triangle_ids.size(2)};
  overlap::check_maps(op, maps);
  return maps;
}

Bitsets bitsets_of(const char* op, const Array& bitsets) {
  expect(op, "bitsets", bitsets, {DType::kInt64}, "[N, words]");
  const Bitsets sets{bitsets.as<uint64_t>(), bitsets.size(0), bitsets.size(1)};
  overlap::check_sets(op, sets);
  return sets;
}

TriangleWeights weights_of(const Array& weights) {
  expect("shared_triangles", "weights", weights, {DType::kFloat32, DType::kFloat64}, "[F]");
  return {weights.data, weights.size(0), scalar_of(weights.dtype)};
}

MaskArguments mask_arguments(const Array& triangle_ids, const Array& bitsets, const Array& pairs,
                             int64_t rows, int64_t columns, bool directed) {
  constexpr const char* op = "overlap_masks";
  MaskArguments result{id_maps(op, triangle_ids), bitsets_of(op, bitsets), {}, {rows, columns}};
  expect(op, "pairs", pairs, {DType::kInt64}, "[P, 2]");
  result.pairs = {pairs.as<int64_t>(), pairs.size(0), directed};
  overlap::check_grid(result.grid);
  return result;
}

MeshArguments mesh_arguments(const char* op, const Array& vertices, const Array& faces) {
  expect(op, "vertices", vertices, {DType::kFloat32, DType::kFloat64}, "[V, 3]");
  expect(op, "faces", faces, {DType::kInt32}, "[F, 3]");
  return {vertices.data, scalar_of(vertices.dtype), vertices.size(0), faces.as<int32_t>(), faces.size(0)};
}

RasterArguments raster_arguments(const char* op, const Array& vertices, const Array& faces,
                                 const Array& cam_from_world, const Array& intrinsics, int64_t height,
                                 int64_t width, const Array& near) {
  const MeshArguments mesh = mesh_arguments(op, vertices, faces);
  expect(op, "cam_from_world", cam_from_world, {DType::kFloat32, DType::kFloat64}, "[N, 3, 4]");
  const int64_t views = cam_from_world.size(0);
  expect(op, "intrinsics", intrinsics, {DType::kFloat32, DType::kFloat64}, "[" + text(views) + ", 4]");
  expect(op, "near", near, {DType::kFloat64}, "[" + text(views) + "]");
  const RasterSize size{height, width};
  raster::check_size(op, size);
  return {{mesh.vertices, mesh.scalar, mesh.num_vertices, mesh.faces, mesh.num_faces},
          {cam_from_world.data, scalar_of(cam_from_world.dtype), intrinsics.data, scalar_of(intrinsics.dtype),
           near.as<double>(), views},
          size};
}

}  // namespace mirror::bindings
