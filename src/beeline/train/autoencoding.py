"""Training of an autoencoder of cells, from where an earlier attempt was stopped.

    step n sees the cells of the numbers n B ... (n + 1) B - 1 in the order of the seed, with noise of the same numbers
    loss            see data/cell_network; beta rises from 0 over the first fifth of the steps
    learning rate   rises over the first twentieth, then falls as half a cosine, to nothing at the end

Everything is a function of options and step, so that a run that was killed and goes on ends with the same bits. Bounds
are told in nats a cell with beta 1: of cells trained on, of cells held out, and beside it the law of all cells alike
(data/gene_law), whose likelihood needs no bound.

Shapes: N cells, G genes, B batch, K latents.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from beeline.core.config import plain
from beeline.core.errors import RunError, UserError
from beeline.core.files import is_leftover, read_json, remove_leftovers, sha256, write_bytes, write_json
from beeline.core.random import Key
from beeline.data.autoencoder_folder import (
    ABOUT,
    CELLS,
    NAMES,
    WEIGHTS,
    AutoencoderOptions,
    CellAutoencoderRecord,
    read_autoencoder,
    stored,
)
from beeline.data.cell_autoencoder import Libraries
from beeline.data.cell_files import spread
from beeline.data.cell_network import CellNetwork
from beeline.data.cell_sets import FoundCells
from beeline.data.counted_cells import counts_of, identities
from beeline.data.gene_law import mean_law, mean_likelihood
from beeline.data.order import Order
from beeline.model.format import library_version, read_tensors, tensors_bytes

Array = np.ndarray[Any, Any]
_BEGUN, _CHECKPOINT = "begun.json", "checkpoint.safetensors"
_EVERY = 100
_MOST_FITTED, _MOST_MEASURED, _AT_ONCE = 1000, 2000, 256
_QUANTILES = 101


class Autoencoding:
    """One autoencoder in the making.

    Args:
        found: cells, of scale counts.
        held_out: (N,) which of them training never sees.
        options: how it is made.
        selection: options of the data that chose genes and training cells.
        folder: claimed for it.
        device: cpu or cuda.

    Raises:
        UserError: the folder holds something else, or one that was begun otherwise.
    """

    def __init__(
        self,
        found: FoundCells,
        held_out: Array,
        options: AutoencoderOptions,
        selection: dict[str, Any],
        folder: Path,
        device: str = "cpu",
    ) -> None:
        self.found, self.options, self.selection = found, options, selection
        self.folder, self.device = folder, device
        self.training, self.held_out = np.flatnonzero(~held_out), np.flatnonzero(held_out)
        self._data = {"file": found.path.name, "sha256": sha256(found.path)}
        self._claim()

    @property
    def finished(self) -> bool:
        """Whether the folder holds it already."""
        return (self.folder / ABOUT).is_file()

    def run(self, progress: Callable[[int, int], None]) -> CellAutoencoderRecord:
        """Train, measure and write.

        Args:
            progress: told steps done and in all.

        Raises:
            RunError: the loss is no number any more.
        """
        if self.finished:
            return read_autoencoder(self.folder)
        network = self._fresh()
        optimiser = torch.optim.AdamW(network.parameters(), lr=self.options.learning_rate, weight_decay=1e-4)
        done = self._restore(network, optimiser)
        order = Order(len(self.training), self.options.seed)
        for step in range(done, self.options.steps):
            self._step(network, optimiser, order, step)
            if (step + 1) % _EVERY == 0 and step + 1 < self.options.steps:
                self._keep(network, optimiser, step + 1)
            progress(step + 1, self.options.steps)
        return self._finish(network.eval())

    def _fresh(self) -> CellNetwork:
        """The network before its first step, the same for the same seed."""
        size, options = len(self.found.description.genes), self.options
        network = CellNetwork(size, options.latent, options.hidden, options.decoder, options.linear)
        with torch.no_grad():
            for number, (name, parameter) in enumerate(network.named_parameters()):
                if parameter.dim() < 2:
                    continue
                key = Key.range(options.seed, number, 1).fold("autoencoder", name)
                spread_out = 1 / math.sqrt(parameter.shape[1])
                small = 0.1 if name.startswith(("decoder_share", "decoder_zeros", "encoder_log")) else 1.0
                parameter.copy_(key.normal(parameter.numel()).view_as(parameter) * (small * spread_out))
            for name, parameter in network.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()
        some = self.training[spread(len(self.training), _MOST_FITTED)]
        shares, dispersions = mean_law(torch.from_numpy(counts_of(self.found, some)))
        network.begin_at(shares.float(), dispersions.float())
        return network.to(self.device)

    def _step(self, network: CellNetwork, optimiser: torch.optim.Optimizer, order: Order, step: int) -> None:
        options = self.options
        first = step * options.batch_size
        places = self.training[order.indices(first, options.batch_size)]
        noise = Key.range(options.seed, first, options.batch_size).fold("autoencoder", "noise").normal(options.latent)
        done = (step + 1) / options.steps
        for group in optimiser.param_groups:
            group["lr"] = options.learning_rate * min(1.0, done / 0.05) * 0.5 * (1 + math.cos(math.pi * done))
        beta = options.beta * min(1.0, done / 0.2)
        loss = network.loss(*self._batch(places), noise.float().to(self.device), beta).mean()
        if not torch.isfinite(loss):
            raise RunError(f"autoencoder: the loss is no number at step {step}; try a smaller learning_rate")
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 100.0)
        optimiser.step()

    def _batch(self, places: Array) -> tuple[Tensor, Tensor]:
        """Expression and counts of some cells."""
        expression = torch.from_numpy(self.found.rows(places)).to(self.device)
        return expression, torch.from_numpy(counts_of(self.found, places)).to(self.device)

    @torch.no_grad()
    def _bound(self, network: CellNetwork, places: Array) -> float:
        """Mean ELBO of some cells, one draw each."""
        places = places[spread(len(places), _MOST_MEASURED)]
        total = 0.0
        for start in range(0, len(places), _AT_ONCE):
            part = places[start : start + _AT_ONCE]
            key = Key.range(self.options.seed, start, len(part)).fold("autoencoder", "bound")
            noise = key.normal(self.options.latent).float().to(self.device)
            total -= float(network.loss(*self._batch(part), noise, 1.0).double().sum())
        return total / len(places)

    def _bounds(self, network: CellNetwork) -> dict[str, float]:
        fitted = torch.from_numpy(counts_of(self.found, self.training[spread(len(self.training), _MOST_FITTED)]))
        law = mean_law(fitted)
        places = self.held_out[spread(len(self.held_out), _MOST_MEASURED)]
        counts = torch.from_numpy(counts_of(self.found, places))
        return {
            "training": self._bound(network, self.training),
            "held out": self._bound(network, self.held_out),
            "gene means": float(mean_likelihood(counts, *law).mean()),
        }

    @torch.no_grad()
    def _latents(self, network: CellNetwork) -> tuple[Array, Array]:
        """Means and variances of the posterior of the training cells, (N, K)."""
        parts = []
        for start in range(0, len(self.training), _AT_ONCE):
            expression, _ = self._batch(self.training[start : start + _AT_ONCE])
            mean, log_variance = network.encode(expression)
            parts.append((mean.double().cpu().numpy(), log_variance.double().exp().cpu().numpy()))
        means, variances = zip(*parts, strict=True)
        return np.concatenate(means), np.concatenate(variances)

    def _libraries(self, means: Array) -> Libraries:
        """How the library depends on the latents: least squares with a little of a ridge, and what is left over."""
        sizes = [
            counts_of(self.found, self.training[start : start + _AT_ONCE]).sum(axis=1, dtype=np.float64)
            for start in range(0, len(self.training), _AT_ONCE)
        ]
        modelled = np.maximum(np.concatenate(sizes), 1.0)
        logarithms, centre = np.log(modelled), means.mean(axis=0)
        apart = means - centre
        ridge = 1e-2 * len(means) * np.eye(means.shape[1])
        slopes = np.linalg.solve(apart.T @ apart + ridge, apart.T @ (logarithms - logarithms.mean()))
        residuals = logarithms - logarithms.mean() - apart @ slopes
        chances = np.linspace(0, 1, _QUANTILES)
        shares = np.minimum(modelled / self.found.library[self.training], 1.0)
        return Libraries(
            float(logarithms.mean() - centre @ slopes),
            tuple(slopes.tolist()),
            tuple(np.quantile(residuals, chances).tolist()),
            tuple(np.quantile(shares, chances).tolist()),
        )

    def _finish(self, network: CellNetwork) -> CellAutoencoderRecord:
        means, variances = self._latents(network)
        write_bytes(self.folder / WEIGHTS, tensors_bytes(network.state_dict()))
        names = {NAMES: torch.from_numpy(identities(self.found, self.training))}
        write_bytes(self.folder / CELLS, tensors_bytes(names))
        record = CellAutoencoderRecord(
            options=self.options,
            selection=self.selection,
            description=self.found.description,
            libraries=self._libraries(means),
            deviations=tuple(np.sqrt(variances.mean(axis=0)).tolist()),
            bounds=self._bounds(network),
            data=self._data,
            weights_sha256=sha256(self.folder / WEIGHTS),
            cells_sha256=sha256(self.folder / CELLS),
            library=library_version(),
        )
        write_json(self.folder / ABOUT, stored(record))
        for name in (_CHECKPOINT, _BEGUN):
            (self.folder / name).unlink(missing_ok=True)
        return record

    def _words(self) -> dict[str, Any]:
        return {"options": plain(self.options), "selection": plain(self.selection), "data": self._data}

    def _claim(self) -> None:
        """Take the folder, where it is empty or was begun with the same words.

        Raises:
            UserError: it was not.
        """
        remove_leftovers(self.folder)
        if self.finished:
            record = read_autoencoder(self.folder)
            before = {"options": plain(record.options), "selection": record.selection, "data": record.data}
        elif (self.folder / _BEGUN).is_file():
            before = read_json(self.folder / _BEGUN)
        else:
            others = sorted(path.name for path in self.folder.iterdir() if not is_leftover(path))
            if others:
                raise UserError(f"{self.folder}: holds something else ({others[0]}); name an empty folder")
            write_json(self.folder / _BEGUN, self._words())
            return
        for part, values in self._words().items():
            had = before.get(part) if isinstance(before, dict) else None
            if not isinstance(had, dict):
                raise UserError(f"{self.folder}: its {_BEGUN} is damaged; choose another folder")
            for name in sorted(values.keys() | had.keys()):
                if values.get(name) != had.get(name):
                    one, other = (each.get(name, "its default") for each in (had, values))
                    raise UserError(f"{self.folder}: was begun with {name} {one}, not {other}; choose another folder")

    def _keep(self, network: CellNetwork, optimiser: torch.optim.Optimizer, step: int) -> None:
        held = {f"network.{name}": each for name, each in network.state_dict().items()}
        for number, state in optimiser.state_dict()["state"].items():
            held |= {f"optimiser.{number}.{name}": each for name, each in state.items()}
        held["step"] = torch.tensor(step)
        write_bytes(self.folder / _CHECKPOINT, tensors_bytes(held))

    def _restore(self, network: CellNetwork, optimiser: torch.optim.Optimizer) -> int:
        """Take up a checkpoint; how many steps it has done."""
        if not (self.folder / _CHECKPOINT).is_file():
            return 0
        held = read_tensors(self.folder / _CHECKPOINT)
        network.load_state_dict({name[8:]: each for name, each in held.items() if name.startswith("network.")})
        state: dict[int, dict[str, Tensor]] = {}
        for name, each in held.items():
            if name.startswith("optimiser."):
                _, number, field = name.split(".")
                state.setdefault(int(number), {})[field] = each
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
        return int(held["step"])
