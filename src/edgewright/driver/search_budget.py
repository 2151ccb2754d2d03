"""How long settings may be searched for, as people type it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SearchBudget:
    """How long may be searched: so many trials, or so many minutes (no trial begins after them)."""

    amount: float
    unit: Literal["trials", "minutes"]


def parse_search(text: str) -> SearchBudget:
    """The budget that ``--search-settings`` states.

    >>> parse_search("20"), parse_search("30min")
    (SearchBudget(amount=20.0, unit='trials'), SearchBudget(amount=30.0, unit='minutes'))

    Raises:
        ValueError: it states none.
    """
    number, minutes = text.strip().removesuffix("min"), text.strip().endswith("min")
    try:
        amount = float(number)
    except ValueError:
        amount = 0.0
    if not 0 < amount < math.inf or (not minutes and amount != int(amount)):
        raise ValueError(f"'{text:.50}' is neither a number of trials such as 20 nor a time such as 30min")
    return SearchBudget(amount, "minutes" if minutes else "trials")
