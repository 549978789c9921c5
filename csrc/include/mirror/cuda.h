// The ops on CUDA. The same contracts as in match_kernel.h, pr_mac.h, similarity_support.h, pooling.h, overlap.h and
// rasterize.h, but for:
//   pointers   device memory, of the current device; vectors and descriptors aligned to 16 bytes
//   stream     work is enqueued and the call returns; nothing synchronises (but read_back)
//   workspace  scratch memory of the caller, at least <op>_workspace(...) bytes, aligned to 256, free for reuse by later
//              work on the same stream
//   errors     std::invalid_argument for arguments, std::runtime_error with CUDA's own words for a failed launch
//   values     are not checked (they lie on the device): sizes, pairs, candidates and offsets must be in range
// Integer ops give the CPU's bits. pr_mac on float32 sums every product in the CPU's order. Its bfloat16 and float16
// vectors go through tensor cores (float32 sums, in the hardware's order; scores within 2e-3), except where argmax is
// asked for and in pr_mac_rerank, which widen them to float32. Max pooling, rasterising and
// overlap give the CPU's bits in every type, float64 too.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mirror/match_kernel.h"
#include "mirror/overlap.h"
#include "mirror/pooling.h"
#include "mirror/pr_mac.h"
#include "mirror/rasterize.h"
#include "mirror/similarity_support.h"

struct CUstream_st;  // cudaStream_t is a pointer to it

namespace mirror {
namespace cuda {

using Stream = CUstream_st*;

struct Workspace {
  void* data = nullptr;
  size_t bytes = 0;
};

// Makes a device current for this library: its CUDA runtime is its own.
void use_device(int device);

// Waits for the stream's work and reads one number. The only function that synchronises.
int64_t read_back(const int64_t* value, Stream stream);

// ---- match_kernel.h -------------------------------------------------------------------------------------------------

// Serves all the functions of this section.
size_t match_kernel_workspace(const Descriptors& a, const Descriptors& b, int64_t depth);

void match_kernel(const Descriptors& a, const Descriptors& b, int64_t depth, float* scores,
                  const Workspace& workspace, Stream stream);
void match_kernel_self(const Descriptors& photos, int64_t depth, float* scores, const Workspace& workspace,
                       Stream stream);
void match_kernel_pairs(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                        int64_t depth, float* scores, const Workspace& workspace, Stream stream);

// mutual_matches in two steps, because only the first can tell how much room the second needs:
//   offsets [count + 1] out; the caller reads offsets[count] = M and makes room;
//   matches [M, 2], ratios [M, 2] out.
void mutual_matches_offsets(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                            int64_t depth, float max_ratio, int64_t* offsets, const Workspace& workspace,
                            Stream stream);
void mutual_matches_fill(const Descriptors& a, const Descriptors& b, const int64_t* pairs, int64_t count,
                         int64_t depth, float max_ratio, const int64_t* offsets, int32_t* matches,
                         float* ratios, const Workspace& workspace, Stream stream);

// ---- similarity_support.h -------------------------------------------------------------------------------------------

// `total` = offsets[count], the number of matches of all pairs.
size_t similarity_support_workspace(int64_t total);
void similarity_support(const Keypoints& a, const Keypoints& b, const int64_t* pairs, int64_t count,
                        const int32_t* matches, const float* ratios, const int64_t* offsets, int64_t total,
                        const SupportOptions& options, float* evidence, uint8_t* good,
                        const Workspace& workspace, Stream stream);

// ---- pr_mac.h -------------------------------------------------------------------------------------------------------

constexpr int64_t kMaxTopK = 4096;  // largest k (with its margin) of pr_mac_topk

size_t pr_mac_workspace(const Regions& query, const Regions& target, Precision precision, bool with_argmax);
void pr_mac(const Regions& query, const Regions& target, Reduction reduction, Precision precision,
            float* scores, int32_t* argmax, const Workspace& workspace, Stream stream);
void pr_mac_self(const Regions& images, Reduction reduction, Precision precision, float* scores,
                 int32_t* argmax, const Workspace& workspace, Stream stream);

// Never more than 2048 x 2048 scores at a time lie in the workspace (twice for the self-join), whatever the number of
// images. `certified` computes everything in the vectors' own precision, without a first pass.
size_t pr_mac_topk_workspace(const Regions& query, const Regions& target, const TopKOptions& options);
void pr_mac_topk(const Regions& query, const Regions& target, Reduction reduction, const TopKOptions& options,
                 float* values, int64_t* indices, const Workspace& workspace, Stream stream);
void pr_mac_topk_self(const Regions& images, Reduction reduction, const TopKOptions& options, float* values,
                      int64_t* indices, const Workspace& workspace, Stream stream);

size_t pr_mac_rerank_workspace(const Regions& query, const Regions& target);
void pr_mac_rerank(const Regions& query, const Regions& target, const int64_t* candidates, int64_t count,
                   Reduction reduction, float* scores, const Workspace& workspace, Stream stream);

// float32 only.
size_t pr_mac_backward_workspace(const Regions& query, const Regions& target);
void pr_mac_backward(const Regions& query, const Regions& target, Reduction reduction, const float* grad,
                     const float* scores, const int32_t* argmax, float* grad_query, float* grad_target,
                     const Workspace& workspace, Stream stream);

// ---- pooling.h ------------------------------------------------------------------------------------------------------

// Features need no alignment beyond their type's. Of a box that leaves the map only the part inside counts; a box without
// any cell gives NaN and the argmax -1, which has no gradient.
void region_max_pool(const FeatureMaps& features, const Boxes& boxes, void* pooled, int32_t* argmax,
                     Stream stream);
void masked_max_pool(const FeatureMaps& features, const uint8_t* mask, void* pooled, int32_t* argmax,
                     Stream stream);

// gradient: dense, its dimensions in any order.
void max_pool_backward(const void* grad, const int32_t* argmax, int64_t boxes, const FeatureMaps& gradient,
                       Stream stream);

// ---- overlap.h ------------------------------------------------------------------------------------------------------

// Ids and bits outside the triangles are left out; indices of pairs must be in range.
size_t visible_triangles_workspace(const IdMaps& maps, int64_t num_faces, int64_t min_pixels);
void visible_triangles(const IdMaps& maps, int64_t num_faces, int64_t min_pixels, uint64_t* bitsets,
                       int64_t* counts, const Workspace& workspace, Stream stream);
void shared_triangles(const Bitsets& sets, int32_t* shared, Stream stream);
void shared_weights(const Bitsets& sets, const TriangleWeights& weights, double* shared, Stream stream);
void overlap_masks(const IdMaps& maps, const Bitsets& sets, const ViewPairs& pairs, const Grid& grid,
                   float* coverage, Stream stream);

// ---- rasterize.h ----------------------------------------------------------------------------------------------------

// A few views at a time lie in the workspace. Faces with an index that is no vertex's own no pixel; what a camera that
// is not finite sees is nothing.
size_t rasterize_workspace(const Mesh& mesh, int64_t views, const RasterSize& size);
void rasterize(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
               int32_t* triangle_ids, float* depth, float* barycentrics, const Workspace& workspace,
               Stream stream);
size_t rasterize_visible_workspace(const Mesh& mesh, int64_t views, const RasterSize& size,
                                   int64_t min_pixels);
void rasterize_visible(const Mesh& mesh, const Cameras& cameras, const RasterSize& size, bool cull,
                       int64_t min_pixels, uint64_t* bitsets, int64_t* counts, const Workspace& workspace,
                       Stream stream);

}  // namespace cuda
}  // namespace mirror
