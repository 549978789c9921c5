"""Results of the kind that the arguments were."""

from typing import Any

import numpy as np


def like(given: Any, result: Any) -> Any:
    """`result` as an array where `given` is one, and as a tensor where it is a tensor."""
    if isinstance(given, np.ndarray):
        return result if isinstance(result, np.ndarray) else result.numpy()
    import torch

    return torch.as_tensor(result)
