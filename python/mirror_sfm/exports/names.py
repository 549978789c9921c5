"""Which names of photos a format can carry."""

from __future__ import annotations

from collections.abc import Sequence

# COLMAP's databases and JSON hold any text; AliceVision and openMVG are told numbers.
ANY_NAME = frozenset(("jsonl", "colmap", "alicevision", "openmvg"))


def unsafe_name(name: str, formats: Sequence[str] = ("pairs",)) -> str | None:
    """Why a photo of this name cannot be in files of these formats, or None.

    A list of pairs is read by many programs: COLMAP skips a line of three words silently, takes a leading '#' for a
    comment and a byte order mark for a part of the name; hloc splits at any white space. kapture separates by commas.
    """
    listed = [name_of for name_of in formats if name_of not in ANY_NAME]
    if any("\ud800" <= c <= "\udfff" for c in name):
        return "its name holds bytes that are not UTF-8, which no other program reads; rename it"
    if "\0" in name:
        return "its name holds white space or control characters, which pair lists cannot carry; rename it"
    if listed and any(c.isspace() or not c.isprintable() for c in name.replace("\ufeff", "\0")):
        return "its name holds white space or control characters, which pair lists cannot carry; rename it"
    if listed and name.startswith("#"):
        return "its name starts with '#', which pair lists take for a comment; rename it"
    if "kapture" in listed and "," in name:
        return "its name holds a comma, which kapture's tables cannot carry; rename it"
    if "hloc-h5" in listed and not _hdf5_path(name):
        return "its name holds parts that are empty or '.', which HDF5 leaves out; rename it"
    return None


def _hdf5_path(name: str) -> bool:
    return all(part not in ("", ".") for part in name.split("/"))
