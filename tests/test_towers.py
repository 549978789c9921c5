"""Towers: torchvision's keys, shapes and numbers; files of weights of every kind, sound and not."""

import hashlib
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from mirror_sfm.errors import MirrorError, UsageError  # noqa: E402
from mirror_sfm.towers import TOWERS, LoadedTower, Normalisation, Tower, load_tower  # noqa: E402
from mirror_sfm.towers.mobilenet_v2 import MobileNetV2  # noqa: E402

LAYERS = [(name, layer) for name, kind in TOWERS.items() for layer in kind.layers]
# Of torchvision 0.29.1, classifiers left out: keys, numbers in them, first digits of the SHA-256 of keys and shapes.
TORCHVISION = {
    "mobilenet_v2": (312, 2258036, "7ed50567f4d65cd1"),
    "vgg16": (26, 14714688, "9f19f23e7040ae5c"),
    "googlenet": (342, 5614521, "bf94ec1b959c7130"),
    "resnet50": (318, 23561205, "1b9065f5083ba822"),
    "resnet101": (624, 42605608, "f343c7a7743c5ae4"),
}


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_keys_and_shapes_are_torchvisions_at_every_layer(name: str, layer: str) -> None:
    with torch.device("meta"):
        state = TOWERS[name](layer).state_dict()
    text = "\n".join(f"{key} {list(tensor.shape)}" for key, tensor in state.items())
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (len(state), sum(tensor.numel() for tensor in state.values()), digest) == TORCHVISION[name]


@pytest.mark.parametrize(("name", "layer"), LAYERS)
def test_map_has_the_channels_and_stride_that_are_promised(name: str, layer: str) -> None:
    with torch.device("meta"):
        tower = TOWERS[name](layer).eval()
        shape = tower(torch.empty(2, 3, 320, 448)).shape
    cells = [side // tower.stride - tower.margin for side in (320, 448)]
    assert list(shape) == [2, tower.channels, *cells] and (tower.channels, tower.stride) == tower.layers[layer]


def busy(tower: nn.Module) -> nn.Module:
    """Batch norm that does something, and weights that keep activations at size, also where there were none yet."""
    torch.manual_seed(1)
    if next(tower.parameters()).is_meta:
        tower.to_empty(device="cpu")
    for module in tower.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.2, 0.8)
            nn.init.normal_(module.bias, 0, 0.1)
    return tower.eval()


@pytest.mark.parametrize(("name", "strided", "dilated"), [
    ("mobilenet_v2", "features18", "features18_dilated"), ("resnet50", "layer4", "layer4_dilated"),
])  # fmt: skip
def test_dilated_map_holds_the_strided_one(name: str, strided: str, dilated: str) -> None:
    with torch.device("meta"):
        sparse, dense = TOWERS[name](strided), TOWERS[name](dilated).eval()
    busy(sparse)
    dense.load_state_dict(sparse.state_dict(), assign=True)
    photo = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        torch.testing.assert_close(dense(photo)[:, :, ::2, ::2], sparse(photo), rtol=1e-4, atol=1e-5)


def normalised(photo: torch.Tensor, by: Normalisation) -> torch.Tensor:
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in (by.mean, by.std))
    return (photo - mean) / std


@pytest.fixture(scope="session")
def torchvision():
    """torchvision where it is installed, with the two ops declared that its wheel lacks beside a CPU build of torch."""
    from importlib.util import find_spec

    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for op in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, op):
            library.define(f"{op}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    yield pytest.importorskip("torchvision", exc_type=RuntimeError)
    del library


@pytest.mark.parametrize("name", TOWERS)
def test_torchvisions_checkpoints_give_torchvisions_maps(torchvision, name: str, tmp_path: Path) -> None:
    options = {"transform_input": True, "init_weights": False} if name == "googlenet" else {}
    theirs = busy(getattr(torchvision.models, name)(weights=None, **options))
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    last = {"mobilenet_v2": "features", "vgg16": "features.29", "googlenet": "inception5b"}.get(name, "layer4")
    caught: list[torch.Tensor] = []
    theirs.get_submodule(last).register_forward_hook(lambda module, photos, seen: caught.append(seen.clone()))
    ours = load_tower(name, tmp_path / "weights.pth", "features18" if name == "mobilenet_v2" else None).tower
    photo = torch.rand(1, 3, 160, 213)
    with torch.inference_mode():
        theirs(normalised(photo, Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))))
        seen = ours(normalised(photo, ours.normalisation))
    torch.testing.assert_close(seen, caught[0], rtol=1e-4, atol=1e-5 * float(caught[0].abs().max()))


@pytest.fixture(scope="session")
def folded(data: Path) -> Path:
    """MobileNetV2 trained on ImageNet, batch norm folded."""
    return data / "weights" / "mobilenet_v2_imagenet.safetensors"


