"""Rendered scenes whose cameras, surface and overlap are known: for trying things out, for tests and for training.

`make_scene` does all of it. The parts serve on their own: patches (`surfaces`, `shapes`) and pictures (`pictures`)
make a surface, `illuminate` puts it into light, `render` and `develop` take a photo of it, from poses of `paths`.
"""

from mirror_sfm.synthetic.export import make_lit, make_path, make_scene
from mirror_sfm.synthetic.kinds import KINDS
from mirror_sfm.synthetic.lighting import Lamp, Lights, Lit, illuminate, sky, sun
from mirror_sfm.synthetic.rendering import RenderOptions, develop, render
from mirror_sfm.synthetic.surfaces import Patch, Surface, assemble

__all__ = [
    "KINDS",
    "Lamp",
    "Lights",
    "Lit",
    "Patch",
    "RenderOptions",
    "Surface",
    "assemble",
    "develop",
    "illuminate",
    "make_lit",
    "make_path",
    "make_scene",
    "render",
    "sky",
    "sun",
]
