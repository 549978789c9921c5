"""NetVLAD: every cell of a map shares what it differs by from a few learned centres.

    x_p = L2(F[:, p]);  a_k = softmax_k(w_k . x + b_k);  V_k = sum_p a_k(x_p) (x_p - c_k);  out = L2(concat_k L2(V_k))

Arandjelovic et al., *NetVLAD: CNN Architecture for Weakly Supervised Place Recognition*, CVPR 2016. The map is taken
before the last ReLU.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mirror_sfm.descriptors.aggregation import expect_maps
from mirror_sfm.descriptors.arguments import expect_shape, fail
from mirror_sfm.descriptors.whitening import unit


class NetVlad(nn.Module):
    """Maps [B, C, H, W] -> [B, K C] unit vectors, cluster by cluster; to be whitened.

    Parameters: centres [K, C], weight [K, C], bias [K]. They are independent once training starts.
    """

    def __init__(self, centres: Tensor, weight: Tensor, bias: Tensor):
        super().__init__()
        expect_shape("NetVlad", "centres", centres, "K", "C")
        expect_shape("NetVlad", "weight", weight, *centres.shape)
        expect_shape("NetVlad", "bias", bias, len(centres))
        self.centres = nn.Parameter(centres.detach().clone())
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())

    @classmethod
    def from_centres(cls, centres: Tensor, alpha: float) -> NetVlad:
        """Assignment by distance: w_k = 2 alpha c_k, b_k = -alpha |c_k|^2; larger alpha decides more sharply.

        Args:
            centres: [K, C], for example k-means of unit vectors of cells.
            alpha: > 0.
        """
        if not alpha > 0:
            fail("NetVlad", "alpha", "a number > 0", alpha)
        return cls(centres, 2 * alpha * centres, -alpha * centres.square().sum(dim=1))

    def forward(self, features: Tensor) -> Tensor:
        clusters, channels = self.centres.shape
        if expect_maps("NetVlad", features).shape[1] != channels:
            fail("NetVlad", "features", f"[B, {channels}, H, W]", list(features.shape))
        x = unit(features.flatten(2).transpose(1, 2))  # [B, P, C]
        share = torch.softmax(x @ self.weight.T + self.bias, dim=2)  # [B, P, K]
        residuals = share.transpose(1, 2) @ x - share.sum(dim=1)[:, :, None] * self.centres
        return unit(unit(residuals).reshape(-1, clusters * channels))
