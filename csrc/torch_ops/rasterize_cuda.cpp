// The CUDA twin of rasterize.cpp. Values lie on the device and are not checked here.
#include <tuple>

#include "core/overlap_check.h"
#include "mirror/overlap.h"
#include "torch_ops/arguments.h"
#include "torch_ops/cuda.h"

namespace mirror::torch_ops {
namespace {

std::tuple<Tensor, Tensor, Tensor> rasterize(const Tensor& vertices, const Tensor& faces,
                                             const Tensor& cam_from_world, const Tensor& intrinsics,
                                             int64_t height, int64_t width, const Tensor& near, bool cull,
                                             bool barycentrics) {
  Inputs in("rasterize", vertices);
  CudaCall call(vertices);
  const bindings::RasterArguments args =
      raster_arguments("rasterize", in, vertices, faces, cam_from_world, intrinsics, height, width, near);
  const int64_t views = args.cameras.views;
  const Tensor ids = make(vertices, {views, height, width}, ScalarType::Int);
  const Tensor depth = make(vertices, {views, height, width}, ScalarType::Float);
  const Tensor weights = make(vertices, {views, height, width, barycentrics ? 2 : 0}, ScalarType::Float);
  const cuda::Workspace workspace = call.workspace(cuda::rasterize_workspace(args.mesh, views, args.size));
  cuda::rasterize(args.mesh, args.cameras, args.size, cull, data<int32_t>(ids), data<float>(depth),
                  barycentrics ? data<float>(weights) : nullptr, workspace, call.stream());
  return {ids, depth, weights};
}

std::tuple<Tensor, Tensor> rasterize_visible(const Tensor& vertices, const Tensor& faces,
                                             const Tensor& cam_from_world, const Tensor& intrinsics,
                                             int64_t height, int64_t width, const Tensor& near, bool cull,
                                             int64_t min_pixels) {
  constexpr const char* op = "rasterize_visible";
  Inputs in(op, vertices);
  CudaCall call(vertices);
  const bindings::RasterArguments args =
      raster_arguments(op, in, vertices, faces, cam_from_world, intrinsics, height, width, near);
  overlap::check_visible(op, args.mesh.num_faces, min_pixels);
  const int64_t views = args.cameras.views;
  const Tensor bitsets = make(vertices, {views, words_of(args.mesh.num_faces)}, ScalarType::Long);
  const Tensor counts = make(vertices, {views}, ScalarType::Long);
  const cuda::Workspace workspace =
      call.workspace(cuda::rasterize_visible_workspace(args.mesh, views, args.size, min_pixels));
  cuda::rasterize_visible(args.mesh, args.cameras, args.size, cull, min_pixels, data<uint64_t>(bitsets),
                          data<int64_t>(counts), workspace, call.stream());
  return {bitsets, counts};
}

}  // namespace
}  // namespace mirror::torch_ops

STABLE_TORCH_LIBRARY_IMPL(mirror, CUDA, m) {
  m.impl("rasterize", TORCH_BOX(&mirror::torch_ops::rasterize));
  m.impl("rasterize_visible", TORCH_BOX(&mirror::torch_ops::rasterize_visible));
}
