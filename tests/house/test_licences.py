"""Nothing that has to be installed for single cells is under the GPL, which would bind what its users build."""

from __future__ import annotations

from importlib.metadata import Distribution, PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement


def required(root: str) -> dict[str, Distribution]:
    """Every package that a requirement brings along here, by its name."""
    found: dict[str, Distribution] = {}
    left = [Requirement(root)]
    while left:
        asked = left.pop()
        if asked.name.lower() in found:
            continue
        try:
            package = distribution(asked.name)
        except PackageNotFoundError:  # of other systems
            continue
        found[asked.name.lower()] = package
        for each in map(Requirement, package.requires or ()):
            if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in asked.extras or {""}):
                left.append(each)
    return found


@pytest.mark.parametrize("extra", ["cells", "fields", "vae", "log"])
def test_no_extra_brings_a_package_under_the_gpl(extra: str) -> None:
    packages = required(f"beeline[{extra}]")
    assert len(packages) > 5
    assert not {"igraph", "leidenalg", "python-igraph", "louvain"} & set(packages)
    for name, package in packages.items():
        told = [each for key in ("Classifier", "License-Expression") for each in package.metadata.get_all(key) or []]
        assert not any("GNU General Public" in each or each.startswith(("GPL", "AGPL")) for each in told), name
