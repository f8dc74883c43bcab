"""The diffusion transformer.

    tokens --Linear--> + positions + identities --> blocks under c = time + conditions --> head --> outputs

Source: Peebles & Xie 2023. It takes and returns plain tensors and knows nothing of pixels: patches are made by a
tokenizer, conditions embedded by their own modules.

Shapes: B rows, L tokens a row, C numbers a token, D hidden numbers, P axes, N samples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from operator import gt

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from beeline.backbone.block import Block, Modulation, modulate
from beeline.backbone.config import ModelConfig, Sizes, resolve_sizes
from beeline.backbone.frame import Frame, Looked, Surroundings, arranged
from beeline.core.context import Context
from beeline.core.errors import UserError
from beeline.core.tokens import Tokens, expand
from beeline.nn.attention import Sight, computed_in, grouped, packed_sight, padded_mask
from beeline.nn.embeddings import PerBlock, TimeEmbedding
from beeline.nn.norms import build_norm
from beeline.nn.positions import LearnedPositions, rotary_angles, sincos_positions
from beeline.nn.precision import full_precision

_IDENTITY = 0.5  # deviation of the numbers of identities, before anything is learned
# Numbers of keys and values of conditions that are kept from pass to pass, 256 MiB of fp32, and how many are held for
# each that is attended to: keys that were turned or normalised stand beside the product that values are a part of.
_NUMBERS_KEPT, _HELD = 2**26, 3


@dataclass(frozen=True)
class TokenSpace:
    """What the network must know about the tokens it will meet.

    Args:
        width: numbers a token, C.
        features: further numbers a token from ``concat`` conditions.
        axes: coordinates a token, P; 0 for sets.
        identities: number of token identities, 0 for none.
        extents: largest number of tokens along each axis (a set's largest size), for learned positions.
        attends: whether there are tokens of ``cross`` conditions.
    """

    width: int
    features: int = 0
    axes: int = 0
    identities: int = 0
    extents: tuple[int, ...] = ()
    attends: bool = False


def run_block(block: nn.Module, x_BLD: Tensor, c_ND: Tensor, around: Surroundings) -> Tensor:
    """Tokens after a block; one function of every block, so that one of them is compiled for all.

    Args:
        block: with its weights.
        x_BLD: tokens.
        c_ND: conditioning vectors of their samples.
        around: what all blocks share.
    """
    found: Tensor = block(x_BLD, c_ND, around)
    return found


class DiT(nn.Module):
    """Diffusion transformer with adaLN-Zero blocks.

    Args:
        config: sizes and options.
        space: the tokens it will meet.
        outputs: 1 for a mean output, 2 for a mean and a variance output, one after the other.

    Attributes:
        recompute: compute the activations of every block again on the way back instead of keeping them.
        run_block: what applies a block: ``run_block``, or that compiled.
        table_dtype: to which sin-cos tables are rounded: that of a peer's file, which holds them rounded to it.

    Raises:
        UserError: the options do not fit together or do not fit the tokens.
    """

    recomputes = True

    def __init__(self, config: ModelConfig, space: TokenSpace, outputs: int = 1) -> None:
        super().__init__()
        sizes = resolve_sizes(config)
        self.recompute = False
        self.run_block: Callable[[nn.Module, Tensor, Tensor, Surroundings], Tensor] = run_block
        self.table_dtype = torch.float32
        self.positions = _resolve_positions(config.positions, space, sizes)
        self.rotary_period = config.rotary_period
        self.head_size = sizes.hidden_size // sizes.num_heads
        width = sizes.hidden_size
        self.embed = nn.Linear(space.width + space.features, width)
        self.learned = LearnedPositions(space.extents, width) if "learned" in self.positions else None
        self.identities = nn.Embedding(space.identities, width) if space.identities else None
        divisor, apart = config.frequency_divisor, config.embedders == "per_block"
        self.time: nn.Module = TimeEmbedding(width, divisor)
        if apart:
            self.time = PerBlock(TimeEmbedding(width, divisor) for _ in range(sizes.depth))
        self.blocks = nn.ModuleList(Block(sizes, config, space.attends) for _ in range(sizes.depth))
        self.norm = build_norm(config.norm, width)
        self.modulation = Modulation(width, 2)
        self.head = nn.Linear(width, outputs * space.width)
        self._initialise()

    def _each_block(self) -> Iterator[Block]:
        for block in self.blocks:
            assert isinstance(block, Block)
            yield block

    def _initialise(self) -> None:
        for block in self._each_block():
            linears = [
                block.attention.qkv,
                block.attention.projection,
                block.feedforward.first,
                block.feedforward.second,
            ]
            if hasattr(block, "cross"):
                linears += [block.cross.q, block.cross.kv, block.cross.projection]
            for linear in linears:
                nn.init.xavier_uniform_(linear.weight)
                nn.init.zeros_(linear.bias)
        nn.init.xavier_uniform_(self.embed.weight)
        nn.init.zeros_(self.embed.bias)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        if self.identities is not None:
            nn.init.normal_(self.identities.weight, std=_IDENTITY)

    def forward(
        self, values_BLC: Tensor, time_N: Tensor, condition_ND: Tensor | None = None, frame: Frame | None = None
    ) -> Tensor:
        """Outputs for every token: (B, L, outputs x C).

        Args:
            values_BLC: noisy tokens, with the features of ``concat`` conditions appended.
            time_N: what ``Process.time_input`` gives.
            condition_ND: sum of the ``global`` conditions' embeddings; (N, blocks, D) where every block has its own.
            frame: of tokens at these places; of a set without identities when None.
        """
        frame = frame or self.frame()
        x_BLD = self.embed(frame.taken(values_BLC))
        x_BLD = x_BLD.to(torch.promote_types(x_BLD.dtype, torch.float32))
        for table in frame.tables:
            x_BLD = x_BLD + table
        with full_precision(time_N):
            c_ND = self.time(time_N)
            if condition_ND is not None:
                apart = c_ND.dim() > condition_ND.dim()
                c_ND = c_ND + (condition_ND[:, None] if apart else condition_ND)
        of_block = c_ND.unbind(1) if c_ND.dim() == 3 else [c_ND] * len(self.blocks)
        for block, vector, around in zip(self.blocks, of_block, frame.around, strict=True):
            if self.recompute and torch.is_grad_enabled():
                whole = (self.run_block, block, x_BLD, vector, around)
                x_BLD = checkpoint(*whole, use_reentrant=False, preserve_rng_state=False)
            else:
                x_BLD = self.run_block(block, x_BLD, vector, around)
        shift, scale = self.modulation(of_block[0], frame.around[0].segment)
        return frame.put_back(self.head(modulate(self.norm, x_BLD, shift, scale)), values_BLC.shape)

    def frame(
        self,
        coords_BLP: Tensor | None = None,
        ids_BL: Tensor | None = None,
        keep_BL: Tensor | None = None,
        segment_BL: Tensor | None = None,
        periods_NP: Tensor | None = None,
        context: Context | None = None,
        lasting: bool = False,
        starts_M: Tensor | None = None,
    ) -> Frame:
        """What tokens of the same places see in every pass.

        Args:
            coords_BLP: positions.
            ids_BL: identities.
            keep_BL: True where a token is real.
            segment_BL: sample of each token in packed rows.
            periods_NP: tokens after which each axis begins anew; a single row where all samples have the same.
            context: tokens of ``cross`` conditions, of hidden size.
            lasting: several passes follow, and no gradients: keys and values of ``cross`` conditions are among it,
                where they take no more than 256 MiB.
            starts_M: of packed rows, as ``Tokens.starts`` gives them; the samples are told apart by a mask when None.
        """
        if (coords_BLP is None and self.positions != "none") or (ids_BL is None and self.identities is not None):
            raise ValueError("this network was made for tokens with coordinates or identities; these have none")
        order, sight = self._sight(keep_BL, segment_BL, starts_M)
        if order is not None:
            segment_BL, coords_BLP, ids_BL = (arranged(each, order) for each in (segment_BL, coords_BLP, ids_BL))
        tables = [] if self.identities is None or ids_BL is None else [self.identities(_once(ids_BL))]
        rotary = None
        period_BLP = None if periods_NP is None else expand(periods_NP, segment_BL)
        if coords_BLP is not None:
            coords_BLP = _once(coords_BLP)
            if "sincos" in self.positions:
                width = self.embed.out_features
                tables.append(self._rounded(sincos_positions(coords_BLP, width, period_BLP=period_BLP)))
            elif self.learned is not None:
                tables.append(self.learned(coords_BLP))
            rotary = self._rotary(coords_BLP, period_BLP)
        looked = None if context is None else self._looked(context, period_BLP)
        around = Surroundings(segment_BL, sight, rotary, looked)
        if looked is None or not lasting or _HELD * looked.values.numel() * len(self.blocks) > _NUMBERS_KEPT:
            return Frame(tuple(tables), (around,) * len(self.blocks), order)
        pairs = (replace(looked, pair=block.cross.pair(looked)) for block in self._each_block())
        return Frame(tuple(tables), tuple(replace(around, context=each) for each in pairs), order)

    def frame_of(self, tokens: Tokens, context: Context | None = None, lasting: bool = False) -> Frame:
        """What stays the same from pass to pass, as ``Backbone`` says."""
        places = (tokens.coords, tokens.ids, tokens.keep, tokens.segment, tokens.periods())
        return self.frame(*places, context, lasting, tokens.starts())

    def over(self, values_BLC: Tensor, time_N: Tensor, condition_ND: Tensor | None, frame: Frame) -> Tensor:
        """Outputs for every token, as ``Backbone`` says."""
        outputs: Tensor = self(values_BLC, time_N, condition_ND, frame)
        return outputs

    def begin_identities(self, kinship_IK: Tensor) -> None:
        """Let the first numbers of each identity's vector begin as what is known of it, at the size of the others.

        Args:
            kinship_IK: for each of I identities, of about unit size.
        """
        assert self.identities is not None
        told = kinship_IK[:, : self.identities.embedding_dim]
        with torch.no_grad():
            self.identities.weight[:, : told.shape[1]] = _IDENTITY * told

    def check_extents(self, extents: tuple[int, ...]) -> None:
        """Refuse samples that learned positions cannot place.

        Raises:
            UserError: an axis is longer than in training and positions are learned.
        """
        if self.learned is not None and any(map(gt, extents, self.learned.extents)):
            raise UserError(
                f"learned positions cover {self.learned.extents} tokens, this sample needs {extents}; "
                "train with model.positions sincos or rotary to sample larger ones"
            )

    def _sight(
        self, keep_BL: Tensor | None, segment_BL: Tensor | None, starts_M: Tensor | None
    ) -> tuple[Tensor | None, Sight]:
        """In which order blocks see the tokens, where not in rows, and which of them may look at which."""
        if segment_BL is None:
            return None, None if keep_BL is None else padded_mask(keep_BL)
        # Compiled blocks are made for shapes, which would be others in every batch.
        if segment_BL.device.type == "cpu" and self.run_block is run_block and (found := grouped(segment_BL)):
            return found
        return None, packed_sight(segment_BL, starts_M, computed_in(self.embed.weight), self.head_size)

    def _rotary(self, coords_BLP: Tensor, period_BLP: Tensor | None) -> tuple[Tensor, Tensor] | None:
        if "rotary" not in self.positions:
            return None
        cosines, sines = rotary_angles(coords_BLP, self.head_size, self.rotary_period, period_BLP)
        return self._rounded(cosines), self._rounded(sines)

    def _looked(self, context: Context, period_B1P: Tensor | None) -> Looked:
        """Tokens of conditions as blocks see them; learned positions have no place between cells, sin-cos ones have."""
        values_BMD = context.values.to(torch.promote_types(context.values.dtype, torch.float32))
        if "sincos" in self.positions or "learned" in self.positions:
            table = sincos_positions(context.coords, values_BMD.shape[-1], period_BLP=period_B1P)
            values_BMD = values_BMD + self._rounded(table)
        is_there = context.keep.any(dim=1)[:, None, None]
        mask = (context.keep[:, None] | ~is_there)[:, None]
        return Looked(values_BMD, mask, is_there, self._rotary(context.coords, period_B1P))

    def _rounded(self, table: Tensor) -> Tensor:
        return table.to(self.table_dtype).to(table.dtype)


def _once(shared: Tensor) -> Tensor:
    """One row of a tensor that was expanded over the batch, so that what follows is computed once."""
    return shared[:1] if shared.stride(0) == 0 else shared


def _resolve_positions(positions: str, space: TokenSpace, sizes: Sizes) -> str:
    if positions == "auto":
        positions = "sincos" if space.axes else "none"
    if positions != "none" and not space.axes:
        raise UserError(
            f"model.positions {positions}: these tokens are a set and have no coordinates; use none or auto"
        )
    rooms = {
        "sincos": (sizes.hidden_size, "model.hidden_size"),
        "rotary": (sizes.hidden_size // sizes.num_heads, "a head, model.hidden_size / num_heads"),
    }
    for part, (room, where) in rooms.items():
        if part in positions and room < 2 * space.axes:
            raise UserError(
                f"model.positions {positions}: {where} of {room} numbers is too small for {space.axes} axes; "
                f"it must hold at least {2 * space.axes}"
            )
    return positions


def position_table_size(model: DiT, space: TokenSpace) -> int:
    """Numbers of the fixed position table that the DiT paper's parameter counts include."""
    if "sincos" not in model.positions:
        return 0
    cells = 1
    for extent in space.extents:
        cells *= extent
    return cells * model.embed.out_features


def count_parameters(module: nn.Module) -> int:
    """Trained numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
