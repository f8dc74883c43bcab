"""Sets of perturbations: one answer for all ways to write a set, and answers for sets that training never had."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from beeline.conditioning.perturbations import Perturbations
from beeline.conditioning.pooled import SetEmbedding
from beeline.core.config import build, plain
from beeline.core.data import Example
from beeline.core.errors import InputWarning, UserError
from beeline.core.offers import Blending, NamedChoices, Remarking
from beeline.core.parts import describe_part, rebuild_part
from beeline.core.protocols import Condition
from beeline.evaluate.gallery import caption
from beeline.evaluate.sets import classes_of
from beeline.generate.asking import look_over
from beeline.model.codec import Codec
from beeline.tokenizers.grid import GridTokenizer

TOKENIZER = GridTokenizer((2,))
ROWS = ((1.0, 5.0), (2.0, -3.0), (-1.0, 0.5), (0.0, 2.0))
SETS = Perturbations("gene").fit([(), ("A",), ("B",), ("C",), ("A", "B"), None])
SINGLES = Perturbations("gene").fit([(), "C", ["A"], {"B"}])
FEATURED = Perturbations("gene", tuple("ABCD"), ROWS).fit([(), "A", "B", "C", "A+C"])
DOSED = Perturbations("drug", doses=True).fit([(), {"A": 0.1}, {"A": 10.0}, {"B": 1.0}, {"A": 1.0, "B": 1.0}])


def stirred(condition: Perturbations, width: int = 16, seed: int = 0) -> SetEmbedding:
    """An embedder none of whose weights is zero, as after training."""
    torch.manual_seed(seed)
    embedder = condition.embedder(width, TOKENIZER)
    assert isinstance(embedder, SetEmbedding)
    with torch.no_grad():
        for weight in embedder.parameters():
            weight.copy_(torch.randn(weight.shape) * 0.4)
    return embedder


def vectors(condition: Perturbations, embedder: nn.Module, values: list[Any]) -> Tensor:
    """What the network is told about some values, None being unknown."""
    slots = torch.stack([condition.encode(value) for value in values])
    with torch.no_grad():
        out: Tensor = embedder(slots, torch.tensor([value is None for value in values]))
    return out


def test_it_meets_the_seams() -> None:
    for protocol in (Condition, NamedChoices, Remarking, Blending):
        assert isinstance(SETS, protocol)
    assert (SETS.route, SETS.known, SETS.trained, SETS.most) == ("global", ("A", "B", "C"), ("A", "B", "C"), 2)


def test_order_means_nothing_in_values_and_in_slots() -> None:
    for way in (["C", "A", "B"], "B+A+C", {"C", "B", "A"}, np.array(["B", "C", "A"]), "control+C + B+A"):
        assert torch.equal(SETS.encode(way), SETS.encode(("A", "B", "C")))
    for condition, value in ((SETS, "A+B+C"), (DOSED, {"A": 0.3, "B": 4.0}), (FEATURED, "A+B+D")):
        embedder, slots = stirred(condition), condition.encode(value)
        expected = embedder(slots[None], torch.tensor([False])).detach()
        for order in itertools.islice(itertools.permutations(range(condition.slots)), 0, 40320, 5555):
            turned = embedder(slots[list(order)][None], torch.tensor([False]))
            torch.testing.assert_close(turned, expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


def test_every_member_counts_and_so_does_its_absence() -> None:
    values = [None, (), "A", "B", "C", "A+B", "A+C", "B+C", "A+B+C"]
    out = vectors(SETS, stirred(SETS), values)
    assert all((one - other).abs().max() > 1e-2 for one, other in itertools.combinations(out, 2))


def test_the_empty_set_and_the_unknown_are_learned_apart_from_each_other() -> None:
    embedder = stirred(SETS)
    slots, null = torch.stack([SETS.encode(())] * 2), torch.tensor([False, True])
    for row, mine, other in ((0, embedder.empty, embedder.null), (1, embedder.null, embedder.empty)):
        embedder.zero_grad()
        embedder(slots, null)[row].sum().backward()
        assert mine is not None
        assert other is not None
        assert mine.grad is not None
        assert mine.grad.abs().sum() > 0
        assert other.grad is None or not other.grad.any()
    assert all(torch.isfinite(each.grad).all() for each in embedder.parameters() if each.grad is not None)
    assert Perturbations("gene", dropout=0.0).fit(["A", "B"]).embedder(8, TOKENIZER).null is None


def test_padding_never_changes_an_answer() -> None:
    embedder = stirred(SETS)
    alone = vectors(SETS, embedder, ["B"])
    beside = vectors(SETS, embedder, ["A+B+C", "B", (), None])
    torch.testing.assert_close(beside[1:2], alone, rtol=0, atol=1e-6)
    slots = SETS.encode("B+C")
    few, many = slots[:2], torch.cat([slots, torch.zeros(30, 2)])
    one, other = (embedder(each[None], torch.tensor([False])) for each in (few, many))
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_features_alone_answer_for_names_that_training_never_had() -> None:
    """D was never trained: it is answered as its twin in features, and identities would tell the two apart."""
    twins = (*ROWS[:3], ROWS[1])
    alone = Perturbations("gene", tuple("ABCD"), twins, identity=False).fit([(), "A", "B", "C"])
    embedder = stirred(alone)
    assert embedder.table is None
    for one, other in (("B", "D"), ("A+B", "A+D")):
        same = vectors(alone, embedder, [one, other])
        torch.testing.assert_close(same[0], same[1], rtol=0, atol=1e-6)
    assert (vectors(alone, embedder, ["D"]) - vectors(alone, embedder, ["C"])).abs().max() > 1e-2
    both = Perturbations("gene", tuple("ABCD"), twins).fit([(), "A", "B", "C"])
    embedder = stirred(both)
    known, unseen = vectors(both, embedder, ["B", "D"])
    assert (known - unseen).abs().max() > 1e-2
    with torch.no_grad():
        assert embedder.table is not None
        assert embedder.table.weight.shape[0] == 3, "a name that is never trained has no identity"
        embedder.table.weight[1] = 0.0
    known, again = vectors(both, embedder, ["B", "D"])
    torch.testing.assert_close(known, again)
    torch.testing.assert_close(again, unseen)


def test_features_are_standardised_by_the_names_of_training() -> None:
    fitted = Perturbations("gene", tuple("ABCD"), ((1.0, 7.0), (3.0, 7.0), (float("nan"),) * 2, (4.0, 9.0))).fit("ABC")
    assert fitted.features == ((-1.0, 0.0), (1.0, 0.0), (), (2.0, 0.0)), "what training never saw vary says nothing"
    out = vectors(fitted, stirred(fitted), ["C", "A", "A+C"])
    assert torch.isfinite(out).all()


def learn(
    condition: Perturbations, effects: dict[str, Tensor], values: list[tuple[str, ...]]
) -> tuple[nn.Module, nn.Module]:
    """An embedder and a readout, trained on the sums of effects of some sets."""
    torch.manual_seed(1)
    wanted = torch.stack([sum((effects[each] for each in value), torch.zeros(6)) for value in values])
    slots, null = torch.stack([condition.encode(value) for value in values]), torch.zeros(len(values), dtype=torch.bool)
    embedder, readout = condition.embedder(24, TOKENIZER), nn.Linear(24, 6)
    optimiser = torch.optim.Adam([*embedder.parameters(), *readout.parameters()], lr=1e-2)
    for _ in range(150):
        optimiser.zero_grad()
        loss = nn.functional.mse_loss(readout(embedder(slots, null)), wanted)
        loss.backward()
        optimiser.step()
    assert loss.item() < 1e-2
    return embedder, readout


def test_doubles_that_training_never_had_add_up() -> None:
    """Additive effects, learned from singles, and from singles and one double: nearer to the sum than any single is."""
    random = torch.Generator().manual_seed(0)
    effects = dict(zip("ABCD", 2.0 * torch.randn(4, 6, generator=random), strict=True))
    singles = [(), *((name,) for name in effects)]
    for seen, bound in ((singles, 0.5), ([*singles, ("A", "B")], 0.75)):
        condition = Perturbations("gene").fit(seen)
        embedder, readout = learn(condition, effects, seen)
        for each in set(itertools.combinations("ABCD", 2)) - set(seen):
            truth = effects[each[0]] + effects[each[1]]
            with torch.no_grad():
                error = (readout(vectors(condition, embedder, [each]))[0] - truth).norm()
            assert error < bound * min((truth - effects[single]).norm() for single in effects), each


def test_singles_say_nothing_about_how_members_are_pooled() -> None:
    """Weights and the power of the count have no gradient from sets of one; both do from sets of two."""
    embedder = stirred(SETS)
    for value, learns in (("A", False), ("A+B", True)):
        embedder.zero_grad()
        embedder(SETS.encode(value)[None], torch.tensor([False])).sum().backward()
        for weight in (embedder.query.weight, embedder.power):
            assert weight.grad is not None
            assert bool(weight.grad.abs().max() > 1e-6) is learns


def test_doses_are_told_on_a_log_scale_and_belong_to_their_name() -> None:
    assert (DOSED.low, DOSED.high) == ((0.1, 1.0), (10.0, 1.0))
    logs = np.log([0.1, 1.0, 10.0, 1.0])
    assert (DOSED.log_mean, DOSED.log_deviation) == pytest.approx((logs.mean(), logs.std()))
    steps = torch.stack([DOSED.encode({"A": dose})[0, 1] for dose in (0.1, 1.0, 10.0)]).diff()
    torch.testing.assert_close(steps[0], steps[1])
    out = vectors(DOSED, stirred(DOSED), [{"A": 0.5, "B": 4.0}, {"A": 4.0, "B": 0.5}, {"A": 4.0, "B": 4.0}])
    assert all((one - other).abs().max() > 1e-2 for one, other in itertools.combinations(out, 2))
    assert DOSED.parse("A=0.5+B=2") == {"A": 0.5, "B": 2.0}
    assert torch.equal(DOSED.encode("B=2+A=5e-1"), DOSED.encode({"A": 0.5, "B": 2}))
    assert DOSED.parse("control") == {}
    assert DOSED.choices is None


def test_sets_go_over_into_one_another() -> None:
    assert SETS.between("A+B", (), 0.4) == ("A", "B")
    assert SETS.between("A+B", (), 0.6) == ()
    middle = DOSED.between({"A": 0.1}, "A=10+B=2", 0.5)
    assert middle == pytest.approx({"A": 1.0, "B": 2.0})
    assert DOSED.between({"A": 0.1}, "A=10+B=2", 0.25) == pytest.approx({"A": 10**-0.5})
    DOSED.encode(middle)


def test_sets_are_read_from_the_command_line() -> None:
    ways = {"A": ("A",), "B + A": ("B", "A"), "": (), " ": (), "control": (), "A+control": ("A",)}
    for text, value in ways.items():
        assert SETS.parse(text) == value
        SETS.encode(value)
    other = Perturbations("gene", control="NT").fit(["NT", "A", ["A", "NT"]])
    assert (other.known, other.parse("NT"), other.choices) == (("A",), (), [(), ("A",)])


@pytest.mark.parametrize(
    ("condition", "value", "message"),
    [
        (SETS, "A+A", "gene=A\\+A: 'A' is in the set twice"),
        (SETS, ["B", "B"], "'B' is in the set twice"),
        (SETS, "A+", "a name is missing"),
        (SETS, 3, "gene=3: need A, A\\+B, a sequence of names"),
        (SETS, [("A",), ("B",)], "need names, and \\('A',\\) is a tuple"),
        (SETS, float("nan"), "need A, A\\+B"),
        (SETS, {"A": 1.0}, "'A' comes with a dose, and doses are not told"),
        (DOSED, "A", "'A' comes without a dose; give it one, such as A=0.5"),
        (DOSED, {"A": 0.0}, "dose 0.0 of 'A': need a number above 0"),
        (DOSED, "A=much", "dose much of 'A': need a number above 0"),
        (DOSED, {"A": True}, "need a number above 0"),
        (SETS, "contrl", "unknown gene 'contrl'; did you mean 'control'"),
        (replace(SETS, known=("ABCC1", "TP53", "SOX2")), "TP35+SOX2", "unknown gene 'TP35'; did you mean 'TP53'"),
        (Perturbations("gene", tuple("ABD")).fit("AB"), "D", "'D' had no training values and has no features"),
        (Perturbations("gene").fit("ABCDEFGHIJ"), "A+B+C+D+E+F+G+H+I", "9 perturbations at once, .* at most 8; .* 1$"),
    ],
)
def test_values_that_do_not_fit_are_refused(condition: Perturbations, value: Any, message: str) -> None:
    for call in (condition.encode, *([condition.parse] if isinstance(value, str) else [])):
        with pytest.raises(UserError, match=message):
            call(value)


@pytest.mark.parametrize(
    ("options", "values", "message"),
    [
        ({}, [(), None], "no training example has a perturbation; leave it out"),
        ({}, [("A+B",), "A"], "cannot be called 'A\\+B'"),
        ({"known": ("A", "A")}, [], "each known name once"),
        ({"known": ("control",)}, [], "'control' is the empty set"),
        ({"known": ("AKT1",)}, ["AKT2"], "unknown gene 'AKT2'; did you mean 'AKT1'"),
        ({"identity": False}, [], "neither identities nor features"),
        ({"known": ("A", "B"), "features": ((1.0,),)}, [], "1 rows of features for 2 known names"),
        ({"known": ("A", "B"), "features": ((1.0,), (1.0, 2.0))}, [], "rows of features differ in length"),
        ({"known": ("A", "B"), "features": ((1.0,), (1.0,))}, "AB", "features are the same for every perturbation"),
        ({"known": ("A", "B"), "features": ((), (1.0,))}, "A", "features are given for no perturbation of training"),
        ({"known": ("A", "B"), "features": ((1.0, float("nan")), (1.0, 2.0))}, "AB", "of 'A' hold NaN or infinity"),
        ({"known": tuple("ABC"), "features": ((1.0,), (2.0,), ()), "identity": False}, "ABC", "C have no features and"),
        ({"doses": True}, [{"A": 2.0}, {"B": 2.0}], "the dose is 2 in every example; leave doses out"),
        ({"dropout": 1.0}, [], "0 <= dropout < 1"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(options: dict[str, Any], values: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Perturbations("gene", **options).fit(values)


def test_what_training_never_had_is_told_once_and_by_name() -> None:
    codec = Codec(normaliser=None, tokenizer=TOKENIZER, conditions=(FEATURED, DOSED))  # type: ignore[arg-type]
    usual: list[dict[str, Any]] = [{"gene": "C+A", "drug": {"A": 0.1}}, {"gene": (), "drug": "A=10.05"}, {}]
    look_over(codec, usual)
    strange: list[dict[str, Any]] = [{"gene": each} for each in ("A+B", "B+A", "D", "A+B+D")]
    strange += [{"drug": {"A": 20, "B": 3}}, {"drug": "A=40"}]
    with pytest.warns(InputWarning) as told:
        look_over(codec, [*usual, *strange])
    assert [str(each.message) for each in told] == [
        "condition gene: known by features alone, without training values: D",
        "condition gene: no training example had A+B, A+B+D",
        "condition gene: 3 perturbations at once, and training had at most 2",
        "condition drug: dose 40 of A lies outside of what the model was trained on, 0.1 to 10",
        "condition drug: dose 3 of B lies outside of what the model was trained on, 1 alone",
    ]
    assert Perturbations("gene").fit("AB").remarks([()]) == ["condition gene: no training example had control"]


def test_single_perturbations_are_classes() -> None:
    assert SINGLES.choices == [(), ("A",), ("B",), ("C",)]
    assert SINGLES.names == ["control", "A", "B", "C"]
    assert SETS.choices is None
    assert not SETS.names
    assert [caption(SINGLES, each) for each in ((), ("B",), "B")] == ["control", "B", "B"]
    array = np.zeros((2, 1), np.float32)
    asked = [Example(array, {"gene": each}) for each in (("C",), "", ["A"], None, "A+B")]
    assert classes_of(asked, SINGLES).tolist() == [3, 0, 1, -1, -1]


@pytest.mark.parametrize("condition", [SETS, SINGLES, FEATURED, DOSED, Perturbations("gene", ("A", "B"))])
def test_it_travels_with_the_model(condition: Perturbations) -> None:
    assert rebuild_part(describe_part(condition), "") == condition
    again = build(Perturbations, plain(condition))
    assert again.features == condition.features
    if condition.seen:
        torch.testing.assert_close(
            vectors(again, stirred(again), [(), None]), vectors(condition, stirred(condition), [(), None])
        )
        assert stirred(again).state_dict().keys() == stirred(condition).state_dict().keys()


def test_a_batch_of_examples_carries_sets() -> None:
    class Same:
        def apply(self, array: Any) -> Any:
            return array

    codec = Codec(Same(), GridTokenizer((2,)), (SETS,))  # type: ignore[arg-type]
    examples = [Example(np.ones((4, 1), np.float32), {"gene": each}) for each in ((), ("A", "B"), None)]
    batch = codec.batch([codec.encode(each) for each in examples])
    assert batch.conditions.values["gene"].shape == (3, SETS.slots, 2)
    assert batch.conditions.null["gene"].tolist() == [False, False, True]
    assert codec.accepts("gene", ["A", "B"]), "a list of names is one set"
    assert not codec.accepts("gene", [("A",), ("B",)]), "a list of sets is one for each sample"
