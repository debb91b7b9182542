"""Losses against closed forms and NumPy written from the formulae; masks, empty images and division over batches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from edgedepth.errors import RecipeError
from edgedepth.training.losses import Objective, Prediction, Truth, in_space
from edgedepth.training.recipe import LOSS_OPTIONS, LossTerm
from edgedepth.training.structure import align_scale_shift
from edgedepth.types import DepthKind

RANGE_M = (0.1, 10.0)
SPACES = {"depth": lambda m: m, "log": np.log, "inverse": lambda m: 1 / m}


def maps(seed: int = 0, batch: int = 2, height: int = 24, width: int = 30) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predicted and true metres with holes, and an image in 0..1; float64 B x H x W (x 3)."""
    random = np.random.default_rng(seed)
    true = random.uniform(0.5, 8.0, (batch, height, width))
    predicted = true * random.uniform(0.7, 1.4, true.shape)
    true[random.random(true.shape) < 0.2] = np.nan
    return predicted, true, random.random((batch, height, width, 3))


def loss_of(
    term: dict, predicted: np.ndarray, true: np.ndarray, image: np.ndarray | None = None, pairs: list | None = None,
    kind: DepthKind = DepthKind.METRIC, space: str = "depth",
) -> tuple[float, Tensor]:  # fmt: skip
    values = torch.tensor(predicted, dtype=torch.float32)[:, None].requires_grad_()
    picture = np.zeros((*predicted.shape, 3)) if image is None else image
    rows = torch.tensor(pairs or [], dtype=torch.int64).reshape(-1, 6)
    truth = Truth(
        torch.tensor(true, dtype=torch.float32)[:, None], torch.tensor(picture).permute(0, 3, 1, 2).float(), rows
    )
    total, _ = Objective([LossTerm.model_validate(term)], RANGE_M, kind)(Prediction(values, space, kind), truth)
    total.backward()
    assert values.grad is not None
    assert bool(torch.isfinite(values.grad).all()), "holes give no gradient that is no number"
    return float(total.detach()), values.grad[:, 0]


def per_image(found: np.ndarray, mask: np.ndarray) -> float:
    return float(np.mean([found[i][mask[i]].mean() if mask[i].any() else 0.0 for i in range(len(found))]))


def neighbours(values: np.ndarray, axis: int) -> np.ndarray:
    return np.diff(values, axis=axis)


@pytest.mark.parametrize("space", SPACES)
def test_l1_and_mse_are_means_over_valid_pixels_per_image(space: str) -> None:
    predicted, true, _ = maps()
    error = SPACES[space](predicted) - SPACES[space](true)
    valid = np.isfinite(true)
    found, gradient = loss_of({"name": "l1", "space": space}, predicted, true)
    assert found == pytest.approx(per_image(np.abs(error), valid), rel=1e-5)
    assert bool((gradient[~torch.tensor(valid)] == 0).all())
    assert loss_of({"name": "mse", "space": space}, predicted, true)[0] == pytest.approx(
        per_image(error**2, valid), rel=1e-5
    )


def test_berhu_is_l1_below_c_and_a_parabola_above() -> None:
    true = np.full((1, 1, 3), 2.0)
    predicted = true + np.array([[[0.1, -0.2, 1.0]]])  # c = 0.2: 0.1, 0.2, (1 + 0.04) / 0.4
    assert loss_of({"name": "berhu"}, predicted, true)[0] == pytest.approx((0.1 + 0.2 + 2.6) / 3, rel=1e-5)


def test_silog_forgets_as_much_of_the_scale_as_its_lambda_says() -> None:
    predicted, true, _ = maps()
    valid = np.isfinite(true)
    d = np.log(predicted) - np.log(true)
    for share in (0.5, 0.85, 1.0):
        expected = np.mean(
            [math.sqrt((d[i][valid[i]] ** 2).mean() - share * d[i][valid[i]].mean() ** 2) for i in (0, 1)]
        )
        term = {"name": "silog", "options": {"variance_focus": share}}
        assert loss_of(term, predicted, true)[0] == pytest.approx(expected, rel=1e-4)
    assert loss_of({"name": "silog", "options": {"variance_focus": 1.0}}, 3 * true_filled(true), true)[0] < 2e-3
    assert loss_of({"name": "silog"}, 3 * true_filled(true), true)[0] == pytest.approx(math.log(3) / math.sqrt(2), 1e-4)


