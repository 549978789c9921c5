"""The size of a grid, as the ops take it: one number for both sides, or (rows, columns)."""


def grid_of(op: str, size: int | tuple[int, int]) -> tuple[int, int]:
    """(rows, columns)."""
    if not isinstance(size, (tuple, list)):
        return size, size
    if len(size) != 2:
        raise ValueError(f"{op}: size: expected a number or (rows, columns), got {tuple(size)}")
    return size[0], size[1]
