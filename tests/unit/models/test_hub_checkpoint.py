"""Checkpoints: every format that is taken, every one that is refused and why, and nothing loaded in part."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_hub import OVERRIDES, SIZES, answer, picture, reference, saved
from torch import Tensor, nn

from edgedepth.errors import CheckpointError
from edgedepth.models.base import DepthNetwork
from edgedepth.models.checkpoint import load_checkpoint, load_network

Weights = dict[str, Tensor]


class Own(DepthNetwork):
    """A network of our own, its parts where many have them: under ``model``."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1))

    @property
    def encoder(self) -> nn.Module:
        return self.model[0]

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.model(image)
        return result


def own(seed: int) -> Own:
    torch.manual_seed(seed)
    return Own().eval()


def tiny(family: str = "depth_anything", **config: Any) -> DepthNetwork:
    return load_network(family, {"overrides": OVERRIDES[family], **config}, None)[0]


def snapshot(network: nn.Module) -> Weights:
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(first: Weights, second: Weights) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def assert_refused(network: DepthNetwork, source: str | Path, *parts: str) -> None:
    before = snapshot(network)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(network, source)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message, f"{part!r} not in {message!r}"
    assert same(before, snapshot(network)), "part of it was loaded"


# What is taken


@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        OrderedDict,
        lambda w: {"state_dict": w, "epoch": 3},
        lambda w: {"model": w, "optimizer": {"state": {}}},
        lambda w: {"model_state_dict": w, "loss": 0.25},
        lambda w: {f"module.{k}": v for k, v in w.items()},
        lambda w: {"state_dict": {f"model.{k}": v for k, v in w.items()}, "pytorch-lightning_version": "2.5"},
        lambda w: {"state_dict": {f"network.{k}": v for k, v in w.items()}},
        lambda w: {"state_dict": {f"module.model.{k}": v for k, v in w.items()}},
        lambda w: {f"_orig_mod.{k}": v for k, v in w.items()},
        lambda w: {k.removeprefix("model."): v for k, v in w.items()},
        lambda w: {"n_averaged": torch.tensor(7), **{f"module.{k}": v for k, v in w.items()}},
        lambda w: {k: v for k, v in w.items() if not k.endswith("num_batches_tracked")},
        lambda w: {k: v.half() if v.is_floating_point() else v for k, v in w.items()},
    ],
    ids=[
        "plain", "ordered", "state_dict", "model", "model_state_dict", "parallel", "lightning", "network", "both",
        "compiled", "inner", "averaged", "without-counters", "half",
    ],
)  # fmt: skip
def test_every_wrapping_is_taken_off(wrap: Callable[[Weights], Any], tmp_path: Path) -> None:
    trained, network = own(1), own(2)
    path = tmp_path / "trained.pth"
    torch.save(wrap(snapshot(trained)), path)
    info = load_checkpoint(network, path)
    for name, value in trained.state_dict().items():
        torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    assert info.weights == len(trained.state_dict())
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert info.files == ("trained.pth",)
    assert info.format.startswith("torch")


@pytest.mark.parametrize("key", ["state_dict_ema", "model_ema", "ema_state_dict"])
def test_averaged_weights_come_first(key: str, tmp_path: Path) -> None:
    last, averaged, network = own(1), own(2), own(3)
    torch.save({"state_dict": snapshot(last), key: snapshot(averaged)}, tmp_path / "both.ckpt")
    info = load_checkpoint(network, tmp_path / "both.ckpt")
    assert same(snapshot(network), snapshot(averaged))
    assert info.format == f"torch, {key}"


def test_safetensors_whatever_the_name(tmp_path: Path) -> None:
    trained, network = own(1), own(2)
    for name in ("w.safetensors", "w.pth"):
        save_file(snapshot(trained), tmp_path / name)
        info = load_checkpoint(network, str(tmp_path / name))
        assert info.format == "safetensors"
        assert same(snapshot(network), snapshot(trained))


