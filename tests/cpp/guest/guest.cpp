// How a structure-from-motion library would offer mirror's ops to Python: pybind11 around mirror::core, on its own
// threads and without torch.
#include <mirror/match_kernel.h>
#include <mirror/pr_mac.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <stdexcept>

#include "pool.h"

namespace py = pybind11;

namespace {

template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

// scores [N, N] of descriptors [N, n, 128] with sizes [N]
Array<float> match_kernel(guest::Pool& pool, const Array<uint8_t>& descriptors, const Array<int32_t>& sizes) {
  if (descriptors.ndim() != 3 || descriptors.shape(2) != 128 || sizes.ndim() != 1 ||
      sizes.shape(0) != descriptors.shape(0))
    throw std::invalid_argument("match_kernel: expected descriptors [N, n, 128] and sizes [N]");
  const mirror::Descriptors photos{descriptors.data(), sizes.data(), descriptors.shape(0),
                                   descriptors.shape(1)};
  Array<float> scores({photos.images, photos.images});
  float* out = scores.mutable_data();
  const py::gil_scoped_release unlocked;
  mirror::match_kernel_self(photos, -1, out, pool.parallel());
  return scores;
}

mirror::Regions regions(const Array<float>& vectors) {
  if (vectors.ndim() != 3) throw std::invalid_argument("pr_mac: expected regions [N, R, C]");
  mirror::Regions result;
  result.data = vectors.data();
  result.images = vectors.shape(0);
  result.capacity = vectors.shape(1);
  result.channels = vectors.shape(2);
  return result;
}

// scores [Q, T] of query [Q, R, C] and target [T, S, C]
Array<float> pr_mac(guest::Pool& pool, const Array<float>& query, const Array<float>& target) {
  const mirror::Regions q = regions(query), t = regions(target);
  if (q.channels != t.channels)
    throw std::invalid_argument("pr_mac: expected as many channels in query and target");
  Array<float> scores({q.images, t.images});
  float* out = scores.mutable_data();
  const py::gil_scoped_release unlocked;
  mirror::pr_mac(q, t, mirror::Reduction::kCosine, mirror::Precision::kExact, out, nullptr, pool.parallel());
  return scores;
}

}  // namespace

PYBIND11_MODULE(guest, module) {
  py::class_<guest::Pool>(module, "Pool")
      .def(py::init<int>(), py::arg("threads"))
      .def("used", &guest::Pool::used)
      .def("match_kernel", &match_kernel, py::arg("descriptors"), py::arg("sizes"))
      .def("pr_mac", &pr_mac, py::arg("query"), py::arg("target"));
}
