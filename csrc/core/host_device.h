// Functions that kernels and the CPU share.
#pragma once

#if defined(__CUDACC__)
#define MIRROR_HOST_DEVICE __host__ __device__
#define MIRROR_NOINLINE __noinline__
#else
#define MIRROR_HOST_DEVICE
#define MIRROR_NOINLINE
#endif
