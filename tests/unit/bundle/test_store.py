from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from reports import make_report

from edgedepth.bundle import Golden, ModelSpec, load_model, parse_spec, read_golden, write_bundle
from edgedepth.errors import BundleError, InputError, OutputError, SpecError


@pytest.fixture
def spec() -> ModelSpec:
    return parse_spec({"name": "tiny", "input": {"height": 8, "width": 8}, "output": {"kind": "metric"}})


@pytest.fixture
def golden() -> Golden:
    rng = np.random.default_rng(0)
    return Golden(rng.random((2, 1, 3, 8, 8), np.float32), rng.random((2, 1, 1, 8, 8), np.float32))


@pytest.fixture
def bundle(tmp_path: Path, make_onnx, spec: ModelSpec, golden: Golden) -> Path:
    root = tmp_path / "bundles" / "tiny"
    write_bundle(root, spec, make_onnx(), golden=golden, report=make_report(), license_text="MIT\n")
    return root


def test_a_written_bundle_reads_back_the_same(bundle: Path, spec: ModelSpec, golden: Golden, make_onnx) -> None:
    model = load_model(bundle)
    assert model.spec.model_copy(update={"files": {}}) == spec
    assert model.report == make_report()
    assert model.root == bundle
    assert model.onnx_path.read_bytes() == make_onnx().read_bytes()
    assert model.golden_path is not None
    back = read_golden(model.golden_path)
    np.testing.assert_array_equal(back.inputs, golden.inputs)
    np.testing.assert_array_equal(back.outputs, golden.outputs)
    assert sorted(p.name for p in bundle.iterdir()) == [
        "LICENSE-MODEL.txt", "golden.npz", "model.onnx", "report.json", "spec.json",
    ]  # fmt: skip


def test_the_checksums_are_those_of_the_files(bundle: Path) -> None:
    files = json.loads((bundle / "spec.json").read_text())["files"]
    assert len(files.pop("spec.json")) == 64
    assert files == {
        p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in bundle.iterdir() if p.name != "spec.json"
    }


def test_external_weights_travel_with_the_bundle_and_are_checked(tmp_path: Path, make_onnx, spec: ModelSpec) -> None:
    model = write_bundle(tmp_path / "b", spec, make_onnx("big.onnx", external="big.onnx.data"))
    assert set(model.spec.files) == {"model.onnx", "big.onnx.data", "spec.json"}
    session = onnxruntime.InferenceSession(str(model.onnx_path), providers=["CPUExecutionProvider"])
    (depth,) = session.run(None, {"image": np.ones((1, 3, 8, 8), np.float32)})
    np.testing.assert_allclose(depth, 3, rtol=1e-6)  # the sum of three ones
    (tmp_path / "b" / "big.onnx.data").write_bytes(b"\0" * 12)
    with pytest.raises(BundleError, match=r"big\.onnx\.data was altered"):
        load_model(tmp_path / "b")


@pytest.mark.parametrize("name", ["model.onnx", "golden.npz", "report.json", "LICENSE-MODEL.txt"])
def test_an_altered_file_is_refused_with_both_hashes(bundle: Path, name: str) -> None:
    path = bundle / name
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes() + b"\0")
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    with pytest.raises(BundleError) as caught:
        load_model(bundle)
    for part in (name, before[:12], after[:12]):
        assert part in str(caught.value)


@pytest.mark.parametrize("name", ["model.onnx", "spec.json", "golden.npz"])
def test_a_missing_file_is_named(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    with pytest.raises(BundleError, match=f"{name} is missing"):
        load_model(bundle)


def edit_files(bundle: Path, **files: str | None) -> None:
    data = json.loads((bundle / "spec.json").read_text())
    data["files"] = {k: v for k, v in (data["files"] | files).items() if v is not None and k != "spec.json"}
    own = hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
    data["files"]["spec.json"] = own
    (bundle / "spec.json").write_text(json.dumps(data))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ('"metres_per_unit": 1.0', '"metres_per_unit": 0.001'),
        ('"scale": 0.00392156862745098', '"scale": 1.0'),
        ('"trained": true', '"trained": false'),
    ],
)
def test_an_edited_contract_is_refused(bundle: Path, right: str, wrong: str) -> None:
    path = bundle / "spec.json"
    text = path.read_text()
    assert right in text
    path.write_text(text.replace(right, wrong))
    with pytest.raises(BundleError, match=r"spec\.json was altered"):
        load_model(bundle)


