"""Check the rows of a table of events: what is left out, what is repeated, returned or rated on another scale."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.catalog.files.tables import Table
from recommender.catalog.report import DataReport, Rows, Severity
from recommender.catalog.values.cells import Mask, numbers, strings
from recommender.catalog.values.ids import without_decimals
from recommender.catalog.values.prices import prices
from recommender.events import RETURNS, add_lines

# How trackers and shops name what GA4 names "refund", in lower case and without what is not a letter.
_REFUNDS = {
    *("return", "returned", "returns", "productreturned", "orderreturned", "itemreturned"),
    *("refunded", "orderrefunded", "productrefunded", "chargeback", "chargedback", "storno"),
    *("cancel", "canceled", "cancelled", "cancellation", "ordercanceled", "ordercancelled"),
}
# The events of orders, which a transaction has once.
ORDERED = ("purchase", "refund")
# Scales of ratings, from their lowest value to their highest; a few values outside are mistakes.
_STARS = (0.0, 5.0)
_SCALES = (_STARS, (1.0, 10.0), (0.0, 10.0), (0.0, 100.0))
_SIGNS = ((0.0, 1.0), (-1.0, 1.0))
_MIN_ON_SCALE = 0.99  # share


class EventChecks:
    """Collects the valid rows of a table, and reports the others, each once.

    Parameters
    ----------
    table
        As the file has it.
    report
        Where problems are reported.
    """

    def __init__(self, table: Table, report: DataReport) -> None:
        self._table, self._report = table, report
        self.valid: NDArray[np.bool_] = np.ones(len(table.frame), bool)

    def drop(self, kind: str, bad: "pd.Series[bool]", column: pd.Series, expected: str) -> None:
        """Drop and report the rows of a mask that were not dropped before."""
        mask = bad.to_numpy(bool) & self.valid
        self.report(kind, mask, column, expected, "left_out")
        self.valid &= ~mask

    def drop_repeated(self, keys: pd.DataFrame, name: str) -> None:
        """Drop the later rows of equal keys, whose first column is not empty, and report them as repeated."""
        filled = np.flatnonzero((keys[name] != "").to_numpy(bool) & self.valid)
        repeated = filled[keys.iloc[filled].duplicated().to_numpy(bool)]
        mask = np.zeros(len(keys), bool)
        mask[repeated] = True
        self.report(f"repeated {name}", mask, keys[name], "a new one; the event is counted once", "warning")
        self.valid &= ~mask

    def add_lines(self, frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
        """Return events in which the first line of a product has the amounts of all lines; the others are dropped.

        Lines of one event are of one moment and differ in their amounts, or are listed in one row of the file. The
        others of equal keys are the event sent again: they are dropped and reported as repeated.

        Parameters
        ----------
        keys
            Columns that lines of one product in one event have in common; the first is the id of the event.
        """
        amounts = [*keys, "quantity", "price"]
        self.drop_repeated(frame[amounts].assign(nth=self.nth_in_row(frame[amounts])), keys[0])
        several = (frame[keys[0]] != "").to_numpy(bool) & self.valid
        keys = [*keys, "timestamp"]
        several[several] = frame.loc[several, keys].duplicated(keep=False).to_numpy(bool)
        if not several.any():
            return frame
        lines = frame.loc[several, [*keys, "quantity", "price"]]
        first = ~lines[keys].duplicated().to_numpy(bool)
        totals = {}
        for _, group in lines.groupby(keys, sort=False):
            pairs = group[["quantity", "price"]].astype(object).where(group[["quantity", "price"]].notna(), None)
            totals[group.index[0]] = add_lines(list(pairs.itertuples(index=False, name=None)))
        added = pd.DataFrame.from_dict(totals, orient="index", columns=["quantity", "price"], dtype="float64")
        frame = frame.copy()
        frame.loc[added.index, ["quantity", "price"]] = added
        self.valid[np.flatnonzero(several)[~first]] = False
        return frame

    def nth_in_row(self, lines: pd.DataFrame) -> NDArray[np.int64]:
        """Return of each line how many equal ones precede it in its row of the file, shape (n,)."""
        rows = self._table.rows
        nth = np.zeros(len(lines), np.int64)
        listed = pd.Series(rows).duplicated(keep=False).to_numpy(bool)  # rows that hold several products
        if listed.any():
            same = lines[listed].assign(row=rows[listed])
            nth[listed] = same.groupby([*same], dropna=False, sort=False).cumcount()
        return nth

    def numbers(self, name: str, column: str) -> NDArray[np.float64]:
        """Return a column of numbers (n,), NaN where there is none, and report cells that are not numbers."""
        raw = self._table.frame
        if column not in raw:
            return np.full(len(raw), np.nan)
        values, bad = numbers(raw[column])
        if bad.any() and name != "quantity":  # such as 12,50 or 12.50 EUR
            written = prices(raw[column])
            values = np.where(np.isnan(written.amounts), values, written.amounts)
            bad = bad & written.bad & np.isnan(values)
        self.report(f"bad {name}", bad, raw[column], "a number such as 12.50; taken as missing")
        return values

    def users(self, ids: pd.Series) -> pd.Series:
        """Return the ids of users, and report those that a column of floats wrote as 7.0 for 7."""
        whole, changed = without_decimals(ids)
        expected = "a whole number; taken as without its decimals"
        self.report("user id with a decimal point", changed, ids, expected, "warning")
        return whole

    def returns(self, frame: pd.DataFrame, known: Sequence[str]) -> pd.DataFrame:
        """Return events in which returns have the name of one and a positive quantity.

        Parameters
        ----------
        frame
            With event_name, quantity, price and value.
        known
            Names that have a weight.
        """
        codes, distinct = pd.factorize(frame["event_name"])
        plain = pd.Series(distinct, dtype="str").str.lower().str.replace(r"[^a-z]", "", regex=True)
        refunds = np.array([name not in known for name in distinct], bool) & plain.isin(_REFUNDS).to_numpy(bool)
        self.report("return", refunds[codes], frame["event_name"], "refund; taken as that", "warning")
        names = pd.Series(np.where(refunds, "refund", distinct), dtype="str")
        frame = frame.assign(event_name=names.to_numpy()[codes])
        for name in ("quantity", "price", "value"):
            frame = self._negative(frame, name)
        return frame

    def _negative(self, frame: pd.DataFrame, name: str) -> pd.DataFrame:
        """Take purchases of a negative amount as refunds; negative amounts of others but refunds are missing."""
        negative = (frame[name] < 0).to_numpy(bool)
        if name == "value":
            negative = negative & (frame["event_name"] != "rate").to_numpy(bool)
        if not negative.any():
            return frame
        names = frame["event_name"]
        returned = negative & names.isin(RETURNS).to_numpy(bool)
        other = negative & ~names.isin({**RETURNS, **dict.fromkeys(RETURNS.values())}).to_numpy(bool)
        self.report(f"negative {name}", returned, frame[name], "a positive one; taken as a return", "warning")
        self.report(f"bad {name}", other, frame[name], "a positive one; taken as missing")
        amounts = frame[name].abs().mask(other)
        return frame.assign(event_name=names.where(~returned, names.map(RETURNS)), **{name: amounts})

    def stars(self, names: pd.Series, values: pd.Series) -> pd.Series:
        """Return values in which ratings are stars from 1 to 5; those of another scale are rescaled and reported.

        Ratings outside the scale of the column are taken as missing, and reported.
        """
        rated = (names == "rate").to_numpy(bool) & values.notna().to_numpy(bool)
        ratings = values[rated].to_numpy()
        if not len(ratings):
            return values
        scale = _scale_of(ratings)
        if scale is None:
            self.report("bad value", rated, values, "stars from 1 to 5; taken as missing")
            return values.mask(rated)
        low, high = scale
        outside = rated & ~values.between(low, high).to_numpy(bool)
        self.report("bad value", outside, values, f"a rating from {low:g} to {high:g}; taken as missing")
        if scale != _STARS:
            expected = f"stars from 1 to 5; all ratings are rescaled from {low:g} to {high:g}"
            self.report("rating of another scale", rated & ~outside, values, expected, "warning")
            values = values.where(~rated, 1 + 4 * (values - low) / (high - low))
        return values.mask(outside)

    def currencies(self, frame: pd.DataFrame) -> None:
        """Report a column of several currencies."""
        if "currency" not in frame:
            return
        named = sorted(set(strings(frame["currency"]).unique().tolist()) - {""})
        if len(named) > 1:
            message = f"amounts are in {', '.join(named[:5])}; expected one currency; nothing is converted"
            self._report.add("mixed currencies", self._table.name, [0], [""], lambda i: message, "warning")

    def report(
        self, kind: str, mask: Mask, column: pd.Series, expected: str, severity: Severity = "error"
    ) -> None:
        """Report the rows of a mask with their cells."""
        if not mask.any():
            return
        rows: Rows = self._table.rows[mask]
        cells = strings(column[mask]).tolist()
        self._report.add(
            kind,
            self._table.name,
            rows,
            [""] * len(rows),
            lambda i: f'{column.name} is "{cells[i]}"; expected {expected}',
            severity,
        )


def _scale_of(ratings: NDArray[np.float64]) -> tuple[float, float] | None:
    """Return the lowest and the highest value of the scale that holds nearly all ratings; None for no scale."""
    scales = (*_SIGNS, *_SCALES) if ratings.min() < 1 else _SCALES  # thumbs: without a 0 or -1, a 1 is a star
    for low, high in scales:
        if ((low <= ratings) & (ratings <= high)).mean() >= _MIN_ON_SCALE:
            return low, high
    return None