def run_graph(file: Path, photo: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a folded file says about itself, executed node by node."""
    with safe_open(file, "pt") as opened:
        graph = json.loads(opened.metadata()["graph"])
        weights = {key: opened.get_tensor(key).float() for key in opened.keys()}  # noqa: SIM118
    seen = {"input": photo}
    for node in graph:
        if "inputs" in node:
            seen[node["name"]] = sum(seen[name] for name in node["inputs"])
            continue
        x, kernel, stride = seen[node["input"]], node["kernel"], node["stride"]
        pads: list[int] = []
        for size in (x.shape[3], x.shape[2]):
            total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        weight, bias = weights[f"{node['name']}.weight"], weights[f"{node['name']}.bias"]
        x = F.conv2d(F.pad(x, pads), weight, bias, stride, groups=node["groups"])
        seen[node["name"]] = F.relu6(x) if node["activation"] == "relu6" else x
    return seen


def test_folded_weights_do_what_their_file_says(folded: Path) -> None:
    photo = torch.rand(1, 3, 96, 117) * 2 - 1  # even and odd sides: both kinds of padding
    with torch.inference_mode():
        seen = run_graph(folded, photo)
        for layer, node in (("features18", "conv51"), ("expansion14", "conv39")):
            loaded = load_tower("mobilenet_v2", folded, layer)
            torch.testing.assert_close(loaded.tower(photo), seen[node], rtol=1e-4, atol=1e-4)
    assert loaded.sha256 == hashlib.sha256(folded.read_bytes()).hexdigest()
    assert loaded.tower.normalisation == Normalisation((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def rewritten(file: Path, to: Path, change: Callable[[list], None], drop: str = "") -> Path:
    """A folded file with another graph, or without a tensor."""
    with safe_open(file, "pt") as opened:
        tensors = {key: opened.get_tensor(key) for key in opened.keys() if key != drop}  # noqa: SIM118
        graph = json.loads(opened.metadata()["graph"])
    change(graph)
    save_file(tensors, to, {"graph": json.dumps(graph)})
    return to


@pytest.mark.parametrize(("change", "drop", "message"), [
    (lambda graph: graph[4].update(stride=1), "", "its graph is another"),
    (lambda graph: graph[9].update(inputs=["conv04", "conv08"]), "", "its graph is another"),
    (lambda graph: graph.pop(), "", "its graph is another"),
    (lambda graph: graph[0].pop("input"), "", "cannot be read"),
    (lambda graph: graph.insert(0, 7), "", "cannot be read"),
    (lambda graph: None, "conv07.bias", r"lacks features\.3\.conv\.1\.0\.bias"),
])  # fmt: skip
def test_a_folded_file_that_describes_another_network(folded: Path, tmp_path, change, drop: str, message: str) -> None:
    file = rewritten(folded, tmp_path / "other.safetensors", change, drop)
    with pytest.raises(MirrorError, match=message) as caught:
        load_tower("mobilenet_v2", file)
    assert "other.safetensors" in str(caught.value) and "\n" not in str(caught.value)


def test_folded_weights_are_of_mobilenet_only(folded: Path) -> None:
    with pytest.raises(MirrorError, match="are of mobilenet_v2, not of vgg16"):
        load_tower("vgg16", folded)


@pytest.fixture(scope="module")
def checkpoint() -> dict[str, torch.Tensor]:
    """MobileNetV2 as torchvision would save it, classifier included."""
    state = busy(MobileNetV2()).state_dict()
    return dict(state) | {"classifier.1.weight": torch.zeros(1000, 1280), "classifier.1.bias": torch.zeros(1000)}


@pytest.mark.parametrize(("kind", "wrapper"), [
    ("pickle", None), ("pickle", "state_dict"), ("half", "model"), ("safetensors", None),
])  # fmt: skip
def test_checkpoints_of_every_kind(checkpoint, tmp_path: Path, kind: str, wrapper: str | None) -> None:
    file, tensors = tmp_path / "weights", checkpoint
    if kind == "half":
        tensors = {key: tensor.half() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    if kind == "safetensors":
        save_file(tensors, file)
    else:
        torch.save({wrapper: tensors} if wrapper else tensors, file)
    state = load_tower("mobilenet_v2", file).tower.state_dict()
    assert not any(key.startswith("classifier") for key in state)
    for key, tensor in state.items():
        assert torch.equal(tensor, tensors[key].to(tensor.dtype)), key
        assert not tensor.is_floating_point() or tensor.dtype == torch.float32


def test_counters_of_batch_norm_may_be_absent(checkpoint, tmp_path: Path) -> None:
    torch.save({k: t for k, t in checkpoint.items() if not k.endswith("num_batches_tracked")}, tmp_path / "old.pth")
    assert isinstance(load_tower("mobilenet_v2", tmp_path / "old.pth"), LoadedTower)


class Trap:
    """Pickled, it makes a file as soon as it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def damage(kind: str, checkpoint: dict, file: Path) -> None:
    if kind == "empty":
        file.write_bytes(b"")
    elif kind == "noise":
        file.write_bytes(bytes(range(256)) * 8)
    elif kind == "text":
        file.write_text("<html>404: not found</html>")
    elif kind in ("cut pickle", "cut safetensors"):
        (torch.save if "pickle" in kind else save_file)(checkpoint, file)
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif kind == "trap":
        torch.save({"features.0.0.weight": Trap(file.with_name("sprung"))}, file)
    elif kind == "bare trap":
        file.write_bytes(pickle.dumps(Trap(file.with_name("sprung"))))
    elif kind == "no tensor":
        torch.save(dict(checkpoint, epoch=7), file)
    elif kind == "list":
        torch.save(list(checkpoint.values()), file)
    elif kind == "nan":
        torch.save(dict(checkpoint, **{"features.0.0.weight": torch.full((32, 3, 3, 3), torch.nan)}), file)


@pytest.mark.parametrize("kind", [
    "empty", "noise", "text", "cut pickle", "cut safetensors", "trap", "bare trap", "no tensor", "list", "nan",
])  # fmt: skip
def test_damaged_and_hostile_files_are_named(kind: str, checkpoint, tmp_path: Path) -> None:
    file = tmp_path / "bad\nname.pth"
    damage(kind, checkpoint, file)
    with pytest.raises(MirrorError, match=r"cannot use the weights .*bad\\nname.pth.*; expected") as caught:
        load_tower("mobilenet_v2", file)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(("change", "message"), [
    ({"features.18.0.weight": None}, r"lacks features\.18\.0\.weight"),
    ({"extra.weight": torch.zeros(1)}, r"also has extra\.weight"),
    ({"features.18.0.weight": torch.zeros(1280, 160, 1, 1)}, r"features\.18\.0\.weight has shape \[1280, 160, 1, 1\]"),
])  # fmt: skip
def test_foreign_checkpoints_name_what_does_not_fit(checkpoint, tmp_path: Path, change: dict, message: str) -> None:
    tensors = {key: tensor for key, tensor in (checkpoint | change).items() if tensor is not None}
    torch.save(tensors, tmp_path / "foreign.pth")
    with pytest.raises(MirrorError, match=message) as caught:
        load_tower("mobilenet_v2", tmp_path / "foreign.pth")
    assert "foreign.pth" in str(caught.value) and "choose the tower" in str(caught.value)


def test_a_checkpoint_of_another_tower(checkpoint, tmp_path: Path) -> None:
    torch.save(checkpoint, tmp_path / "weights.pth")
    with pytest.raises(MirrorError, match=r"lacks conv1\.weight, .* and 262 more and also has features\.0\.0\.weight"):
        load_tower("resnet50", tmp_path / "weights.pth")


@pytest.mark.parametrize(("name", "weights", "layer", "message"), [
    ("alexnet", "random", None, "no tower is called alexnet; expected mobilenet_v2, vgg16"),
    ("vgg16", "random", "conv9", "no layer 'conv9'; expected one of conv5_3"),
    ("vgg16", "nowhere.pth", None, "no such file of weights: nowhere.pth"),
    ("timm:resnet18", "random", "layer3", "no choice of layers"),
])  # fmt: skip
def test_wrong_requests(name: str, weights: str, layer: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_tower(name, weights, layer)


def test_random_weights_are_the_same_every_time_and_leave_torchs_state() -> None:
    torch.manual_seed(5)
    first = load_tower("googlenet", "random")
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    again = load_tower("googlenet", "random")
    assert first.sha256 == again.sha256 and len(first.sha256) == 64
    with torch.inference_mode():
        seen = first.tower(torch.rand(1, 3, 96, 96))
    assert torch.isfinite(seen).all() and seen.std() > 0.1


def test_a_loaded_tower_is_ready_to_look() -> None:
    tower: Tower = load_tower("mobilenet_v2", "random").tower
    assert not tower.training and not any(parameter.requires_grad for parameter in tower.parameters())


def test_timm_or_how_to_get_it(torchvision, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("resnet18", pretrained=False).eval()
    torch.save(theirs.state_dict(), tmp_path / "weights.pth")
    tower = load_tower("timm:resnet18", tmp_path / "weights.pth").tower
    photo = torch.rand(1, 3, 96, 128)
    with torch.inference_mode():
        assert torch.equal(tower(photo), theirs.forward_features(photo))
    assert (tower.channels, tower.stride) == (512, 32)
    with pytest.raises(UsageError, match="one size only"):
        load_tower("timm:vit_tiny_patch16_224", "random")
    with pytest.raises(UsageError, match="timm has no model nope"):
        load_tower("timm:nope", "random")


def test_timm_missing_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "timm", None)  # import raises ImportError
    with pytest.raises(UsageError, match="pip install timm"):
        load_tower("timm:resnet18", "random")
