// The AMX kernel as it is, its tile instructions in software (core/amx_tile.h).
#define MIRROR_AMX_EMULATE
#include "core/match_kernel_amx.cpp"
