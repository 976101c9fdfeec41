"""How the report writes quantities: one place, so that HTML, Markdown and figures agree.

Signs are typographic minus signs (U+2212); thousands are parted by commas; `DASH` stands where a
quantity cannot be computed.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

from kvasir_prune.evaluation.intervals import Estimate

MINUS = "\N{MINUS SIGN}"
NO_BREAK = "\N{NO-BREAK SPACE}"
DASH = "\N{EN DASH}"
NOT_MEASURED = "not measured"

_NOT_XML = "\ufffe\uffff"
_SPLIT_NAMES = {"train": "training"}
_LARGE = ((1e12, "trillion", "T"), (1e9, "billion", "G"), (1e6, "million", "M"))


def printable(text: str) -> str:
    """Replace control characters, which XML forbids, by U+FFFD; line breaks become blanks."""
    blanks = text.replace("\r\n", " ").replace("\n", " ").replace("\r", " ").replace("\t", " ")
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(c) in ("Cc", "Cs") or c in _NOT_XML
        else c
        for c in blanks
    )


def split_name(split: str) -> str:
    """Return the word a reader knows: `train` is the training split."""
    return _SPLIT_NAMES.get(split, printable(split))


def count(number: int | None, missing: str = DASH) -> str:
    """Write a count, such as 12,416; `missing` stands for None."""
    return missing if number is None else _minus(f"{number:,}")


def rectangle(edges: Sequence[float]) -> str:
    """Write a part of an image, edges as fractions: left 0 % to 33 %, top 67 % to 100 %."""
    left, top, right, bottom = (f"{edge:.0%}" for edge in edges)
    return f"from the left {left} to {right}, from the top {top} to {bottom}"


def signed_count(number: int | None) -> str:
    """Write a change of a count, such as +11, -1,337 or 0."""
    if number is None:
        return DASH
    return _minus(f"{number:+,}") if number else "0"


def loss(value: float | None) -> str:
    """Write a loss in nats to four decimals; one too small for that to three digits."""
    if value is None:
        return DASH
    return _minus(f"{value:.2e}" if 0 < abs(value) < 5e-5 else f"{value:.4f}")


def signed_loss(value: float | None) -> str:
    """Write a change of a loss, such as +0.0004."""
    if value is None:
        return DASH
    return value_or_zero(value, f"{value:+.2e}" if abs(value) < 5e-5 else f"{value:+.4f}")


def percent(fraction: float | None, digits: int = 2) -> str:
    """Write a fraction in [0, 1] as a percentage without its sign: 0.8725 is 87.25."""
    return DASH if fraction is None else _minus(f"{fraction * 100:.{digits}f}")


def points(percentage: float | None, digits: int = 2) -> str:
    """Write a change in percentage points, such as -2.58; a tiny one keeps one digit."""
    if percentage is None:
        return DASH
    tiny = round(abs(percentage), digits) == 0
    return value_or_zero(percentage, f"{percentage:+.1g}" if tiny else f"{percentage:+.{digits}f}")


def tenths(fraction: float | None) -> str:
    """Write a fraction in [0, 1] in percent with one decimal: 0.8725 is 87.3."""
    return percent(fraction, 1)


def signed_tenths(difference: float | None) -> str:
    """Write a difference of fractions in percentage points with one decimal, such as -2.6."""
    return points(None if difference is None else difference * 100, 1)


def number(value: float | None) -> str:
    """Write any quantity to four significant digits."""
    return DASH if value is None else _minus(f"{value:.4g}")


def score(value: float | None) -> str:
    """Write a score or a loss with three decimals."""
    return DASH if value is None else _minus(f"{value:.3f}")


def signed_score(value: float | None) -> str:
    """Write a change of a score with three decimals; one too small for that keeps one digit."""
    if value is None:
        return DASH
    return value_or_zero(value, f"{value:+.1g}" if abs(value) < 5e-4 else f"{value:+.3f}")


def estimate(found: Estimate, write: Callable[[float | None], str]) -> str:
    """Write a quantity with its interval, such as 87.3 (83.1 to 90.4).

    A line may break before the bracket, but not inside it.
    """
    if found.low is None or found.high is None:
        return write(found.value)
    interval = f"({write(found.low)} to {write(found.high)})"
    return f"{write(found.value)} {interval.replace(' ', NO_BREAK)}"


def p_value(p: float | None) -> str:
    """Write a p-value: three decimals, two above a tenth, or the bound it lies beyond."""
    if p is None:
        return DASH
    if p < 0.001:
        return "<0.001"
    return ">0.99" if p > 0.99 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def p_equals(p: float | None) -> str:
    """Write a p-value with the sign that belongs before it: = 0.004, < 0.001."""
    written = p_value(p)
    return f"{written[0]} {written[1:]}" if written[0] in "<>" else f"= {written}"


def value_or_zero(value: float, written: str) -> str:
    """Return `written` with a typographic minus, or a plain 0 where nothing changed."""
    return _minus(written) if abs(value) > 1e-12 else "0"


def relative(before: int, after: int) -> str:
    """Write a relative change in percent, such as -42.2%."""
    if before == 0:
        return DASH
    change = (after - before) / before * 100
    return value_or_zero(change, f"{change:+.1f}%")


def relative_words(before: int, after: int, less: str, more: str) -> str:
    """Write a relative change in words, such as 42.2% fewer; `less` and `more` are the words."""
    if before == after:
        return "no change"
    if before == 0:
        return ""
    return f"{abs(after - before) / before * 100:.1f}% {less if after < before else more}"


def threshold(value: float) -> str:
    """Write a threshold of node importance, such as -1e-5."""
    mantissa, _, exponent = f"{value:g}".partition("e")
    return _minus(mantissa) + (f"e{int(exponent)}" if exponent else "")


def large(number: int) -> str:
    """Write a large count for reading aloud: 134.3 million."""
    for size, word, _ in _LARGE:
        if number >= size:
            return f"{number / size:.1f} {word}"
    return count(number)


def large_unit(number: int, unit: str) -> str:
    """Write a large quantity with a decimal prefix: 30.9 GFLOP, 537.2 MB."""
    for size, _, prefix in (*_LARGE, (1e3, "thousand", "k")):
        if number >= size:
            return f"{number / size:.1f} {prefix}{unit}"
    return f"{number} {unit}"


def plural(number: int, noun: str) -> str:
    """Write a count with its noun: 1 image, 1,200 images."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def listing(words: Sequence[str]) -> str:
    """Join words as a sentence does: a, b and c."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} and {words[-1]}"


def _minus(text: str) -> str:
    return text.replace("-", MINUS, 1) if text.startswith("-") else text
