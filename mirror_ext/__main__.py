"""`python -m mirror_ext`: one line for every part, and why something is not there."""

import contextlib

from ._build_info import build_info


def main() -> None:
    with contextlib.suppress(ImportError):  # the reason is in build_info()["loaded"], or torch is not installed
        from . import _library  # noqa: F401
    info = build_info()
    print(f"mirror_ext {info['version'] or '(not built)'}, {info['compiler'] or 'no compiler'}, {info['build_type']}")
    for part, state in info["parts"].items():
        loaded = info["loaded"][part]
        print(f"{part:6s} {state}; {'loaded' if loaded is True else loaded}")
    print(f"isa    {info['isa_selected']} selected of {', '.join(info['isa_levels']) or 'none'} (MIRROR_ISA)")


if __name__ == "__main__":
    main()
