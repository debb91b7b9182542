"""What a training step of a network costs on a CPU, with and without what ``edgedepth.training.on_cpu`` does.

    python benchmarks/training.py [--model edgedepth-s] [--batch 16] [--threads 2]

Forward, a loss, backward, in bfloat16; data and optimiser are left out. Each variant has a process of its own, since
the C library's setting is a process's; they take turns, and ratios are medians over the turns.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from record import Record, rounded

from edgedepth.export.recipe import load_recipe
from edgedepth.models import build_network
from edgedepth.training.on_cpu import depthwise_in_float32, keep_freed_memory

VARIANTS = {"plain": (False, False), "memory": (True, False), "depthwise": (False, True), "both": (True, True)}
PACKAGES = ("torch", "timm", "numpy")


def pictures_per_s(name: str, variant: str, batch: int, threads: int, steps: int) -> float:
    """One variant in this process."""
    keeps, casts = VARIANTS[variant]
    torch.set_num_threads(threads)
    if keeps:
        keep_freed_memory()
    recipe = load_recipe(name)
    network = build_network(recipe.model.family, recipe.model.config).train().to(memory_format=torch.channels_last)
    if casts:
        depthwise_in_float32(network)
    size = recipe.input.height, recipe.input.width
    image = torch.randn(batch, 3, *size).to(memory_format=torch.channels_last)
    truth = torch.rand(batch, 1, *size) * 3 + 1

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            found = network(image)
        depth = found[0] if isinstance(found, tuple) else found
        (depth.float().clamp_min(1e-3).log() - truth.log()).abs().mean().backward()

    for _ in range(3):
        step()
    before = time.perf_counter()
    for _ in range(steps):
        step()
    return batch * steps / (time.perf_counter() - before)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="edgedepth-s", help="an export recipe")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path, help="default: benchmarks/results/training-step-DEVICE-DATE.json")
    arguments = parser.parse_args()
    if arguments.variant:
        print(pictures_per_s(arguments.model, arguments.variant, arguments.batch, arguments.threads, arguments.steps))
        return
    record = Record(
        "training_step", arguments.output, file_name="training-step-{device}-{date}.json", packages=PACKAGES
    )
    found: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(arguments.turns):
        for name, rates in found.items():
            done = subprocess.run(
                [sys.executable, __file__, *sys.argv[1:], "--variant", name], check=True, stdout=subprocess.PIPE
            )
            rates.append(float(done.stdout))
    results = {
        name: {
            "pictures_per_s": statistics.median(rates),
            "of_plain": statistics.median(a / b for a, b in zip(rates, found["plain"], strict=True)),
        }
        for name, rates in found.items()
    }
    settings = {name: getattr(arguments, name) for name in ("model", "batch", "threads", "steps", "turns")}
    record.write(settings, rounded(results))


if __name__ == "__main__":
    main()
