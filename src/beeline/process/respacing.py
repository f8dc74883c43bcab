"""Which noise levels of a discrete process a shorter walk keeps.

Source: Nichol & Dhariwal 2021, "Improved denoising diffusion probabilistic models", section 4; Song et al. 2021,
"Denoising diffusion implicit models", appendix D.2 (the even strides of "ddim50").
"""

from __future__ import annotations

from itertools import accumulate

from beeline.core.errors import UserError


def respaced(levels: int, text: str) -> list[int]:
    """The levels kept, ascending, counted from 0.

    Args:
        levels: T, how many there are.
        text: ``250``: so many, evenly spread, both ends among them (one alone is level 0); ``10,15,20``: so many from
            each of as many equal stretches, the noisiest last; ``ddim50``: every k-th level from 0 on, with the
            smallest k that keeps just 50.

    Raises:
        UserError: the text is none of these, or asks for more levels than there are.
    """
    if text.startswith("ddim"):
        return _strided(levels, text)
    counts = [_number(part, text) for part in text.split(",")]
    share, left_over = divmod(levels, len(counts))
    kept: list[int] = []
    start = 0
    for place, count in enumerate(counts):
        size = share + (place < left_over)
        if count > size:
            raise UserError(f"respacing '{text}': asks for {count} levels of a stretch of {size} out of {levels}")
        # Summed up, not multiplied: a place half-way between two levels must round as it did where models were made.
        stride = (size - 1) / (count - 1) if count > 1 else 1.0
        kept += [start + round(offset) for offset in accumulate([0.0] + [stride] * (count - 1))]
        start += size
    return kept


def _strided(levels: int, text: str) -> list[int]:
    count = _number(text.removeprefix("ddim"), text)
    for stride in range(1, levels + 1):
        if len(range(0, levels, stride)) == count:
            return list(range(0, levels, stride))
    raise UserError(f"respacing '{text}': no whole stride through {levels} levels keeps just {count} of them")


def _number(part: str, text: str) -> int:
    if not part.strip().isdecimal() or int(part) < 1:
        raise UserError(f"respacing '{text}': needs whole numbers above 0, such as 250, ddim50 or 10,15,20")
    return int(part)
