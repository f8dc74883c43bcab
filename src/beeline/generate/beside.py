"""What is made of samples beside them: a picture of how they came about, and of fields what the draws say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from beeline.generate.engine import Engine, Request, Samples
from beeline.generate.ensembles import check_summary, write_summary
from beeline.generate.film import check_film, write_film
from beeline.samplers.config import SampleConfig


@dataclass(frozen=True)
class Beside:
    """What is wanted.

    Args:
        film: strip or gif; None for none.
        summary: levels of quantiles; True for those that as many draws have of the usual ones; None or False for no
            summary.
    """

    film: Any = None
    summary: bool | Sequence[float] | None = None

    @property
    def _levels(self) -> Sequence[float] | None:
        return None if isinstance(self.summary, bool) else self.summary or None

    @property
    def _summarises(self) -> bool:
        return self.summary is not None and self.summary is not False

    def check(self, engine: Engine, requests: Sequence[Request], settings: SampleConfig) -> None:
        """Refuse what cannot be made, before anything is drawn.

        Args:
            engine: the model.
            requests: for the samples.
            settings: how they are drawn.

        Raises:
            UserError: there is no such film, or samples asked for so have none or no summary.
        """
        if self.film is not None:
            check_film(self.film, settings)
        if self._summarises:
            check_summary(engine, requests, self._levels)

    def write(
        self, engine: Engine, requests: Sequence[Request], samples: Samples, settings: SampleConfig, where: Path
    ) -> list[Path]:
        """Write it beside the samples.

        Args:
            engine: the model.
            requests: for the samples.
            samples: of it.
            settings: how they were drawn.
            where: the folder or the file that the samples were written to.

        Returns:
            the files written.

        Raises:
            OSError: the place cannot be written to.
            RunError: the modality's picture failed.
        """
        found = []
        if self.film is not None:
            found.append(write_film(engine, requests, samples.provenance["seed"], settings, self.film, where))
        if self._summarises:
            found.append(write_summary(engine, samples, self._levels, where))
        return found
