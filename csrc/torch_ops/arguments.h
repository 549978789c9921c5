// The arguments of each family of ops, types and shapes checked, as the CPU kernels and their CUDA twins take them.
#pragma once

#include <initializer_list>
#include <string>

#include "bindings/arguments.h"
#include "torch_ops/tensor.h"

namespace mirror::torch_ops {

inline bindings::MatchArguments match_arguments(const char* op, Inputs& in, const Tensor& descriptors,
                                                const OptionalTensor& sizes, const OptionalTensor& other,
                                                const OptionalTensor& other_sizes,
                                                const OptionalTensor& pairs, int64_t depth) {
  return bindings::match_arguments(op, in("descriptors", descriptors), in("sizes", sizes), in("other", other),
                                   in("other_sizes", other_sizes), in("pairs", pairs), depth);
}

inline bindings::SupportArguments support_arguments(
    Inputs& in, const Tensor& keypoints, const OptionalTensor& sizes, const Tensor& diagonals,
    const Tensor& pairs, const Tensor& matches, const Tensor& ratios, const Tensor& offsets,
    const OptionalTensor& other, const OptionalTensor& other_sizes, const OptionalTensor& other_diagonals) {
  return bindings::support_arguments(in("keypoints", keypoints), in("sizes", sizes),
                                     in("diagonals", diagonals), in("pairs", pairs), in("matches", matches),
                                     in("ratios", ratios), in("offsets", offsets), in("other", other),
                                     in("other_sizes", other_sizes), in("other_diagonals", other_diagonals));
}

inline bindings::RegionArguments region_arguments(const char* op, Inputs& in, const Tensor& query,
                                                  const OptionalTensor& target,
                                                  const OptionalTensor& query_sizes,
                                                  const OptionalTensor& target_sizes,
                                                  const std::string& reduction) {
  return bindings::region_arguments(op, in("query", query), in("target", target),
                                    in("query_sizes", query_sizes), in("target_sizes", target_sizes),
                                    reduction);
}

inline bindings::RasterArguments raster_arguments(const char* op, Inputs& in, const Tensor& vertices,
                                                  const Tensor& faces, const Tensor& cam_from_world,
                                                  const Tensor& intrinsics, int64_t height, int64_t width,
                                                  const Tensor& near) {
  return bindings::raster_arguments(op, in("vertices", vertices), in("faces", faces),
                                    in("cam_from_world", cam_from_world), in("intrinsics", intrinsics),
                                    height, width, in("near", near));
}

struct BackwardArguments {
  bindings::RegionArguments regions;
  Array grad, scores, argmax;
};
// `dtypes`: the types of regions that have a gradient on this device.
inline BackwardArguments backward_arguments(const char* op, Inputs& in, const Tensor& grad,
                                            const Tensor& query, const Tensor& target,
                                            const OptionalTensor& query_sizes,
                                            const OptionalTensor& target_sizes, const Tensor& scores,
                                            const Tensor& argmax, const std::string& reduction,
                                            std::initializer_list<DType> dtypes) {
  const Array q = in("query", query);
  const BackwardArguments args{
      bindings::region_arguments(op, q, in("target", target), in("query_sizes", query_sizes),
                                 in("target_sizes", target_sizes), reduction),
      in("grad", grad), in("scores", scores), in("argmax", argmax)};
  const Regions &a = args.regions.query, &b = args.regions.target;
  const std::string pairs = std::to_string(a.images) + ", " + std::to_string(b.images);
  bindings::expect(op, "query", q, dtypes, "[Q, R, C]");
  bindings::expect(op, "grad", args.grad, {args.regions.scores}, "[" + pairs + "]");
  bindings::expect(op, "scores", args.scores, {args.regions.scores}, "[" + pairs + "]");
  bindings::expect(op, "argmax", args.argmax, {DType::kInt32},
                   "[" + pairs + ", " + std::to_string(a.capacity) + "]");
  return args;
}

// A tensor for the gradient of regions.
inline Tensor make_like(const Tensor& query, const Regions& regions) {
  return make(query, {regions.images, regions.capacity, regions.channels}, query.scalar_type());
}

}  // namespace mirror::torch_ops
