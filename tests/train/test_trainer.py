"""The training step: what enters the weights, and what never does."""

from __future__ import annotations

import copy
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from beeline.cli.train import train
from beeline.core.data import Batch
from beeline.core.device import find_device
from beeline.core.errors import RunError, UserError
from beeline.core.protocols import Objective, Predictor
from beeline.core.random import Key
from beeline.train.config import TrainConfig
from beeline.train.ema import Ema
from beeline.train.folder import RunFolder
from beeline.train.loop import log_record, measure, save
from beeline.train.machine import settle
from beeline.train.schedule import learning_rate
from beeline.train.trainer import Trainer
from tests.conftest import FAST
from tests.train.helpers import fingerprint, make_trainer


class Exploding:
    """An objective whose loss is infinite."""

    def __init__(self, original: Objective) -> None:
        self.original = original
        self.prediction, self.outputs, self.times = original.prediction, original.outputs, original.times
        self.learned = original.learned

    def __call__(self, predictor: Predictor, batch: Batch, key: Key) -> torch.Tensor:
        return self.original(predictor, batch, key) * float("inf")


def weights(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trainer.network.state_dict().items()}


def test_accumulation_equals_the_big_batch() -> None:
    whole, parts = make_trainer(train__accumulation=1), make_trainer(train__accumulation=4)
    for _ in range(3):
        whole.train_step()
        parts.train_step()
    for (name, one), other in zip(weights(whole).items(), weights(parts).values(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6, msg=name)
    big, small = whole.take_measurements(), parts.take_measurements()
    assert big["loss"] == pytest.approx(small["loss"], rel=1e-5)
    assert big["gradient_norm"] == pytest.approx(small["gradient_norm"], rel=1e-4)


def test_packing_trains_like_padding() -> None:
    padded, packed = (make_trainer("waves", train__packing=packing, model__depth=2) for packing in (False, True))
    for _ in range(3):
        padded.train_step()
        packed.train_step()
    assert padded.take_measurements()["loss"] == pytest.approx(packed.take_measurements()["loss"], rel=1e-5)
    rows = [len(trainer.feed.batch(0, 16).tokens.values) for trainer in (padded, packed)]
    assert rows[1] < rows[0] == 16


def test_what_is_measured_is_the_mean_loss_and_its_part_in_each_bin_of_time() -> None:
    trainer, key = make_trainer(train__device="cpu"), Key.range(0, 0, 16)
    with torch.no_grad():
        losses = trainer.objective(trainer.network, trainer.feed.batch(0, 16), key)
    tenths = (10 * trainer.objective.times(key)).long()
    trainer.train_step()
    for tenth, loss in enumerate(trainer.take_measurements()["loss_by_time"]):
        mine = losses[tenths == tenth]
        assert loss == (pytest.approx(mine.mean().item(), rel=1e-5) if len(mine) else None)
    trainer.train_step()
    trainer.train_step()
    counts = trainer._meter[-10:].tolist()
    measured = trainer.take_measurements()
    bins = [(loss, count) for loss, count in zip(measured["loss_by_time"], counts, strict=True) if count]
    assert sum(counts) == 2 * 16
    assert sum(loss * count for loss, count in bins) / 32 == pytest.approx(measured["loss"])
    assert trainer.take_measurements()["loss"] is None


def test_a_gradient_that_is_not_finite_never_reaches_the_weights() -> None:
    trainer = make_trainer()
    for _ in range(3):
        trainer.train_step()
    before, averages = weights(trainer), {name: tensor.clone() for name, tensor in trainer.ema.average.items()}
    moments = {name: tensor.clone() for name, tensor in trainer.tensors()["optimiser"].items()}
    trainer.objective = Exploding(trainer.objective)
    with pytest.raises(RunError, match="step 4: the gradient is not finite"):
        trainer.train_step()
    for name, tensor in weights(trainer).items():
        assert torch.equal(tensor, before[name]), name
    for name, tensor in trainer.tensors()["optimiser"].items():
        assert torch.equal(tensor, moments[name]), name
    for name, tensor in trainer.ema.average.items():
        torch.testing.assert_close(tensor, averages[name], rtol=0.5, atol=0.05)
        assert torch.isfinite(tensor).all()


def test_nothing_is_saved_after_a_gradient_that_was_not_finite(tmp_path: Path) -> None:
    """Where looking costs a synchronisation, as on a GPU, saving is when it is noticed."""
    folder, trainer = RunFolder(tmp_path / "run"), make_trainer(train__device="cpu")
    folder.create({})
    folder.describe({})
    trainer.objective = Exploding(trainer.objective)
    for attempt in (trainer.train_step, lambda: save(trainer, folder)):
        with pytest.raises(RunError, match="step 1: the gradient is not finite"):
            attempt()
    assert folder.steps() == []


@pytest.mark.parametrize("clip_norm", [0.0, 0.05])
def test_a_step_is_adamw_on_the_samples_of_its_own_numbers_and_is_then_averaged(clip_norm: float) -> None:
    """Against the same steps written with torch's own optimiser: every option of training enters as it should."""
    trainer = make_trainer(
        train__device="cpu",
        train__clip_norm=clip_norm,
        train__betas="[0.8,0.95]",
        train__weight_decay=0.3,
        train__learning_rate=0.01,
        train__warmup_steps=3,
        train__seed=5,
    )
    network = copy.deepcopy(trainer.network)
    optimiser = torch.optim.AdamW(network.parameters(), betas=(0.8, 0.95), weight_decay=0.3, fused=True)
    average = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for step in range(3):
        loss = trainer.objective(network, trainer.feed.batch(16 * step, 16), Key.range(5, 16 * step, 16))
        (loss.sum() / 16).backward()
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(network.parameters(), clip_norm)
        optimiser.param_groups[0]["lr"] = 0.01 * (step + 1) / 4
        optimiser.step()
        optimiser.zero_grad()
        trainer.train_step()
        decay = (1 + step) / (10 + step)
        for name, parameter in network.named_parameters():
            average[name] = decay * average[name] + (1 - decay) * parameter.detach()
            torch.testing.assert_close(trainer.network.get_parameter(name), parameter, rtol=1e-4, atol=1e-6)
            torch.testing.assert_close(trainer.ema.average[name], average[name], rtol=1e-4, atol=1e-6)
        assert log_record(trainer, 1.0)["learning_rate"] == pytest.approx(0.01 * (step + 1) / 4)


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_training_computes_in_its_precision_over_fp32_weights(precision: str, dtype: torch.dtype) -> None:
    trainer, computed = make_trainer(train__precision=precision), set[torch.dtype]()
    for block in trainer.network.dit.blocks:
        block.get_submodule("attention.qkv").register_forward_hook(lambda _, given, out: computed.add(out.dtype))
    trainer.train_step()
    assert computed == {dtype}
    assert {parameter.dtype for parameter in trainer.network.parameters()} == {torch.float32}


def test_gradients_are_clipped_to_the_norm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The logged norm is the one before clipping; a tiny clip makes the first step tiny for plain descent."""
    trainer = make_trainer(train__clip_norm=1e-3)
    monkeypatch.setattr(trainer._optimiser, "zero_grad", lambda **_: None)
    trainer.train_step()
    clipped = torch.cat([parameter.grad.flatten() for parameter in trainer._parameters if parameter.grad is not None])
    assert clipped.norm().item() == pytest.approx(1e-3, rel=1e-3)
    assert trainer.take_measurements()["gradient_norm"] > 1e-2


def test_the_order_of_steps_is_a_function_of_the_step_number_alone() -> None:
    straight, jumped = make_trainer(), make_trainer()
    for _ in range(4):
        straight.train_step()
    restored = {group: {n: t.clone() for n, t in tensors.items()} for group, tensors in straight.tensors().items()}
    straight.train_step()
    jumped.restore(4, restored)
    jumped.train_step()
    for name, tensor in weights(straight).items():
        assert torch.equal(tensor, weights(jumped)[name]), name


def test_a_checkpoint_of_another_network_is_refused() -> None:
    trainer = make_trainer()
    trainer.train_step()
    good = trainer.tensors()
    other = make_trainer()
    other.restore(1, good)
    deeper = make_trainer(model__depth=3).tensors()
    first = next(iter(good["optimiser"]))
    for group, change, message in (
        ("weights", deeper["weights"], "weights: tensor backbone.blocks.2.*not of this network"),
        ("ema", {}, "ema: tensor .* is missing"),
        ("optimiser", {}, "optimiser: tensor .* is missing"),
        ("optimiser", {n: t for n, t in good["optimiser"].items() if "exp_avg_sq" not in n}, "exp_avg_sq is missing"),
        ("optimiser", {**good["optimiser"], first: torch.zeros(3, 3)}, r"is \(3, 3\), not"),
        ("meter", {"sums": torch.zeros(1)}, "meter: tensor sums"),
    ):
        with pytest.raises(UserError, match=message):
            other.restore(1, {**good, group: change})


def test_the_average_follows_its_formula() -> None:
    weight = torch.zeros(3)
    ema = Ema([("w", weight)], decay=0.9)
    expected = torch.zeros(3)
    for step in range(60):
        weight.add_(1.0)
        ema.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight
        torch.testing.assert_close(ema.average["w"], expected)
    assert ema.decay_at(0) == 0.1
    assert ema.decay_at(10**6) == 0.9
    assert ema.horizon() == pytest.approx(10)
    assert Ema([], TrainConfig().ema_decay).horizon() == pytest.approx(100)


def test_the_learning_rate_warms_up_holds_and_decays() -> None:
    config = TrainConfig(learning_rate=1.0, warmup_steps=10, decay_share=0.5, decay_to=0.1)
    rates = [learning_rate(config, step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(1 / 11)
    assert all(later > earlier for earlier, later in pairwise(rates[:11]))
    assert set(rates[10:51]) == {1.0}
    assert all(later <= earlier for earlier, later in pairwise(rates[50:]))
    assert rates[-1] == pytest.approx(0.1)
    assert min(rates[10:]) >= 0.1
    constant = TrainConfig(learning_rate=0.5, warmup_steps=0, decay_share=0.0)
    assert {learning_rate(constant, step, 100) for step in range(100)} == {0.5}


def test_machine_choices_are_settled_once_and_told() -> None:
    settings, choices = settle(TrainConfig())
    assert settings.precision in ("fp32", "bf16")
    assert settings.threads == torch.get_num_threads()
    assert [choice.name for choice in choices] == ["train.device", "train.precision", "train.threads", "train.matmul"]
    again, nothing = settle(settings)
    assert again == settings
    assert nothing == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
def test_a_device_that_is_not_here_is_refused() -> None:
    with pytest.raises(UserError, match="torch finds no GPU here"):
        find_device("cuda")


def test_a_time_budget_becomes_steps() -> None:
    trainer = make_trainer(train__steps=None, train__budget="2s")
    assert 10 < trainer.steps < 5000


def test_probes_leave_the_run_as_it_would_be_without_them(tmp_path: Path) -> None:
    """With and without: bit-identical weights, averages and log, save for what the probe adds."""
    runs = [
        train(
            "digits",
            tmp_path / name,
            options={**FAST, "train.steps": 12, "train.held_out_every": every, "train.sample_every": 2 * every},
        )
        for name, every in (("with", 2), ("without", 0))
    ]
    assert [path.name for path in sorted((runs[0] / "samples/steps").iterdir())] == [
        f"step-{step:06}.png" for step in (4, 8, 12)
    ]
    assert not (runs[1] / "samples/steps").exists()
    one, other = (fingerprint(run) for run in runs)
    for line in one["log"]:
        mean, by_time = line.pop("held_out_loss"), line.pop("held_out_loss_by_time")
        assert 0 < min(filter(None, by_time)) < mean < max(filter(None, by_time))
    assert "model.json" in one
    one.pop("model.json")
    other.pop("model.json")
    assert one == other


def test_probes_are_taken_at_the_first_line_of_the_log_that_is_due() -> None:
    trainer = make_trainer(train__log_every=4)
    asked: list[int] = []

    class Every:
        every = 6

        def __call__(self, step: int, predictor: object) -> dict[str, int]:
            asked.append(step)
            return {"probe": step}

    for step in (4, 8, 12, 16, 20):
        trainer.step = step
        measure(trainer, [Every()])
    assert asked == [8, 12, 20]


def test_the_averaged_weights_are_lent_and_given_back() -> None:
    trainer = make_trainer()
    trainer.train_step()
    before = weights(trainer)
    with trainer.averaged():
        for name, parameter in trainer.network.named_parameters():
            assert torch.equal(parameter, trainer.ema.average[name])
    for name, tensor in weights(trainer).items():
        assert torch.equal(tensor, before[name])


def test_threads_are_given_back(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    try:
        train("digits", tmp_path / "run", options={**FAST, "train.steps": 2})
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(1)
