"""How figures and variants are worded: units, digits, intervals, and names no longer than they must be."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edgewright.benchmarks.report.data import Figure, Interval, Variant
from edgewright.core.foreign_text import shortened
from edgewright.core.units import show_bytes

_US_PER_MS = 1e3
SHORT_DIGEST = 12
_TO = " \N{EN DASH} "


@dataclass(frozen=True)
class TimeUnit:
    """One unit for all latencies of a report, so that columns compare at a glance."""

    name: str
    nanoseconds: float

    def show(self, ns: float) -> str:
        """Four significant digits, without the unit.

        >>> MILLISECONDS.show(12_367_759), MICROSECONDS.show(31_060.0)
        ('12.37', '31.06')
        """
        return digits(ns / self.nanoseconds)

    def span(self, interval: Interval | None) -> str:
        """Both ends of an interval; empty where there is none."""
        return "" if interval is None else _TO.join(self.show(end) for end in interval)


MICROSECONDS = TimeUnit("µs", 1e3)
MILLISECONDS = TimeUnit("ms", 1e6)


def time_unit(variants: Sequence[Variant]) -> TimeUnit:
    """Microseconds where all medians are below a millisecond."""
    medians = [value for one in variants if (value := one.latency["p50"].value) is not None]
    return MICROSECONDS if medians and max(medians) < MILLISECONDS.nanoseconds else MILLISECONDS


def digits(value: float, count: int = 4) -> str:
    """``count`` significant digits, never in powers of ten between 1e-4 and 1e9.

    >>> digits(15679.7597), digits(0.00123456), digits(4.0), digits(1e12)
    ('15 680', '0.001235', '4.000', '1e+12')
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    size = math.floor(math.log10(abs(value)))
    if not -4 <= size < 9:
        return f"{value:.{count}g}"
    text = f"{round(value, count - 1 - size):,.{max(count - 1 - size, 0)}f}"
    return text.replace(",", " ")


def value_of(value: float) -> str:
    """A metric's value: four decimals where it is a share or the like.

    >>> value_of(0.9924623), value_of(38.123456), value_of(0.0000123)
    ('0.9925', '38.12', '1.23e-05')
    """
    if value == 0 or 1e-3 <= abs(value) <= 1:
        return f"{value:.4f}"
    return digits(value) if abs(value) > 1 else f"{value:.4g}"


def signed(value: float) -> str:
    """A change of a metric, with its sign; a zero has none.

    >>> signed(0.0012), signed(-0.0), signed(-0.25)
    ('+0.0012', '0.0000', '-0.2500')
    """
    if value == 0:
        return "0.0000"
    return f"{'+' if value > 0 else '-'}{value_of(abs(value))}"


def share(value: float) -> str:
    """A fraction of 1 in percent, three digits.

    >>> share(0.0184), share(0.02)
    ('1.84 %', '2 %')
    """
    return f"{value * 100:.3g} %"


def ratio(value: float) -> str:
    """A factor, three decimals where it is near 1.

    >>> ratio(0.53219), ratio(1.0026), ratio(38.1)
    ('0.532×', '1.003×', '38.1×')
    """
    return f"{_factor(value)}\N{MULTIPLICATION SIGN}"


def ratio_span(interval: Interval | None) -> str:
    """Both ends of an interval of factors; empty where there is none."""
    return "" if interval is None else _TO.join(_factor(end) for end in interval)


def _factor(value: float) -> str:
    return f"{value:.3f}" if 0.1 <= value < 10 else digits(value, 3)


def span(interval: Interval | None) -> str:
    """Both ends of an interval of a metric; empty where there is none."""
    return "" if interval is None else _TO.join(value_of(end) for end in interval)


def digits_span(interval: Interval | None) -> str:
    """Both ends of an interval, four significant digits each; empty where there is none."""
    return "" if interval is None else _TO.join(digits(end) for end in interval)


def count(number: int) -> str:
    """A whole number in groups of three.

    >>> count(46081)
    '46 081'
    """
    return f"{number:,}".replace(",", " ")


def counted(number: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "pair"), counted(12000, "sample")
    ('1 pair', '12 000 samples')
    """
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def size(figure: Figure) -> str:
    """Bytes in the unit that suits them."""
    return "" if figure.value is None else show_bytes(int(figure.value))


def short(digest: str) -> str:
    """The beginning of a digest, as much as people compare."""
    return digest[:SHORT_DIGEST]


def labels(variants: Sequence[Variant]) -> Mapping[str, str]:
    """A label for each variant's key: its precision, and of model, target and the rest only what tells them apart."""
    many_models = len({one.model for one in variants}) > 1
    many_targets = len({one.target for one in variants}) > 1
    found = {
        one.key: " ".join(
            part
            for part, wanted in ((one.model, many_models), (one.target, many_targets), (one.title or "?", True))
            if wanted
        )
        for one in variants
    }
    for more in (_asked, _threads, _machine, _digest):
        kinds: dict[str, set[str]] = {}
        for one in variants:
            kinds.setdefault(found[one.key], set()).add(more(one))
        found = {
            one.key: f"{found[one.key]} {more(one)}".strip() if len(kinds[found[one.key]]) > 1 else found[one.key]
            for one in variants
        }
    return {key: shortened(label, 80) for key, label in found.items()}


def _asked(variant: Variant) -> str:
    return variant.asked


def _threads(variant: Variant) -> str:
    threads = None if variant.session is None else variant.session.threads
    return "" if threads is None else counted(threads, "thread")


def _machine(variant: Variant) -> str:
    return "" if variant.machine is None else f"on {variant.machine.identity[:6]}"


def _digest(variant: Variant) -> str:
    return variant.provenance.bundle_sha256[:6]
