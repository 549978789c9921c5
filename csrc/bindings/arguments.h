// What both bindings check before they call the core, one struct and two functions per family of ops:
//   <family>_arguments   types and shapes; touches no value, so it serves every device
//   check_values         values the core relies on: ranges, indices, order. Host memory only
// All of them throw std::invalid_argument with one sentence (array.h).
#pragma once

#include <initializer_list>
#include <optional>
#include <string>

#include "bindings/array.h"
#include "mirror/match_kernel.h"
#include "mirror/overlap.h"
#include "mirror/pooling.h"
#include "mirror/pr_mac.h"
#include "mirror/rasterize.h"
#include "mirror/similarity_support.h"

namespace mirror::bindings {

using OptionalArray = std::optional<Array>;

struct MatchArguments {
  Descriptors a, b;                // b = a where there is no second set
  bool self = false;               // no second set
  const int64_t* pairs = nullptr;  // [count, 2] or nullptr: all pairs
  int64_t count = 0;
  int64_t depth = -1;  // < 0: all features
};
MatchArguments match_arguments(const char* op, const Array& descriptors, const OptionalArray& sizes,
                               const OptionalArray& other, const OptionalArray& other_sizes,
                               const OptionalArray& pairs, int64_t depth);
// Only rows that the op reads are looked at.
void check_values(const char* op, const MatchArguments& arguments);

struct SupportArguments {
  Keypoints a, b;
  const int32_t *sizes = nullptr, *other_sizes = nullptr;  // [images]; nullptr: every row is a key point
  const int64_t* pairs = nullptr;                          // [count, 2]
  int64_t count = 0;
  const int32_t* matches = nullptr;  // [total, 2]
  const float* ratios = nullptr;     // [total, 2]
  int64_t total = 0;
  const int64_t* offsets = nullptr;  // [count + 1]
};
SupportArguments support_arguments(const Array& keypoints, const OptionalArray& sizes, const Array& diagonals,
                                   const Array& pairs, const Array& matches, const Array& ratios,
                                   const Array& offsets, const OptionalArray& other,
                                   const OptionalArray& other_sizes, const OptionalArray& other_diagonals);
void check_values(const SupportArguments& arguments);
void check_options(const SupportOptions& options);

struct RegionArguments {
  Regions query, target;  // target = query where there is none
  bool self = false;
  Reduction reduction = Reduction::kCosine;
  DType scores = DType::kFloat32;  // float64 for float64 regions, float32 otherwise
};
RegionArguments region_arguments(const char* op, const Array& query, const OptionalArray& target,
                                 const OptionalArray& query_sizes, const OptionalArray& target_sizes,
                                 const std::string& reduction);
void check_values(const char* op, const RegionArguments& arguments);

Precision precision_of(const char* op, const std::string& precision);
TopKOptions topk_options(int64_t k, const std::string& precision, int64_t margin, bool certified);

// Shape of `candidates`, and (check_candidates, host memory) that every index is -1 or a target's.
void expect_candidates(const Array& candidates, const RegionArguments& arguments);
void check_candidates(const Array& candidates, const RegionArguments& arguments);

// ---- region_max_pool, masked_max_pool: the core checks the boxes' values itself --------------------------------------

constexpr std::initializer_list<DType> kPooled = {DType::kFloat32, DType::kFloat64, DType::kBFloat16,
                                                  DType::kFloat16};
// `features` may have strides. `dtypes`: what is pooled on this device.
FeatureMaps feature_maps(const char* op, const Array& features, std::initializer_list<DType> dtypes);
Boxes boxes_of(const Array& boxes);
const uint8_t* mask_of(const Array& mask, const FeatureMaps& features);

// ---- visible_triangles, shared_triangles, overlap_masks, morton_order: the core checks the values -------------------

IdMaps id_maps(const char* op, const Array& triangle_ids);
Bitsets bitsets_of(const char* op, const Array& bitsets);
TriangleWeights weights_of(const Array& weights);

struct MaskArguments {
  IdMaps maps;
  Bitsets sets;
  ViewPairs pairs;
  Grid grid;
};
MaskArguments mask_arguments(const Array& triangle_ids, const Array& bitsets, const Array& pairs,
                             int64_t rows, int64_t columns, bool directed);

struct MeshArguments {
  const void* vertices = nullptr;  // [num_vertices, 3]
  Scalar scalar = Scalar::kFloat32;
  int64_t num_vertices = 0;
  const int32_t* faces = nullptr;  // [num_faces, 3]
  int64_t num_faces = 0;
};
MeshArguments mesh_arguments(const char* op, const Array& vertices, const Array& faces);

// ---- rasterize, rasterize_visible: the core checks the values --------------------------------------------------------

struct RasterArguments {
  Mesh mesh;
  Cameras cameras;
  RasterSize size;
};
RasterArguments raster_arguments(const char* op, const Array& vertices, const Array& faces,
                                 const Array& cam_from_world, const Array& intrinsics, int64_t height,
                                 int64_t width, const Array& near);

}  // namespace mirror::bindings
