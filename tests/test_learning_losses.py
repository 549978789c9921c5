"""The losses of the paper: golden numbers, the triple loop, gradients, and what must stay finite."""

import dataclasses
import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from mirror_sfm.learning.losses import (  # noqa: E402
    TERMS,
    LossOptions,
    MaskedPair,
    anchor_swap_loss,
    batch_loss,
    other_columns,
    pair_distance,
    triplet_loss,
)

GOLDEN = json.loads((Path(__file__).parent / "golden" / "golden.json").read_text())
CASE = GOLDEN["batched_loss_nb3"]["expected"]


def tensor(values: list) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def golden_batch() -> tuple[torch.Tensor, MaskedPair, MaskedPair]:
    present = torch.ones(3, dtype=torch.bool)
    strong = MaskedPair(tensor(CASE["masked_anchor_for_strong"]), tensor(CASE["masked_strong"]), present)
    weak = MaskedPair(tensor(CASE["masked_anchor_for_weak"]), tensor(CASE["masked_weak"]), present)
    return tensor(CASE["T"]), strong, weak


def random_batch(seed: int, columns: int, channels: int = 7) -> tuple[torch.Tensor, MaskedPair, MaskedPair]:
    random = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.rand(*shape, generator=random, dtype=torch.float64)

    def pair() -> MaskedPair:
        return MaskedPair(draw(columns, channels), draw(columns, channels), draw(columns) < 0.7)

    return draw(3, columns, channels), pair(), pair()


def test_golden_triplets() -> None:
    case = GOLDEN["losses_eq5_7"]
    a, p, n, am, pm = (tensor(case["inputs"][name]) for name in ("a", "p", "n", "a_masked", "p_masked"))
    for squared, expected in ((False, case["expected"]), (True, case["expected"]["squared"])):
        assert pair_distance(a, p, squared).item() == pytest.approx(expected["D_pos"], abs=1e-12)
        assert pair_distance(am, pm, squared).item() == pytest.approx(expected["D_pos_masked"], abs=1e-12)
        assert triplet_loss(a, p, n, 1.0, squared).item() == pytest.approx(expected["tl"], abs=1e-12)
        swap = anchor_swap_loss(a, p, n, 1.0, squared)
        assert swap.item() == pytest.approx(expected["anchor_swap"], abs=1e-12)
        mask = (pair_distance(am, pm, squared) - 0.1).clamp_min(0)
        assert (mask + 0.5 * swap).item() == pytest.approx(expected["mtl"], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("mtl_euclidean", LossOptions()),
        ("mtl_squared", LossOptions(squared=True)),
        ("no_mask_terms_euclidean", LossOptions(beta=10.0)),
        ("no_mask_terms_squared", LossOptions(beta=10.0, squared=True)),
        ("tl_lambda1_euclidean", LossOptions("tl")),
        ("tl_lambda1_squared", LossOptions("tl", squared=True)),
        ("tl_no_swap_euclidean", LossOptions("tl", swap=False)),
        ("uniform_margin_0.5_mtl_euclidean", LossOptions(alpha=(0.5, 0.5, 0.5))),
        ("reference_style_hinge", LossOptions("ref_hinge")),
        ("reference_style_softmin", LossOptions("ref_softmin")),
    ],
)
def test_golden_batches(name: str, options: LossOptions) -> None:
    loss = batch_loss(*golden_batch(), options)
    expected = dict(CASE[name])
    expected["hard"] = expected.pop("hard_max", expected.get("hard"))
    for key, value in expected.items():
        assert getattr(loss, key).item() == pytest.approx(value, abs=1e-9), key
    assert loss.total.item() == pytest.approx(sum(expected[term] for term in TERMS), abs=1e-9)


def test_golden_gradients() -> None:
    pooled, strong, weak = golden_batch()
    pooled.requires_grad_(), strong.anchor.requires_grad_()
    batch_loss(pooled, strong, weak).total.backward()
    for got, name in (
        (pooled.grad, "grad_total_wrt_T_masked_vectors_held_fixed"),
        (strong.anchor.grad, "grad_total_wrt_masked_anchor_for_strong"),
    ):
        assert torch.allclose(got, tensor(CASE[name]), atol=1e-7, rtol=0)


def mask_triplet(
    pooled: torch.Tensor, pair: MaskedPair, place: tuple[int, int, tuple[int, int]], alpha: float, o: LossOptions
) -> torch.Tensor:
    """Eq. (7) of column i: anchor, positive in row `positive`, negative at (k, j)."""
    i, positive, negative = place
    mask = (pair_distance(pair.anchor[i], pair.positive[i], o.squared) - o.beta).clamp_min(0) * pair.present[i]
    loss = anchor_swap_loss if o.swap else triplet_loss
    return mask + o.lam * loss(pooled[0, i], pooled[positive, i], pooled[negative], alpha, o.squared)


