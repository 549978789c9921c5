// The CUDA twin of overlap.cpp. Values lie on the device and are not checked here.
#include <tuple>

#include "core/overlap_check.h"
#include "torch_ops/arguments.h"
#include "torch_ops/cuda.h"

namespace mirror::torch_ops {
namespace {

std::tuple<Tensor, Tensor> visible_triangles(const Tensor& triangle_ids, int64_t num_faces,
                                             int64_t min_pixels) {
  constexpr const char* op = "visible_triangles";
  Inputs in(op, triangle_ids);
  CudaCall call(triangle_ids);
  const IdMaps maps = bindings::id_maps(op, in("triangle_ids", triangle_ids));
  overlap::check_visible(op, num_faces, min_pixels);
  const Tensor bitsets = make(triangle_ids, {maps.views, words_of(num_faces)}, ScalarType::Long);
  const Tensor counts = make(triangle_ids, {maps.views}, ScalarType::Long);
  const cuda::Workspace workspace =
      call.workspace(cuda::visible_triangles_workspace(maps, num_faces, min_pixels));
  cuda::visible_triangles(maps, num_faces, min_pixels, data<uint64_t>(bitsets), data<int64_t>(counts),
                          workspace, call.stream());
  return {bitsets, counts};
}

Tensor shared_triangles(const Tensor& bitsets, const OptionalTensor& weights) {
  constexpr const char* op = "shared_triangles";
  Inputs in(op, bitsets);
  CudaCall call(bitsets);
  const Bitsets sets = bindings::bitsets_of(op, in("bitsets", bitsets));
  const std::optional<Array> given = in("weights", weights);
  const Tensor shared = make(bitsets, {sets.views, sets.views}, given ? ScalarType::Double : ScalarType::Int);
  if (given)
    cuda::shared_weights(sets, bindings::weights_of(*given), data<double>(shared), call.stream());
  else
    cuda::shared_triangles(sets, data<int32_t>(shared), call.stream());
  return shared;
}

Tensor overlap_masks(const Tensor& triangle_ids, const Tensor& bitsets, const Tensor& pairs, int64_t rows,
                     int64_t columns, bool directed) {
  Inputs in("overlap_masks", triangle_ids);
  CudaCall call(triangle_ids);
  const bindings::MaskArguments args = bindings::mask_arguments(
      in("triangle_ids", triangle_ids), in("bitsets", bitsets), in("pairs", pairs), rows, columns, directed);
  const int64_t count = args.pairs.count;
  const Tensor coverage = directed ? make(triangle_ids, {count, rows, columns}, ScalarType::Float)
                                   : make(triangle_ids, {count, 2, rows, columns}, ScalarType::Float);
  cuda::overlap_masks(args.maps, args.sets, args.pairs, args.grid, data<float>(coverage), call.stream());
  return coverage;
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CUDA, m) {
  m.impl("visible_triangles", TORCH_BOX(&mirror::torch_ops::visible_triangles));
  m.impl("shared_triangles", TORCH_BOX(&mirror::torch_ops::shared_triangles));
  m.impl("overlap_masks", TORCH_BOX(&mirror::torch_ops::overlap_masks));
}
