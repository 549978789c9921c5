// Embree at its best for pictures: packets of eight rays through neighbouring pixels, told to be coherent. One thread.
#include <embree3/rtcore.h>

#include <cstdint>
#include <cstring>
#include <limits>

namespace {
struct Scene {
  RTCDevice device;
  RTCScene scene;
};
constexpr int kLanes = 8, kWide = 4;  // a packet is 4 x 2 pixels
}  // namespace

// vertices [V, 3], faces [F, 3]
extern "C" void* packets_build(const float* vertices, int64_t num_vertices, const int32_t* faces,
                               int64_t num_faces) {
  auto* made = new Scene;
  made->device = rtcNewDevice("threads=1");
  made->scene = rtcNewScene(made->device);
  rtcSetSceneBuildQuality(made->scene, RTC_BUILD_QUALITY_HIGH);
  const RTCGeometry mesh = rtcNewGeometry(made->device, RTC_GEOMETRY_TYPE_TRIANGLE);
  const size_t corners = 3 * sizeof(float), indices = 3 * sizeof(uint32_t);
  std::memcpy(
      rtcSetNewGeometryBuffer(mesh, RTC_BUFFER_TYPE_VERTEX, 0, RTC_FORMAT_FLOAT3, corners, num_vertices),
      vertices, corners * num_vertices);
  std::memcpy(rtcSetNewGeometryBuffer(mesh, RTC_BUFFER_TYPE_INDEX, 0, RTC_FORMAT_UINT3, indices, num_faces),
              faces, indices * num_faces);
  rtcCommitGeometry(mesh);
  rtcAttachGeometry(made->scene, mesh);
  rtcReleaseGeometry(mesh);
  rtcCommitScene(made->scene);
  return made;
}

// way_of_pixel [3, 3]: the direction of the ray through (x, y) is way_of_pixel (x, y, 1); centre [3]; ids [height, width]
extern "C" void packets_draw(void* made, const float* way_of_pixel, const float* centre, int32_t height,
                             int32_t width, int32_t* ids) {
  RTCIntersectContext context;
  rtcInitIntersectContext(&context);
  context.flags = RTC_INTERSECT_CONTEXT_FLAG_COHERENT;
  const float* const m = way_of_pixel;
  for (int32_t top = 0; top < height; top += kLanes / kWide)
    for (int32_t left = 0; left < width; left += kWide) {
      alignas(32) int valid[kLanes];
      alignas(32) RTCRayHit8 rays;
      for (int k = 0; k < kLanes; ++k) {
        const int32_t column = left + k % kWide, row = top + k / kWide;
        const float x = column + 0.5f, y = row + 0.5f;
        valid[k] = column < width && row < height ? -1 : 0;
        rays.ray.org_x[k] = centre[0], rays.ray.org_y[k] = centre[1], rays.ray.org_z[k] = centre[2];
        rays.ray.dir_x[k] = m[0] * x + m[1] * y + m[2];
        rays.ray.dir_y[k] = m[3] * x + m[4] * y + m[5];
        rays.ray.dir_z[k] = m[6] * x + m[7] * y + m[8];
        rays.ray.tnear[k] = 0, rays.ray.tfar[k] = std::numeric_limits<float>::infinity();
        rays.ray.time[k] = 0, rays.ray.mask[k] = ~0u, rays.ray.flags[k] = 0;
        rays.hit.geomID[k] = rays.hit.primID[k] = rays.hit.instID[0][k] = RTC_INVALID_GEOMETRY_ID;
      }
      rtcIntersect8(valid, static_cast<Scene*>(made)->scene, &context, &rays);
      for (int k = 0; k < kLanes; ++k)
        if (valid[k]) {
          const bool hit = rays.hit.geomID[k] != RTC_INVALID_GEOMETRY_ID;
          ids[int64_t{top + k / kWide} * width + left + k % kWide] =
              hit ? static_cast<int32_t>(rays.hit.primID[k]) : -1;
        }
    }
}
