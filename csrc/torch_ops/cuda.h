// Torch's side of a CUDA op: its device made current, its stream, scratch memory from its allocator.
#pragma once

#include <torch/csrc/stable/accelerator.h>

#include "mirror/cuda.h"
#include "torch_ops/tensor.h"

namespace mirror::torch_ops {

class CudaCall {
 public:
  explicit CudaCall(const Tensor& like) : like_(like), guard_(like.get_device_index()) {
    cuda::use_device(like.get_device_index());
    void* stream = nullptr;
    STABLE_TORCH_ERROR_CODE_CHECK(aoti_torch_get_current_cuda_stream(like.get_device_index(), &stream));
    stream_ = static_cast<cuda::Stream>(stream);
  }

  cuda::Stream stream() const { return stream_; }

  // Belongs to the stream: torch hands it out again only to work that comes after.
  cuda::Workspace workspace(size_t bytes) {
    memory_.push_back(make(like_, {static_cast<int64_t>(bytes)}, ScalarType::Byte));
    return {memory_.back().mutable_data_ptr(), bytes};
  }

 private:
  Tensor like_;
  torch::stable::accelerator::DeviceGuard guard_;
  cuda::Stream stream_ = nullptr;
  std::vector<Tensor> memory_;
};

}  // namespace mirror::torch_ops
