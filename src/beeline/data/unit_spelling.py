"""Whether two spellings of units say the same.

Units are read as a number times a product of powers of words: m/s, m s-1, m.s**-1 and m s^{-1} are m^1 s^-1, and 0.1 m
is another than 1.0 m. A slash divides by what follows it up to the next sign: kg/m2 s is kg m^-2 s. Words are compared
as they are but for a few usual names (metre, degrees_N, °C); nothing is converted: km is another than 1000 m.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from fractions import Fraction

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_WORD = re.compile(r"[°%‰]?[^\W\d]+|[°%‰]")
_POWER = re.compile(r"\s*(?:\*\*|\^)\s*(?:[({]\s*([-+]?\d+(?:\.\d+|/[1-9]\d*)?)\s*[)}]|([-+]?\d+(?:\.\d+)?))")
_DIGITS = re.compile(r"[-+]?\d+(?:\.\d+)?")
_PER = re.compile(r"\s*(?:/|\bper\b)\s*")
_TIMES = re.compile(r"[\s*.]*")
_PLAIN = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻\u2212·⋅\u00d7µ\u03bc", "0123456789--***uu", "$")
_POLE = re.compile(r"degrees?_?(n|s|e|w|north|south|east|west)", re.IGNORECASE)
_NAMES = {
    "meter": "m",
    "metre": "m",
    "kilometer": "km",
    "kilometre": "km",
    "gram": "g",
    "kilogram": "kg",
    "second": "s",
    "sec": "s",
    "minute": "min",
    "hour": "h",
    "hr": "h",
    "day": "d",
    "kelvin": "K",
    "pascal": "Pa",
    "deg": "degree",
    "°": "degree",
    "degc": "°C",
    "°c": "°C",
    "celsius": "°C",
    "degree_celsius": "°C",
    "degrees_celsius": "°C",
    "percent": "%",
    "dimensionless": "",
    "unitless": "",
}


def same_units(one: str, other: str) -> bool:
    """Whether two spellings of units say the same, as far as spelling goes: m/s, m s-1 and m s**-1 do.

    Args:
        one: of a quantity; nothing is known where it is empty.
        other: of the same quantity.
    """
    if not one or not other or one.split() == other.split():
        return True
    read = [_Units(" ".join(each.translate(_PLAIN).split())) for each in (one, other)]
    if not all(each.read() for each in read):
        return False
    first, second = read
    return math.isclose(first.decades, second.decades, abs_tol=1e-9) and first.powers == second.powers


@dataclass
class _Units:
    """A number, 10 to the power of ``decades``, times a product of powers of words, as far as it has been read."""

    text: str
    place: int = 0
    decades: float = 0.0
    powers: dict[str, Fraction] = field(default_factory=dict)

    def read(self) -> bool:
        """Whether all of the text is units; their number and words are then known."""
        return self._product(Fraction(1)) and self.place == len(self.text)

    def _product(self, sign: Fraction) -> bool:
        """Factors up to the end or a closing bracket, each to the power of a sign and of its own."""
        found = False
        while self.place < len(self.text) and self.text[self.place] not in ")}":
            own = -sign if found and self._taken(_PER) else sign
            if not self._factor(own):
                return False
            found = True
            if self._ahead(_PER) is None:
                self._taken(_TIMES)
        return found

    def _factor(self, sign: Fraction) -> bool:
        if self.text[self.place : self.place + 1] in ("(", "{"):
            self.place += 1
            inner = _Units(self.text, self.place)
            if not inner._product(Fraction(1)) or self.text[inner.place : inner.place + 1] not in (")", "}"):
                return False
            self.place = inner.place + 1
            power = sign * self._power(_DIGITS)
            self._take(inner.decades, inner.powers, power)
        elif number := self._taken(_NUMBER):
            decades = math.log10(float(number)) if float(number) else -math.inf
            self._take(decades, {}, sign * self._power(None))
        elif word := self._taken(_WORD):
            self._take(0.0, {_named(word): Fraction(1)}, sign * self._power(_DIGITS))
        else:
            return False
        return True

    def _power(self, bare: re.Pattern[str] | None) -> Fraction:
        """The power that is written behind a factor: after a sign, or just digits; 1 without."""
        if found := _POWER.match(self.text, self.place):
            self.place = found.end()
            return Fraction(found[1] or found[2])
        digits = self._taken(bare) if bare else ""
        return Fraction(digits) if digits else Fraction(1)

    def _take(self, decades: float, powers: dict[str, Fraction], power: Fraction) -> None:
        self.decades += decades * float(power)
        for word, own in powers.items():
            total = self.powers.pop(word, Fraction(0)) + own * power
            if word and total:
                self.powers[word] = total

    def _ahead(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        return pattern.match(self.text, self.place)

    def _taken(self, pattern: re.Pattern[str]) -> str:
        found = self._ahead(pattern)
        if found is None:
            return ""
        self.place = found.end()
        return found[0]


def _named(word: str) -> str:
    """The one word for those that mean the same."""
    if pole := _POLE.fullmatch(word):
        return f"degree_{pole[1][0].lower()}"
    known = word.lower()
    return _NAMES.get(known, _NAMES.get(known.removesuffix("s"), "degree" if known == "degrees" else word))
