"""The list of formulas is in order: ids are found again where they are computed."""

from __future__ import annotations

from pathlib import Path

from beeline.evaluate.space_measures import MEASURES
from beeline.metrics.catalogue import DISTRIBUTION, ENSEMBLE, FIELDS, FORMULAS


def test_every_number_has_an_id_of_its_own_and_one_line_of_meaning() -> None:
    everything = (*DISTRIBUTION, *ENSEMBLE, *FIELDS)
    assert len(FORMULAS) == len(everything), "no id twice"
    assert len({each.metric for each in everything}) == len(everything)
    for each in everything:
        assert each.formula.rpartition("-")[2].isdigit(), "a formula that changes gets another number"
        assert 10 < len(each.meaning) < 100
        assert "\n" not in each.meaning
        assert each.better in ("lower", "higher", None)
    assert set(MEASURES) <= set(everything)


def test_the_modules_name_the_ids_of_what_they_compute() -> None:
    folder = Path(__file__).resolve().parents[2] / "src" / "beeline" / "metrics"
    text = "".join(path.read_text() for path in folder.glob("*.py") if path.name != "catalogue.py")
    for name in ("energy-", "crps-", "mmd2-", "sliced-", "two-sample-", "train-on-", "reliability-", "frechet-"):
        ids = [each for each in FORMULAS if each.startswith(name)]
        assert ids
        assert all(each in text for each in ids), ids