def true_filled(true: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(true), true, 1.0)


def test_ssim_is_that_of_the_paper_in_whole_windows() -> None:
    """Wang et al. 2004 written out for the one window that holds no hole and needs no border."""
    predicted, true, _ = maps(batch=1, height=11, width=11)
    true = np.where(np.isnan(true), 3.0, true)
    offsets = np.arange(11) - 5
    g = np.exp(-(offsets**2) / (2 * 1.5**2))
    w = np.outer(g, g) / np.outer(g, g).sum()
    x, y, L = np.log(predicted[0]), np.log(true[0]), math.log(100)
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, vxy = (w * x * x).sum() - mx**2, (w * y * y).sum() - my**2, (w * x * y).sum() - mx * my
    c1, c2 = (0.01 * L) ** 2, (0.03 * L) ** 2
    centre = (2 * mx * my + c1) * (2 * vxy + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    # Every other window of an 11 x 11 image reaches over its border; one hole in each corner rules those out.
    big_true, big_predicted = np.full((1, 21, 21), 3.0), np.full((1, 21, 21), 3.0)
    big_true[0, 5:16, 5:16], big_predicted[0, 5:16, 5:16] = true[0], predicted[0]
    big_true[0, 4, :] = big_true[0, 16, :] = big_true[0, :, 4] = big_true[0, :, 16] = np.nan
    # Whole windows are the middle one alone: those in the frame of 4 pixels around are cut by the border of holes.
    found = loss_of({"name": "ssim", "space": "log"}, big_predicted, big_true)[0]
    assert found == pytest.approx((1 - centre) / 2, rel=1e-4)


def test_a_range_that_fits_is_needed_to_see_structure() -> None:
    """A range of 256 for log depth, as in the Keras example, and the structure of an error is hardly seen."""
    true = true_filled(maps()[1])
    flat = np.exp(np.log(true).mean((1, 2), keepdims=True)) * np.ones_like(true)
    fitting = loss_of({"name": "ssim", "space": "log"}, flat, true)[0]
    swamped = loss_of({"name": "ssim", "space": "log", "options": {"data_range": 256.0}}, flat, true)[0]
    assert fitting > 0.3
    assert swamped < fitting / 5


def test_gradient_compares_neighbours_that_are_both_valid() -> None:
    predicted, true, _ = maps()
    error, valid = np.log(predicted) - np.log(true), np.isfinite(true)
    expected = per_image(np.abs(neighbours(error, 2)), valid[:, :, 1:] & valid[:, :, :-1])
    expected += per_image(np.abs(neighbours(error, 1)), valid[:, 1:] & valid[:, :-1])
    assert loss_of({"name": "gradient", "space": "log"}, predicted, true)[0] == pytest.approx(expected, rel=1e-4)
    assert loss_of({"name": "gradient"}, true_filled(true) + 5, true)[0] == pytest.approx(0, abs=1e-5)


def test_smoothness_spares_depth_edges_where_the_image_has_one() -> None:
    predicted, true, image = maps()
    x = np.abs(neighbours(predicted, 2)) * np.exp(-np.abs(np.diff(image, axis=2)).mean(-1))
    y = np.abs(neighbours(predicted, 1)) * np.exp(-np.abs(np.diff(image, axis=1)).mean(-1))
    found = loss_of({"name": "smoothness"}, predicted, true, image)[0]
    assert found == pytest.approx(x.mean() + y.mean(), rel=1e-5)
    step = np.ones((1, 8, 8))
    step[:, :, 4:] = 2.0
    with_edge = np.repeat((step - 1)[..., None], 3, axis=3)
    on_edge = loss_of({"name": "smoothness"}, step, step, with_edge)[0]
    on_plain = loss_of({"name": "smoothness"}, step, step, np.zeros_like(with_edge))[0]
    assert on_edge == pytest.approx(on_plain * math.exp(-1), rel=1e-5)


def test_scale_and_shift_are_least_squares_and_then_cost_nothing() -> None:
    predicted, true, _ = maps()
    valid = np.isfinite(true)
    p, g = torch.tensor(predicted)[:, None].float(), torch.tensor(true_filled(true))[:, None].float()
    scale, shift = align_scale_shift(p, g, torch.tensor(valid)[:, None])
    for i in (0, 1):
        fit = np.polyfit(predicted[i][valid[i]], true[i][valid[i]], 1)
        assert (float(scale[i]), float(shift[i])) == pytest.approx(tuple(fit), rel=1e-4)
    term = {"name": "scale-shift-invariant", "space": "inverse"}
    exact = 1 / (3 / true_filled(true) + 0.2)
    assert loss_of(term, exact, true)[0] == pytest.approx(0, abs=1e-5)


def test_scale_shift_invariant_is_that_of_midas() -> None:
    predicted, true, _ = maps(3)
    expected = []
    for p, g in zip(1 / predicted, 1 / true, strict=True):
        mask = np.isfinite(g)
        s, t = np.linalg.lstsq(np.stack([p[mask], np.ones(mask.sum())], 1), g[mask], rcond=None)[0]
        residual = s * p + t - g
        value = (residual[mask] ** 2).sum() / (2 * mask.sum())
        for k in range(4):
            r, m = residual[:: 2**k, :: 2**k], mask[:: 2**k, :: 2**k]
            total = np.nansum(np.abs(np.diff(r, axis=1))) + np.nansum(np.abs(np.diff(r, axis=0)))
            value += 0.5 * total / m.sum()
        expected.append(value)
    term = {"name": "scale-shift-invariant", "space": "inverse"}
    assert loss_of(term, predicted, true)[0] == pytest.approx(np.mean(expected), rel=1e-3)
    disparity = loss_of(term, 7 / predicted + 2, true, kind=DepthKind.DISPARITY, space="inverse")[0]
    assert disparity == pytest.approx(np.mean(expected), rel=1e-3), "any scale and shift of a disparity is the same"


def test_ordinal_wants_the_farther_point_farther() -> None:
    depth = np.array([[[1.0, 4.0, 4.0]]])
    none = np.full_like(depth, np.nan)
    right = loss_of({"name": "ordinal", "space": "log"}, depth, none, pairs=[[0, 1, 0, 0, 0, 1]])
    assert right[0] == pytest.approx(math.log(1 + 1 / 4), rel=1e-5)  # exp(-(ln 4 - ln 1)) = 1/4
    wrong, gradient = loss_of({"name": "ordinal", "space": "log"}, depth, none, pairs=[[0, 1, 0, 0, 0, -1]])
    assert wrong == pytest.approx(math.log(1 + 4), rel=1e-5)
    assert gradient[0, 0, 1] > 0 > gradient[0, 0, 0], "going down the slope brings the first nearer"
    equal = loss_of({"name": "ordinal"}, depth, none, pairs=[[0, 1, 0, 2, 0, 0], [0, 1, 0, 0, 0, 0]])[0]
    assert equal == pytest.approx((0 + 9) / 2)
    inverse = loss_of({"name": "ordinal", "space": "inverse"}, depth, none, pairs=[[0, 1, 0, 0, 0, 1]])[0]
    assert inverse == pytest.approx(math.log(1 + math.exp(-(1 - 1 / 4))), rel=1e-5), "nearer is larger there"


@pytest.mark.parametrize("name", [name for name in LOSS_OPTIONS if name not in ("smoothness", "ordinal", "person")])
def test_an_image_without_truth_adds_nothing_and_batches_divide(name: str) -> None:
    predicted, true, image = maps(batch=4)
    true[2] = np.nan
    term = {"name": name}
    whole = loss_of(term, predicted, true, image)[0]
    halves = [loss_of(term, predicted[half], true[half], image[half])[0] for half in (slice(0, 2), slice(2, 4))]
    assert whole == pytest.approx(sum(halves) / 2, rel=1e-5), "what two processes average is the whole batch's"
    nothing, gradient = loss_of(term, predicted[:1], np.full_like(true[:1], np.nan), image[:1])
    assert nothing == 0
    assert not gradient.any()


@pytest.mark.parametrize(
    "name", [n for n in LOSS_OPTIONS if n not in ("smoothness", "ordinal", "scale-shift-invariant", "person")]
)
def test_a_perfect_prediction_costs_nothing(name: str) -> None:
    _, true, _ = maps()
    assert loss_of({"name": name}, true_filled(true), true)[0] == pytest.approx(0, abs=2e-6)


def test_spaces_convert_both_ways() -> None:
    metres = torch.tensor([0.5, 2.0, 8.0])
    for found in ("depth", "inverse"):
        values = metres if found == "depth" else 1 / metres
        assert torch.allclose(in_space(values, found, "log"), metres.log())
        assert torch.allclose(in_space(values, found, "depth"), metres)
        assert torch.allclose(in_space(values, found, "inverse"), 1 / metres)


def test_terms_add_up_by_weight_and_are_told() -> None:
    predicted, true, _ = maps()
    terms = [LossTerm(name="l1", weight=2.0), LossTerm(name="mse", space="log", weight=0.5)]
    values = torch.tensor(predicted, dtype=torch.float32)[:, None]
    truth = Truth(torch.tensor(true, dtype=torch.float32)[:, None], torch.zeros(2, 3, 24, 30), torch.zeros(0, 6).long())
    total, parts = Objective(terms, RANGE_M, DepthKind.METRIC)(Prediction(values, "depth"), truth)
    assert set(parts) == {"l1_depth", "mse_log"}
    assert float(total) == pytest.approx(2 * float(parts["l1_depth"]) + 0.5 * float(parts["mse_log"]), rel=1e-6)


def test_metres_are_not_asked_of_a_network_without_them() -> None:
    with pytest.raises(RecipeError, match="l1 loss compares metres and the network gives disparity"):
        Objective([LossTerm(name="l1")], RANGE_M, DepthKind.DISPARITY)
    predicted, true, _ = maps()
    with pytest.raises(RecipeError, match="compared in space 'inverse'"):
        loss_of({"name": "ordinal", "space": "log"}, predicted, true, kind=DepthKind.DISPARITY, space="inverse",
                pairs=[[0, 1, 0, 0, 0, 1]])  # fmt: skip


def person_loss(p: np.ndarray, who: np.ndarray) -> float:
    """``p`` and ``who`` B x H x W."""
    depth = torch.ones(len(p), 1, *p.shape[1:])
    truth = Truth(depth, depth.expand(-1, 3, -1, -1), torch.zeros(0, 6, dtype=torch.int64),
                  torch.tensor(who, dtype=torch.uint8)[:, None])  # fmt: skip
    found = Prediction(depth, "depth", person=torch.tensor(p, dtype=torch.float32)[:, None])
    objective = Objective([LossTerm(name="person")], RANGE_M, DepthKind.METRIC)
    return float(objective(found, truth)[0])


def test_the_person_loss_is_cross_entropy_and_dice_over_what_is_known() -> None:
    p = np.array([[[0.9, 0.2], [0.6, 0.5]]])
    who = np.array([[[1, 0], [0, 255]]])
    entropy = -(math.log(0.9) + math.log(0.8) + math.log(0.4)) / 3
    dice = 1 - 2 * 0.9 / ((0.9 + 0.2 + 0.6) + 1)
    assert person_loss(p, who) == pytest.approx(entropy + dice, rel=1e-5)


def test_the_person_loss_without_anyone_is_cross_entropy_alone_and_without_truth_nothing() -> None:
    p = np.array([[[0.9, 0.2]]])
    assert person_loss(p, np.zeros((1, 1, 2))) == pytest.approx(-(math.log(0.1) + math.log(0.8)) / 2, rel=1e-5)
    assert person_loss(p, np.full((1, 1, 2), 255)) == 0
