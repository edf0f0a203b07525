"""Numbers as a table shows them: shares in percent, differences of shares in points."""

from __future__ import annotations

from lrat_sim.comparison import table as comparison_table
from lrat_sim.comparison.measures import Measure
from lrat_sim.comparison.paired import Estimate, Paired

NONE = "–"
QUANTILE = 1.96
"""Standard errors on either side of a mean that hold 95 % of the noise."""

_UNITS = {"share": "%", "dollar": "$"}


def heading(measure: Measure) -> str:
    """The title of a column of means."""
    unit = _UNITS.get(measure.unit)
    return f"{measure.title}, {unit}" if unit else measure.title


def mean(measure: Measure, value: float | None) -> str:
    """A mean in the measure's unit."""
    if value is None:
        return "unknown" if measure.unit == "dollar" else NONE
    return _number(_scale(measure) * value, _digits(measure, value))


def noise(measure: Measure, error: float | None) -> str:
    """Half the 95 % interval of a mean, from its standard error."""
    return NONE if error is None else f"±{_number(QUANTILE * _scale(measure) * error, _digits(measure, error))}"


def difference(measure: Measure, paired: Paired) -> str:
    """With its sign."""
    value = paired.difference.value
    return NONE if value is None else signed(_scale(measure) * value, _digits(measure, paired.base))


def interval(measure: Measure, paired: Paired) -> str:
    """That of a difference."""
    return between(paired.difference, _scale(measure), _digits(measure, paired.base))


def smallest(measure: Measure, paired: Paired) -> str:
    """The smallest difference that could show."""
    if paired.smallest is None:
        return NONE
    return _number(_scale(measure) * paired.smallest, _digits(measure, paired.base))


def between(estimate: Estimate, scale: float = 1.0, digits: int = 1) -> str:
    """The interval of an estimate, times ``scale``."""
    if estimate.low is None and estimate.high is None:
        return NONE
    return " to ".join(
        "no bound" if end is None else _number(scale * end, digits) for end in (estimate.low, estimate.high)
    )


def relative(paired: Paired) -> str:
    """The difference in percent of the base's mean."""
    value = paired.relative.value
    return NONE if value is None else signed(100 * value, 0)


def signed(value: float, digits: int = 1) -> str:
    """A number with its sign."""
    return _minus(f"{value:+z,.{digits}f}")


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent, without the sign of percent."""
    return NONE if value is None else _number(100 * value, digits)


def plain(value: float | None, digits: int = 1) -> str:
    """A number."""
    return NONE if value is None else _number(value, digits)


def p_value(value: float | None) -> str:
    """A p-value to three digits."""
    return NONE if value is None else comparison_table.p_value(value)


def _scale(measure: Measure) -> float:
    return 100.0 if measure.unit == "share" else 1.0


def _digits(measure: Measure, size: float | None) -> int:
    return 4 if measure.unit == "dollar" else 0 if abs(size or 0.0) >= 1000 else 1


def _number(value: float, digits: int) -> str:
    return _minus(f"{value:z,.{digits}f}")


def _minus(text: str) -> str:
    return text.replace("-", "−")