def test_a_contract_laid_out_anew_is_the_same(bundle: Path) -> None:
    path = bundle / "spec.json"
    path.write_text(json.dumps(json.loads(path.read_text()), indent=8, sort_keys=True))
    load_model(bundle)


def test_a_contract_that_nothing_vouches_for_is_refused(bundle: Path) -> None:
    data = json.loads((bundle / "spec.json").read_text())
    del data["files"]["spec.json"]
    (bundle / "spec.json").write_text(json.dumps(data))
    with pytest.raises(BundleError, match=r"lists no SHA-256 for spec\.json"):
        load_model(bundle)


def test_a_file_without_a_checksum_is_refused(bundle: Path) -> None:
    edit_files(bundle, **{"golden.npz": None})
    with pytest.raises(BundleError, match=r"lists no SHA-256 for golden\.npz"):
        load_model(bundle)
    edit_files(bundle, **{"model.onnx": None})
    with pytest.raises(BundleError, match=r"lists no SHA-256 for model\.onnx"):
        load_model(bundle)


def test_a_spec_that_points_outside_the_bundle_is_refused(bundle: Path) -> None:
    edit_files(bundle, **{"../secret": "0" * 64})
    with pytest.raises(BundleError, match="outside the bundle"):
        load_model(bundle)


def test_a_file_nobody_listed_does_no_harm(bundle: Path) -> None:
    (bundle / "README.md").write_text("notes")
    assert load_model(bundle).spec.name == "tiny"


def test_golden_data_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    for content in (b"", b"no archive"):
        path.write_bytes(content)
        with pytest.raises(BundleError, match="is not golden data"):
            read_golden(path)
    np.savez(path, inputs=np.zeros((1, 1)))
    with pytest.raises(BundleError, match="is not golden data"):
        read_golden(path)
    with pytest.raises(InputError, match="same number"):
        Golden(np.zeros((2, 1, 4)), np.zeros((1, 1, 4)))


def test_an_existing_folder_is_not_overwritten(bundle: Path, spec: ModelSpec, make_onnx) -> None:
    with pytest.raises(OutputError, match="exists already"):
        write_bundle(bundle, spec, make_onnx())


def test_a_failed_write_leaves_nothing(tmp_path: Path, make_onnx, spec: ModelSpec, golden: Golden, monkeypatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edgedepth.bundle.store.write_golden", full)
    target = tmp_path / "out" / "b"
    with pytest.raises(OutputError, match="disk is full"):
        write_bundle(target, spec, make_onnx(), golden=golden)
    assert list(target.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path, make_onnx, spec: ModelSpec) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_bundle(tmp_path / "file" / "b", spec, make_onnx())


def test_a_bare_onnx_takes_a_given_spec_or_the_one_beside_it(tmp_path: Path, make_onnx, spec: ModelSpec) -> None:
    path = make_onnx()
    with pytest.raises(SpecError, match="--spec") as caught:
        load_model(path)
    assert "[input]" in str(caught.value)
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(spec.model_dump_json())
    model = load_model(path, elsewhere)
    assert (model.spec, model.onnx_path, model.root, model.golden_path) == (spec, path, None, None)
    path.with_suffix(".toml").write_text('name = "beside"\n[input]\nheight = 8\nwidth = 8\n[output]\nkind = "ordinal"')
    assert load_model(str(path)).spec.name == "beside"
    assert load_model(path, elsewhere).spec.name == "tiny"


def test_paths_that_are_no_model_are_refused(tmp_path: Path, bundle: Path, make_onnx) -> None:
    with pytest.raises(BundleError, match="no model at"):
        load_model(tmp_path / "nothing.onnx")
    (tmp_path / "net.tflite").write_bytes(b"x")
    with pytest.raises(BundleError, match="export the network to ONNX"):
        load_model(tmp_path / "net.tflite")
    with pytest.raises(SpecError, match="carries its own spec"):
        load_model(bundle, "other.toml")
    with pytest.raises(SpecError, match="give the folder"):
        load_model(bundle / "model.onnx")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BundleError, match=r"spec\.json is missing"):
        load_model(empty)


def test_a_report_of_another_schema_is_told_by_key(bundle: Path) -> None:
    path = bundle / "report.json"
    path.write_text(path.read_text().replace('"verdict"', '"veredict"'))
    edit_files(bundle, **{"report.json": hashlib.sha256(path.read_bytes()).hexdigest()})
    with pytest.raises(BundleError, match=r"report\.json: .*verdict"):
        load_model(bundle)