def test_old_torch_files(tmp_path: Path) -> None:
    trained, network = own(1), own(2)
    torch.save(snapshot(trained), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    load_checkpoint(network, tmp_path / "old.pth")
    assert same(snapshot(network), snapshot(trained))


@pytest.mark.parametrize("family", OVERRIDES)
def test_weights_of_the_hub_in_one_file(family: str, tmp_path: Path) -> None:
    folder, model = saved(family, tmp_path)
    image = picture(*SIZES[family]).double()
    expected = answer(model.double(), image)
    hub = load_file(folder / "model.safetensors")
    torch.save({"state_dict": {f"module.{k}": v for k, v in hub.items()}}, tmp_path / "hub.pth")
    torch.save(model.float().state_dict(), tmp_path / "installed.pth")  # names of the installed version
    for name in ("model.safetensors", "hub.pth", "installed.pth"):
        network, info = load_network(family, {"overrides": OVERRIDES[family]}, tmp_path / name)
        assert info is not None
        with torch.inference_mode():
            torch.testing.assert_close(network.double()(image)[:, 0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("form", ["shards", "pickle", "half"])
def test_folders_in_other_forms(form: str, tmp_path: Path) -> None:
    folder, model = saved("depth_anything", tmp_path, **({"max_shard_size": "100KB"} if form == "shards" else {}))
    files = sorted(folder.glob("*.safetensors"))
    if form == "pickle":
        torch.save(load_file(files[0]), folder / "pytorch_model.bin")
        files[0].unlink()
    if form == "half":
        save_file({k: v.half() for k, v in load_file(files[0]).items()}, files[0])
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"dtype": "float16"}))
    network = tiny()
    info = load_checkpoint(network, folder)
    kept = dict(zip(network.state_dict(), network.state_dict().values(), strict=True))
    for name, value in model.state_dict().items():
        torch.testing.assert_close(kept[f"model.{name}"], value, rtol=1e-3, atol=1e-4)
    assert next(network.parameters()).dtype == torch.float32
    if form == "shards":
        assert len(info.files) == len(files) > 1
        digests = "".join(hashlib.sha256(file.read_bytes()).hexdigest() for file in files)
        assert info.sha256 == hashlib.sha256(digests.encode()).hexdigest()
    assert info.format == ("transformers folder, torch" if form == "pickle" else "transformers folder, safetensors")


def original_names(layers: int) -> list[tuple[str, str]]:
    """Name in the repository of Depth Anything, name on the hub, tensor by tensor."""
    table = [
        ("pretrained.cls_token", "backbone.embeddings.cls_token"),
        ("pretrained.mask_token", "backbone.embeddings.mask_token"),
        ("pretrained.pos_embed", "backbone.embeddings.position_embeddings"),
    ]
    pairs = [
        ("pretrained.patch_embed.proj", "backbone.embeddings.patch_embeddings.projection"),
        ("pretrained.norm", "backbone.layernorm"),
        ("depth_head.scratch.output_conv1", "head.conv1"),
        ("depth_head.scratch.output_conv2.0", "head.conv2"),
        ("depth_head.scratch.output_conv2.2", "head.conv3"),
        ("depth_head.resize_layers.0", "neck.reassemble_stage.layers.0.resize"),
        ("depth_head.resize_layers.1", "neck.reassemble_stage.layers.1.resize"),
        ("depth_head.resize_layers.3", "neck.reassemble_stage.layers.3.resize"),
    ]
    for n in range(4):
        pairs.append((f"depth_head.projects.{n}", f"neck.reassemble_stage.layers.{n}.projection"))
        table.append((f"depth_head.scratch.layer{n + 1}_rn.weight", f"neck.convs.{n}.weight"))
        ours, theirs = f"neck.fusion_stage.layers.{n}", f"depth_head.scratch.refinenet{4 - n}"
        pairs.append((f"{theirs}.out_conv", f"{ours}.projection"))
        pairs += [
            (f"{theirs}.resConfUnit{unit}.conv{conv}", f"{ours}.residual_layer{unit}.convolution{conv}")
            for unit in (1, 2)
            for conv in (1, 2)
        ]
    for n in range(layers):
        theirs, ours = f"pretrained.blocks.{n}", f"backbone.encoder.layer.{n}"
        table += [(f"{theirs}.ls{k}.gamma", f"{ours}.layer_scale{k}.lambda1") for k in (1, 2)]
        pairs += [(f"{theirs}.{part}", f"{ours}.{part}") for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2")]
        pairs.append((f"{theirs}.attn.proj", f"{ours}.attention.output.dense"))
    return table + [(f"{a}.{end}", f"{b}.{end}") for a, b in pairs for end in ("weight", "bias")]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_names_of_the_original_repository(suffix: str, tmp_path: Path) -> None:
    folder, model = saved("depth_anything", tmp_path / "hub")
    hub = load_file(folder / "model.safetensors")
    original = {theirs: hub.pop(ours) for theirs, ours in original_names(4)}
    for n in range(4):
        for end in ("weight", "bias"):
            parts = [
                hub.pop(f"backbone.encoder.layer.{n}.attention.attention.{p}.{end}") for p in ("query", "key", "value")
            ]
            original[f"pretrained.blocks.{n}.attn.qkv.{end}"] = torch.cat(parts)
    assert not hub, "the table names every weight"
    path = tmp_path / f"depth_anything_v2{suffix}"
    if suffix == ".pth":
        torch.save(original, path)
    else:
        save_file(original, path)
    network, _ = load_network("depth_anything", {"overrides": OVERRIDES["depth_anything"]}, path)
    image = picture(*SIZES["depth_anything"]).double()
    with torch.inference_mode():
        found = network.double()(image)[:, 0]
    torch.testing.assert_close(found, answer(model.double(), image), rtol=1e-5, atol=1e-6)
    del original["depth_head.scratch.refinenet2.out_conv.bias"]
    torch.save(original, tmp_path / "less.pth")
    assert_refused(tiny(), tmp_path / "less.pth", "first neck.fusion_stage.layers.2.projection.bias")


# What is refused


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (Bomb.crater,)

    crater = ""


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "folder"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(form: str, tmp_path: Path) -> None:
    crater = tmp_path / "crater"
    Bomb.crater = str(crater)
    network, path = own(1), tmp_path / "weights.pth"
    content = {"state_dict": snapshot(own(2)), "extra": Bomb()}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form != "legacy")
    if form == "folder":
        network, path = tiny(), saved("depth_anything", tmp_path / "hub")[0]
        (path / "model.safetensors").unlink()
        torch.save({"extra": Bomb()}, path / "pytorch_model.bin")
    assert_refused(network, path, "holds more than weights", "safetensors.torch.save_file")
    assert not crater.exists()
    pickle.loads(pickle.dumps(Bomb()))  # the bomb is real
    assert crater.exists()


