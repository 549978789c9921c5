"""`python -m mirror_sfm` is `mirror-sfm`."""

from mirror_sfm.cli import main

main()
