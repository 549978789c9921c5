// The AMX kernel as it is, its tile instructions in software (core/amx_tile.h).
#define MIRROR_AMX_EMULATE
#include "core/pr_mac_amx.cpp"