@pytest.mark.parametrize("columns", [2, 3, 8])
@pytest.mark.parametrize("options", [LossOptions(), LossOptions(squared=True), LossOptions(swap=False, lambda1=0.3)])
def test_it_is_the_triple_loop(columns: int, options: LossOptions) -> None:
    pooled, strong, weak = random_batch(columns, columns)
    easy = weaker = hard = torch.zeros((), dtype=torch.float64)
    for i in range(columns):
        for j in set(range(columns)) - {i}:
            for k in range(3):
                easy = easy + mask_triplet(pooled, strong, (i, 1, (k, j)), options.alpha[0], options)
                weaker = weaker + mask_triplet(pooled, weak, (i, 2, (k, j)), options.alpha[1], options)
        hard = hard + mask_triplet(pooled, strong, (i, 1, (2, i)), options.alpha[2], options)
    count = 3 * columns * (columns - 1)
    loss = batch_loss(pooled, strong, weak, options)
    for got, expected in ((loss.easy, easy / count), (loss.weak, weaker / count), (loss.hard, hard / columns)):
        assert got.item() == pytest.approx(expected.item(), abs=1e-12)
    total = easy / count + options.lambda1 * weaker / count + hard / columns
    assert loss.total.item() == pytest.approx(total.item(), abs=1e-12)


@pytest.mark.parametrize("options", [LossOptions(kind) for kind in ("mtl", "tl", "ref_hinge", "ref_softmin")])
def test_gradients(options: LossOptions) -> None:
    pooled, strong, weak = random_batch(5, 4)

    def total(pooled: torch.Tensor, anchor: torch.Tensor, positive: torch.Tensor) -> torch.Tensor:
        return batch_loss(pooled, MaskedPair(anchor, positive, strong.present), weak, options).total

    inputs = [x.requires_grad_() for x in (pooled, strong.anchor, strong.positive)]
    assert torch.autograd.gradcheck(total, inputs)


@pytest.mark.parametrize("kind", ["mtl", "tl", "ref_hinge", "ref_softmin"])
@pytest.mark.parametrize("value", [1.0, 0.0])
@pytest.mark.parametrize("columns", [1, 4])
def test_identical_and_empty_photos_are_finite(kind: str, value: float, columns: int) -> None:
    pooled = torch.full((3, columns, 5), value, requires_grad=True)
    flat = torch.full((columns, 5), value, requires_grad=True)
    pair = MaskedPair(flat, flat, torch.ones(columns, dtype=torch.bool))
    loss = batch_loss(pooled, pair, pair, LossOptions(kind))
    loss.total.backward()
    assert torch.isfinite(loss.total) and torch.isfinite(pooled.grad).all()
    assert flat.grad is None or torch.isfinite(flat.grad).all()


def test_without_hard_samples_only_strong_pairs_count() -> None:
    pooled, strong, weak = random_batch(1, 5)
    loss = batch_loss(pooled, strong, None, LossOptions(hard=False))
    assert loss.weak == 0 and loss.hard == 0
    assert loss.total == batch_loss(pooled, strong, weak).easy


def test_masks_of_some_terms_only() -> None:
    pooled, strong, weak = random_batch(2, 4)
    whole, none = batch_loss(pooled, strong, weak), batch_loss(pooled, options=LossOptions(mask_terms=()))
    for term in TERMS:
        some = batch_loss(pooled, strong, weak, LossOptions(mask_terms=(term,)))
        for other in TERMS:
            assert getattr(some, other) == getattr(whole if other == term else none, other)


def test_a_pair_without_mask_adds_nothing_and_the_divisor_stays() -> None:
    pooled, strong, weak = random_batch(3, 4)
    lone = dataclasses.replace(strong, present=torch.tensor([True, False, False, False]))
    bare = dataclasses.replace(strong, present=torch.zeros(4, dtype=torch.bool))
    excess = (pair_distance(strong.anchor[0], strong.positive[0]) - 0.1).clamp_min(0)
    difference = batch_loss(pooled, lone, weak).easy - batch_loss(pooled, bare, weak).easy
    assert difference.item() == pytest.approx(excess.item() / 4, abs=1e-12)


def test_columns_of_one_scene_are_no_negatives_of_each_other() -> None:
    pooled, strong, weak = random_batch(4, 4)
    assert other_columns(2).tolist() == [[False, True] * 3, [True, False] * 3]
    scenes = torch.tensor([0, 0, 1, 2])
    negatives = scenes.repeat(3)[None] != scenes[:, None]
    loss = batch_loss(pooled, strong, weak, LossOptions("tl"), negatives)
    sums = [
        anchor_swap_loss(pooled[0, i], pooled[1, i], pooled[k, j], 1.0)
        for i in range(4)
        for j in range(4)
        for k in range(3)
        if scenes[i] != scenes[j]
    ]
    assert loss.easy.item() == pytest.approx(torch.stack(sums).mean().item(), abs=1e-12)


def test_wrong_arguments() -> None:
    pooled, strong, weak = random_batch(0, 3)
    with pytest.raises(ValueError, match=r"pooled: expected \[3, Nb, C\]"):
        batch_loss(pooled[:2], strong, weak)
    with pytest.raises(ValueError, match=r"negatives: expected \[3, 9\] bool"):
        batch_loss(pooled, strong, weak, negatives=torch.ones(3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match="weak: the mask triplet loss needs masked vectors"):
        batch_loss(pooled, strong)
    with pytest.raises(ValueError, match="kind: expected one of mtl"):
        LossOptions("triplet")
    with pytest.raises(ValueError, match="mask_terms: expected of easy"):
        LossOptions(mask_terms=("soft",))
