"""The contract that a modality keeps, clause by clause; ``beeline check`` runs it, and our own modalities pass it.

    parts       every method gives what its Protocol says, and what must travel with a model can be stored
    data        examples are arrays of real numbers that fit, vary, and carry the conditions that are declared
    repeat      an example read twice, in any order, is the same; so is a training batch, in batches of any size
    splits      no group and no example is in both splits
    normalise   undo(apply(x)) = x: exactly for whole numbers, else within ``normaliser.tolerance``; scale about 1
    tokenise    decode(encode(x)) = x: to the bit where ``tokenizer.exact``, else within ``tokenizer.tolerance``
    padding     a network's output at a real token is the same alone, padded, and packed beside other samples
    related     no condition is that of a neighbouring example, by a permutation test
    overfits    a tiny network fits one batch
    conditions  swapping a condition then changes what that network says
    saves       a model that was saved and opened again draws the same samples, bit by bit
    metrics     each has a floor and a ceiling, tells them apart, and gives its known answer on the truth

A clause is a function of the subject that returns what it has seen, or raises a UserError that says what is wrong,
where, and how to mend it. A clause that rests on one that is broken is skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Literal

from beeline.core.errors import RunError, UserError, unknown
from beeline.evaluate.contract_data import data, normalise, parts, repeat, splits, tokenise
from beeline.evaluate.contract_metrics import metrics
from beeline.evaluate.contract_network import conditions, overfits, padding, saves
from beeline.evaluate.contract_relation import related
from beeline.evaluate.contract_subject import NotAskedError, Progress, Subject, unheard
from beeline.modalities.loading import users_code

Status = Literal["ok", "failed", "skipped"]


@dataclass(frozen=True)
class Clause:
    """One promise.

    Args:
        name: of the clause.
        check: returns what was seen; raises UserError where the promise is broken, NotAskedError where there is none.
        needs: clauses without which this one means nothing.
        long: whether a network is trained, which ``quick`` leaves out.
        watched: whether it tells how far it is.
    """

    name: str
    check: Callable[[Subject, Progress], str]
    needs: tuple[str, ...] = ()
    long: bool = False
    watched: bool = False


@dataclass(frozen=True)
class Verdict:
    """What came of a clause.

    Args:
        clause: its name.
        status: ``ok``, ``failed`` or ``skipped``.
        text: what was seen; what is wrong, where and how to mend it; or why it was left out.
    """

    clause: str
    status: Status
    text: str

    def line(self) -> str:
        """The verdict for people, in one line."""
        return f"{self.clause:<10}  {self.status:<7}  {self.text}"


@dataclass(frozen=True)
class Contract:
    """Every verdict on a modality.

    Args:
        modality: its name or file.
        verdicts: in order.
    """

    modality: str
    verdicts: tuple[Verdict, ...]

    @property
    def broken(self) -> tuple[str, ...]:
        """Names of the clauses that it breaks."""
        return tuple(each.clause for each in self.verdicts if each.status == "failed")

    def as_json(self) -> dict[str, Any]:
        """Name and verdicts as JSON can hold them."""
        return {"modality": self.modality, "clauses": [asdict(each) for each in self.verdicts]}


CLAUSES = (
    Clause("parts", parts),
    Clause("data", data, ("parts",)),
    Clause("repeat", repeat, ("data",)),
    Clause("splits", splits, ("data",)),
    Clause("normalise", normalise, ("data",)),
    Clause("tokenise", tokenise, ("data",)),
    Clause("padding", padding, ("tokenise",)),
    Clause("related", related, ("repeat",)),
    Clause("overfits", overfits, ("repeat", "normalise", "tokenise"), long=True, watched=True),
    Clause("conditions", conditions, ("overfits",), long=True),
    Clause("saves", saves, ("normalise", "tokenise")),
    Clause("metrics", metrics, ("repeat",), watched=True),
)


def clauses_named(only: Sequence[str]) -> tuple[Clause, ...]:
    """Some clauses, in the order of the contract; all of them where none is named.

    Raises:
        UserError: there is no such clause.
    """
    known = {clause.name: clause for clause in CLAUSES}
    for name in only:
        if name not in known:
            raise unknown("clause", name, known)
    return tuple(clause for clause in CLAUSES if not only or clause.name in only)


def hold(
    subject: Subject,
    only: Sequence[str] = (),
    quick: bool = False,
    heard: Callable[[Verdict], None] | None = None,
    progress: Callable[[str], AbstractContextManager[Progress]] | None = None,
) -> Contract:
    """Hold a modality to the contract.

    Args:
        subject: the modality.
        only: clauses to look at; all of them when empty.
        quick: leave out the long ones.
        heard: called with each verdict as it comes.
        progress: shows, while a clause of that name is looked at, what it is called with: (steps done, steps in all).

    Raises:
        UserError: there is no such clause.
    """
    verdicts: dict[str, Verdict] = {}
    for clause in clauses_named(only):
        with progress(clause.name) if progress and clause.watched else nullcontext(unheard) as show:
            verdict = _verdict(clause, subject, verdicts, quick, show)
        verdicts[clause.name] = verdict
        if heard is not None:
            heard(verdict)
    return Contract(subject.source.name, tuple(verdicts.values()))


def _verdict(
    clause: Clause, subject: Subject, before: Mapping[str, Verdict], quick: bool, progress: Progress
) -> Verdict:
    if quick and clause.long:
        return Verdict(clause.name, "skipped", "takes long; leave --quick out")
    lacking = _lacking(clause.needs, before)
    if lacking:
        return Verdict(clause.name, "skipped", f"rests on {' and '.join(lacking)}; mend that first")
    try:
        with users_code(subject.source):
            return Verdict(clause.name, "ok", clause.check(subject, progress))
    except NotAskedError as reason:
        return Verdict(clause.name, "skipped", str(reason))
    except (UserError, RunError) as error:
        text = " ".join(str(error).split()).removeprefix(f"{subject.source.name}: ")
        return Verdict(clause.name, "failed", text)


def _lacking(needs: Collection[str], before: Mapping[str, Verdict]) -> list[str]:
    """Clauses that were looked at and did not hold, of those that are needed, at first or second hand."""
    found = []
    for name in needs:
        if name not in before:
            found += _lacking(next(clause.needs for clause in CLAUSES if clause.name == name), before)
        elif before[name].status != "ok":
            found.append(name)
    return list(dict.fromkeys(found))
