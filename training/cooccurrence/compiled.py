"""Compiled loops that count pairs of events row by row, without a list of all pairs; loaded where numba is.

Events are in order of user and time. Those of a product are found by `order`: the positions of all events by
product, those of product i from ``starts[i]`` to ``starts[i + 1]``.
"""

import numpy as np
from numba import njit

Array = np.ndarray


@njit(cache=True, nogil=True)
def sizes(rows: Array, users: Array, order: Array, starts: Array, window: int) -> Array:
    """Return the number of partners of each product, shape (n,)."""
    n = len(starts) - 1
    counts, seen = np.zeros(n, np.int64), np.full(n, -1, np.int64)
    for row in range(n):
        for place in range(starts[row], starts[row + 1]):
            event = order[place]
            for other in range(max(event - window, 0), min(event + window + 1, len(rows))):
                partner = rows[other]
                if users[other] == users[event] and partner != row and seen[partner] != row:
                    seen[partner] = row
                    counts[row] += 1
    return counts


@njit(cache=True, nogil=True)
def count(
    rows: Array,
    users: Array,
    times: Array,
    moments: Array,
    order: Array,
    starts: Array,
    window: int,
    nearness: Array,
    decay: float,
    backward: float,
    indptr: Array,
    indices: Array,
    values: Array,
) -> None:
    """Write the counts of each product's partners, columns ascending; see `training.cooccurrence.pairs`.

    Parameters
    ----------
    rows, users, times, moments
        Of each event: its product, numbers of its user and its moment, and when it was, in seconds.
    nearness
        Factor of a pair by the number of moments between its events, from 0.
    decay
        Of the time between two events, per second.
    indptr, indices, values
        The table that is written, in CSR form.
    """
    n = len(starts) - 1
    sums = np.zeros(n)
    for row in range(n):
        first, end = indptr[row], indptr[row]
        for place in range(starts[row], starts[row + 1]):
            event = order[place]
            for other in range(max(event - window, 0), min(event + window + 1, len(rows))):
                partner = rows[other]
                if users[other] != users[event] or partner == row:
                    continue
                apart = abs(times[other] - times[event])
                strength = nearness[abs(moments[other] - moments[event])] * np.exp(-decay * apart)
                if other < event and apart > 0:
                    strength *= backward
                if sums[partner] == 0.0:
                    indices[end] = partner
                    end += 1
                sums[partner] += strength
        indices[first:end] = np.sort(indices[first:end])
        for cell in range(first, end):
            values[cell] = sums[indices[cell]]
            sums[indices[cell]] = 0.0


@njit(cache=True, nogil=True)
def normalize(
    indptr: Array, indices: Array, values: Array, left: Array, right: Array, shrinkage: float, k: int
) -> tuple[Array, Array, Array]:
    """Return the k largest normalized counts of each row in CSR form, of equal ones the first; the largest is 1.

    Parameters
    ----------
    indptr, indices, values
        The counts.
    left, right
        Powers of the popularity of the seed and of the partner, shape (n,).
    """
    n = len(indptr) - 1
    top, size = 0.0, 0
    for row in range(n):
        size += min(k, indptr[row + 1] - indptr[row])
        for cell in range(indptr[row], indptr[row + 1]):
            c = values[cell]
            top = max(top, c / (left[row] * right[indices[cell]]) * c / (c + shrinkage))
    starts, columns, strengths = np.zeros(n + 1, np.int64), np.empty(size, np.int32), np.empty(size)
    end = 0
    for row in range(n):
        first, last = indptr[row], indptr[row + 1]
        line = np.empty(last - first)
        for cell in range(first, last):
            c = values[cell]
            line[cell - first] = c / (left[row] * right[indices[cell]]) * c / (c + shrinkage) / top
        smallest, ties = 0.0, 0
        if len(line) > k:
            smallest = np.partition(line, len(line) - k)[len(line) - k]
            ties = k - int(np.count_nonzero(line > smallest))
        for position in range(len(line)):
            value = line[position]
            tie = value == smallest and ties > 0
            if value > smallest or tie:
                columns[end], strengths[end] = indices[first + position], value
                end += 1
                ties -= int(tie)
        starts[row + 1] = end
    return starts, columns[:end], strengths[:end]
