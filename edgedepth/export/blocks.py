"""Groups the nodes that can be quantised into the blocks that INT8 is decided for."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from edgedepth.export.overflow import module_path

__all__ = ["MOST_BLOCKS", "blocks_of"]

MOST_BLOCKS = 24
"""Each costs one trial. Finer ones would find less to exclude and take longer to find it."""

_JOINS = ("Add", "Concat", "Mul", "Sum")


def blocks_of(model: Any, nodes: list[Any], most: int = MOST_BLOCKS) -> dict[str, tuple[str, ...]]:
    """Names of nodes by block, in the order of the graph; at most ``most`` blocks.

    Where the exporter noted the modules, blocks are modules: the largest is taken apart into those it holds as long as
    there are not too many. Else they are the stretches between the places where branches of the graph join.

    Args:
        model: onnx ModelProto.
        nodes: those to group, in the order of the graph.
        most: how many blocks there may be.
    """
    paths = {node.name: path for node in nodes if (path := module_path(node)) is not None}
    groups = _modules(paths, most) if len(paths) == len(nodes) else _stretches(model, nodes, most)
    order = {node.name: index for index, node in enumerate(nodes)}
    return dict(sorted(groups.items(), key=lambda group: order[group[1][0]]))


def _modules(paths: dict[str, tuple[str, ...]], most: int) -> dict[str, tuple[str, ...]]:
    groups: dict[tuple[str, int], list[str]] = {("", 0): list(paths)}
    whole: set[tuple[str, int]] = set()
    while splittable := [key for key in groups if key not in whole]:
        largest = max(splittable, key=lambda key: len(groups[key]))
        parts = defaultdict(list)
        for name in groups[largest]:
            path, depth = paths[name], largest[1] + 1
            parts[path[min(depth, len(path) - 1)], depth].append(name)
        deeper = any(len(paths[name]) > largest[1] + 1 for name in groups[largest])
        if not deeper or len(groups) - 1 + len(parts) > most:
            whole.add(largest)
            continue
        del groups[largest]
        groups.update(parts)
    merged: dict[str, list[str]] = defaultdict(list)
    for (module, _), names in groups.items():
        merged[module or "network"] += names
    return {module: tuple(names) for module, names in merged.items()}


def _stretches(model: Any, nodes: list[Any], most: int) -> dict[str, tuple[str, ...]]:
    wanted = {node.name for node in nodes}
    constants = {tensor.name for tensor in model.graph.initializer}
    runs: list[list[str]] = [[]]
    for node in model.graph.node:
        if node.name in wanted:
            runs[-1].append(node.name)
        elif node.op_type in _JOINS and sum(name not in constants for name in node.input) > 1 and runs[-1]:
            runs.append([])
    runs = [run for run in runs if run]
    while len(runs) < most and max(map(len, runs)) > 1:  # halve the longest
        longest = max(range(len(runs)), key=lambda index: len(runs[index]))
        half = -(-len(runs[longest]) // 2)
        runs[longest : longest + 1] = [runs[longest][:half], runs[longest][half:]]
    while len(runs) > most:  # join the neighbours that are shortest together
        at = min(range(len(runs) - 1), key=lambda index: len(runs[index]) + len(runs[index + 1]))
        runs[at : at + 2] = [runs[at] + runs[at + 1]]
    named, first = {}, 1
    for run in runs:
        last = first + len(run) - 1
        named[f"layers {first}-{last} of {len(nodes)}" if last > first else f"layer {first} of {len(nodes)}"] = tuple(
            run
        )
        first = last + 1
    return named
