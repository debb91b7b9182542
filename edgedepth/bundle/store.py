"""Models on disk: a bundle folder with checksums, or a bare ``.onnx`` beside its spec."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from edgedepth.bundle.golden import Golden, write_golden
from edgedepth.bundle.onnxfile import external_files
from edgedepth.bundle.report import PrecisionReport
from edgedepth.bundle.spec import ModelSpec
from edgedepth.bundle.specfile import SPEC_EXAMPLE, SPEC_SUFFIXES, read_spec
from edgedepth.documents import read_document
from edgedepth.errors import BundleError, SpecError
from edgedepth.output import atomic_folder

__all__ = [
    "GOLDEN_FILE",
    "LICENSE_FILE",
    "ONNX_FILE",
    "REPORT_FILE",
    "SPEC_FILE",
    "Model",
    "copy_network",
    "file_sha256",
    "load_model",
    "network_sha256",
    "write_bundle",
]

ONNX_FILE, SPEC_FILE, GOLDEN_FILE = "model.onnx", "spec.json", "golden.npz"
REPORT_FILE, LICENSE_FILE = "report.json", "LICENSE-MODEL.txt"


@dataclass(frozen=True)
class Model:
    """A network on disk and what its numbers mean.

    Attributes:
        spec: the contract.
        onnx_path: the network.
        golden_path: golden data to prove a backend with, or None.
        report: what the precision gate measured at export, or None.
        root: the bundle's folder, or None for a bare ``.onnx``.
    """

    spec: ModelSpec
    onnx_path: Path
    golden_path: Path | None = None
    report: PrecisionReport | None = None
    root: Path | None = None


def load_model(path: str | Path, spec_path: str | Path | None = None) -> Model:
    """Open a bundle folder, or a bare ``.onnx`` with its spec. Every file of a bundle is checked against its SHA-256.

    Args:
        path: the folder, or the ``.onnx``.
        spec_path: TOML or JSON spec of a bare ``.onnx``; None looks for ``<model>.toml`` and ``.json`` beside it.

    Raises:
        BundleError: nothing there, a file missing or altered, or not a whole ONNX file.
        SpecError: no spec, or a malformed one.
    """
    path = Path(path)
    if path.is_dir():
        if spec_path is not None:
            raise SpecError(f"{path} is a bundle and carries its own spec; leave out --spec {spec_path}")
        return _load_bundle(path)
    if not path.is_file():
        raise BundleError(f"no model at {path}; expected a bundle folder or an .onnx file")
    if path.suffix != ".onnx":
        raise BundleError(f"expected a bundle folder or an .onnx file, found {path}; export the network to ONNX")
    external_files(path)
    return Model(spec=read_spec(_find_spec(path) if spec_path is None else Path(spec_path)), onnx_path=path)


def _find_spec(onnx_path: Path) -> Path:
    beside = [onnx_path.with_suffix(suffix) for suffix in SPEC_SUFFIXES]
    for candidate in beside:
        if candidate.is_file():
            return candidate
    if (onnx_path.parent / SPEC_FILE).is_file():
        raise SpecError(f"{onnx_path} is part of a bundle; give the folder {onnx_path.parent} instead")
    raise SpecError(
        f"{onnx_path} needs a spec that says what it takes and gives: pass --spec FILE, or put {beside[0].name} "
        f"beside it; for example:\n{SPEC_EXAMPLE}"
    )


def _load_bundle(root: Path) -> Model:
    for name in (SPEC_FILE, ONNX_FILE):
        if not (root / name).is_file():
            raise BundleError(f"{root} is not a whole bundle: {name} is missing; export or download it again")
    spec = read_spec(root / SPEC_FILE)
    listed = [name for name in (SPEC_FILE, ONNX_FILE, GOLDEN_FILE, REPORT_FILE, LICENSE_FILE) if (root / name).exists()]
    if SPEC_FILE in spec.files and _spec_digest(root / SPEC_FILE) != spec.files[SPEC_FILE]:
        raise BundleError(f"{root / SPEC_FILE} was altered; export or download the bundle again")
    if ONNX_FILE in spec.files:  # else reported below; a file nobody vouches for is not parsed
        for name, expected in spec.files.items():
            if name != SPEC_FILE:
                _verify(root, name, expected)
        listed += external_files(root / ONNX_FILE)
    unlisted = [name for name in listed if name not in spec.files]
    if unlisted:
        raise BundleError(f"{root / SPEC_FILE} lists no SHA-256 for {', '.join(unlisted)}; write the bundle again")
    report = None
    if REPORT_FILE in spec.files:
        report = read_document(root / REPORT_FILE, PrecisionReport, what="precision report", error=BundleError)
    golden_path = root / GOLDEN_FILE if GOLDEN_FILE in spec.files else None
    return Model(spec=spec, onnx_path=root / ONNX_FILE, golden_path=golden_path, report=report, root=root)


def _write_spec(path: Path, spec: ModelSpec, files: dict[str, str]) -> None:
    complete = spec.model_copy(update={"files": files})
    path.write_text(complete.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _spec_digest(path: Path) -> str:
    """SHA-256 of the contract, of which it is itself a part: without that entry, and however the file is laid out."""
    document = json.loads(path.read_text(encoding="utf-8"))
    document["files"].pop(SPEC_FILE, None)
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _verify(root: Path, name: str, expected: str) -> None:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise BundleError(f"{root / SPEC_FILE} lists {name!r}, which is outside the bundle; write the bundle again")
    try:
        found = file_sha256(root / relative)
    except FileNotFoundError:
        raise BundleError(f"{root} is not a whole bundle: {name} is missing; export or download it again") from None
    except OSError as error:
        raise BundleError(f"{root / relative} cannot be read: {error}") from error
    if found != expected.lower():
        raise BundleError(
            f"{root / relative} was altered: its SHA-256 should be {expected[:12]}... and is {found[:12]}...; "
            "export or download the bundle again"
        )


def write_bundle(
    root: str | Path,
    spec: ModelSpec,
    onnx_path: str | Path,
    *,
    golden: Golden | None = None,
    report: PrecisionReport | None = None,
    license_text: str | None = None,
) -> Model:
    """Write a bundle folder. It appears under its name only when it is complete.

    Args:
        root: the folder to make; it must not exist.
        spec: the contract; its ``files`` are computed here.
        onnx_path: the network; files it keeps weights in come along under the same relative names.
        golden, report, license_text: what else the bundle holds.

    Raises:
        BundleError: ``onnx_path`` is not a whole ONNX file.
        OutputError: the folder exists already or cannot be written (also a full disk).
    """
    root, onnx_path = Path(root), Path(onnx_path)
    external_files(onnx_path)  # what is wrong with it is said before anything is written
    with atomic_folder(root) as work:
        copy_network(onnx_path, work)
        if golden is not None:
            write_golden(work / GOLDEN_FILE, golden)
        if report is not None:
            (work / REPORT_FILE).write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        if license_text is not None:
            (work / LICENSE_FILE).write_text(license_text, encoding="utf-8")
        files = {p.relative_to(work).as_posix(): file_sha256(p) for p in sorted(work.rglob("*")) if p.is_file()}
        _write_spec(work / SPEC_FILE, spec, files)
        _write_spec(work / SPEC_FILE, spec, files | {SPEC_FILE: _spec_digest(work / SPEC_FILE)})
    return _load_bundle(root)


def copy_network(onnx_path: Path, folder: Path) -> None:
    """Copy an ONNX file into ``folder`` as ``model.onnx``, with the files it keeps weights in under their own names.

    Raises:
        BundleError: it is not a whole ONNX file.
    """
    weights = external_files(onnx_path)
    shutil.copyfile(onnx_path, folder / ONNX_FILE)
    for name in weights:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(onnx_path.parent / name, folder / name)


def network_sha256(onnx_path: Path) -> str:
    """SHA-256, hex, of a network: of the file, and when there are any, of its external weights too.

    Raises:
        BundleError: the file, or weights it refers to, are missing or not whole.
    """
    weights = external_files(onnx_path)
    own = file_sha256(onnx_path)
    if not weights:
        return own
    total = hashlib.sha256(bytes.fromhex(own))
    for name in sorted(weights):
        total.update(name.encode() + b"\0" + bytes.fromhex(file_sha256(onnx_path.parent / name)))
    return total.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hex; read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