def test_the_class_a_pickle_wants_is_named(tmp_path: Path) -> None:
    torch.save({"args": argparse.Namespace(lr=1), "model": snapshot(own(2))}, tmp_path / "args.pth")
    assert_refused(own(1), tmp_path / "args.pth", "it needs argparse.Namespace")
    torch.save(nn.Linear(2, 2), tmp_path / "module.pth")
    assert_refused(own(1), tmp_path / "module.pth", "torch.nn.modules.linear.Linear")


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.pth", b"", "is empty (0 bytes)"),
        ("lfs.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        ("page.pth", b"<!DOCTYPE html><html>sign in</html>", "is a web page"),
        ("keras.h5", b"\x89HDF\r\n\x1a\n" + bytes(64), "Keras"),
        ("net.onnx", b"\x08\x08\x12\x07pytorch", "is an ONNX graph"),
        ("noise.pth", bytes(range(100, 200)), "is not a checkpoint"),
        ("zeros.safetensors", bytes(1000), "is not a checkpoint"),
        ("pickle.pth", b"\x80\x04\x95", "is not a pickle of tensors"),
        ("zip.pth", b"PK\x03\x04" + bytes(100), "damaged or truncated torch file"),
        ("header.safetensors", (10).to_bytes(8, "little") + b"{" + bytes(20), "damaged or truncated safetensors"),
    ],
)
def test_what_is_no_checkpoint_is_named(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert_refused(own(1), tmp_path / name, message, name)


@pytest.mark.parametrize("form", ["safetensors", "zip", "legacy"])
def test_truncated_files(form: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    if form == "safetensors":
        save_file(snapshot(own(2)), path)
    else:
        torch.save(snapshot(own(2)), path, _use_new_zipfile_serialization=form == "zip")
    cut(path)
    assert_refused(own(1), path, "truncated", "download or save it again")


def test_torchscript_is_refused(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    torch.jit.save(torch.jit.trace(own(1), torch.zeros(1, 3, 4, 4)), tmp_path / "script.pt")
    recwarn.clear()
    assert_refused(own(1), tmp_path / "script.pt", "TorchScript program")


def test_content_without_weights(tmp_path: Path) -> None:
    for content, found in (([torch.zeros(1)], "a list"), ({"epoch": 3, "loss": 0.1}, "epoch, loss"), ({}, "nothing")):
        torch.save(content, tmp_path / "c.pth")
        assert_refused(own(1), tmp_path / "c.pth", f"found {found} inside")


def test_another_network_is_told_by_its_weights(tmp_path: Path) -> None:
    weights = snapshot(own(2))
    weights["model.3.weight"] = weights.pop("model.2.weight")
    weights["model.0.weight"] = torch.zeros(4, 3, 3, 3)
    torch.save(weights, tmp_path / "other.pth")
    assert_refused(
        own(1),
        tmp_path / "other.pth",
        f"{len(weights) - 2} of {len(weights)} weights match",
        "1 are missing, first 2.weight",
        "1 are of no use, first 3.weight",
        "first 0.weight: (4, 3, 3, 3) in the file, (4, 3, 1, 1) expected",
    )


def test_another_size_of_a_hub_network(tmp_path: Path) -> None:
    folder, _ = saved("glpn", tmp_path)
    wider = {**OVERRIDES["glpn"], "decoder_hidden_size": 24}
    network = load_network("glpn", {"overrides": wider}, None)[0]
    assert_refused(network, folder, "weights match", "decoder", "(16,) in the file, (24,) expected")
    assert_refused(tiny("dpt"), folder / "model.safetensors", "0 of", "are of no use, first decoder.stages")


def test_diverged_weights(tmp_path: Path) -> None:
    weights = snapshot(own(2))
    weights["model.0.bias"][1] = float("nan")
    torch.save(weights, tmp_path / "nan.pth")
    assert_refused(own(1), tmp_path / "nan.pth", "NaN or infinity in model.0.bias")


@pytest.mark.parametrize(
    ("family", "config", "message"),
    [
        ("glpn", {}, "model_type 'depth_anything', this recipe's family is 'glpn'"),
        ("depth_anything", {"max_depth_m": 20.0}, "depth_estimation_type = relative, the recipe's network has metric"),
        ("depth_anything", {"overrides": {"backbone_config": {"num_attention_heads": 4}}}, "num_attention_heads = 2"),
        ("depth_anything", {"overrides": {"backbone_config": {"out_indices": [0, 2, 3, 4]}}}, "indices = [1, 2, 3, 4]"),
    ],
)  # fmt: skip
def test_a_folder_of_another_configuration(family: str, config: dict[str, Any], message: str, tmp_path: Path) -> None:
    folder, _ = saved("depth_anything", tmp_path)
    tiny_part = OVERRIDES[family]
    more = config.pop("overrides", {}).get("backbone_config", {})
    if more:
        tiny_part = {**tiny_part, "backbone_config": {**tiny_part["backbone_config"], **more}}
    network = load_network(family, {"overrides": tiny_part, **config}, None)[0]
    assert_refused(network, folder, message)


def test_metric_folder_of_another_depth(tmp_path: Path) -> None:
    network = tiny(max_depth_m=80.0)
    network.model.save_pretrained(tmp_path)
    assert load_checkpoint(tiny(max_depth_m=80.0), tmp_path).weights > 0
    assert_refused(tiny(max_depth_m=20.0), tmp_path, "max_depth = 80.0, the recipe's network has 20.0")


def test_a_folder_of_the_family_on_another_encoder(tmp_path: Path) -> None:
    folder, _ = saved("dpt", tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"backbone_out_indices": None}))
    assert_refused(tiny("dpt"), folder, "a dpt network of another build")


def test_folders_that_are_none(tmp_path: Path) -> None:
    assert_refused(tiny(), tmp_path, "no config.json")
    assert_refused(own(1), tmp_path, "only the families of transformers take")
    (tmp_path / "config.json").write_text("{")
    assert_refused(tiny(), tmp_path, "config.json cannot be read")
    folder, _ = saved("depth_anything", tmp_path / "hub", max_shard_size="100KB")
    sorted(folder.glob("*.safetensors"))[0].unlink()
    assert_refused(tiny(), folder, "weights files its index names, model-00001-of", "is missing")
    for file in folder.glob("model*"):
        file.unlink()
    (folder / "weights.ckpt").touch()
    assert_refused(tiny(), folder, "holds neither model.safetensors nor", "found config.json, weights.ckpt")


def test_an_index_does_not_reach_out_of_its_folder(tmp_path: Path) -> None:
    folder, _ = saved("depth_anything", tmp_path / "hub", max_shard_size="100KB")
    save_file({"a": torch.zeros(1)}, tmp_path / "outside.safetensors")
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"] = {"a": "../outside.safetensors"}
    index.write_text(json.dumps(content))
    assert_refused(tiny(), folder, "../outside.safetensors is missing")


@pytest.mark.parametrize("source", ["nowhere.pth", "models/nowhere.pth", "./owner/name", "a/b/c"])
def test_nothing_there(source: str) -> None:
    assert_refused(tiny(), source, f"no checkpoint at {source}", "hub id such as owner/name")


def test_a_hub_id_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> str:
        raise huggingface_hub.errors.LocalEntryNotFoundError("no connection\nand no cache")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    assert_refused(tiny(), "owner/name", "owner/name could not be had", "give the folder")


def test_a_hub_id_is_a_folder_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    asked: list[list[str]] = []
    folder, model = saved("depth_anything", tmp_path)

    def download(hub_id: str, *, allow_patterns: list[str]) -> str:
        assert hub_id == "owner/name"
        asked.append(allow_patterns)
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    network = tiny()
    info = load_checkpoint(network, "owner/name")
    assert info.source == "owner/name"
    assert same(snapshot(network.model), snapshot(model))
    assert len(asked) == 1, "pickles are not fetched where there are safetensors"
    assert not any("bin" in pattern for pattern in asked[0])


def test_the_reference_is_not_what_a_network_starts_with() -> None:
    assert not same(snapshot(tiny().model), snapshot(reference("depth_anything")))
