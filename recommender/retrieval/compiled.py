"""Compiled loops over int8 vectors, loaded by `recommender.retrieval.kernels`; all release the GIL.

Codes are (n, p) int8; a query, (p,) float32, is multiplied by the columns' scales; a beam is a list of rows sorted
by score, best first, by insertion.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Array = np.ndarray
CACHE_LINE = 64  # bytes of one prefetch
GROUP = 64  # scores whose maximum is compared first
SPARE = 16
PAIRWISE = 128  # numbers that numpy adds up without splitting them


@intrinsic
def _prefetch(typing: Any, array: Any, row: Any, byte: Any) -> Any:
    """Prefetch the cache line of a byte of array[row]."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        struct = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = ir.IntType(8).as_pointer()
        offset = builder.add(builder.mul(arguments[1], builder.extract_value(struct.strides, 0)), arguments[2])
        address = builder.gep(builder.bitcast(struct.data, pointer), [offset])
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
        name = "llvm.prefetch.p0i8"
        call = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(call, [address, flag(0), flag(3), flag(1)])  # read, high locality, data
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


@njit(cache=True, nogil=True, inline="always")
def _fetch(array: Array, row: int) -> None:
    for byte in range(0, array.strides[0], CACHE_LINE):
        _prefetch(array, np.int64(row), np.int64(byte))  # type: ignore[call-arg]


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _dot(codes: Array, row: int, query: Array) -> np.float32:
    total = np.float32(0)
    for column in range(query.shape[0]):
        total += query[column] * np.float32(codes[row, column])
    return total


@njit(cache=True, nogil=True, inline="always")
def _insert(rows: Array, scores: Array, done: Array, size: int, row: int, score: np.float32) -> tuple[int, int]:
    """Insert a row into the beam; return the beam's size and the row's position, `len(rows)` if it is too low."""
    if size == len(rows) and score <= scores[size - 1]:
        return size, size
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        if scores[middle] < score:
            high = middle
        else:
            low = middle + 1
    size = min(size + 1, len(rows))
    for position in range(size - 1, low, -1):
        rows[position], scores[position], done[position] = (
            rows[position - 1],
            scores[position - 1],
            done[position - 1],
        )
    rows[low], scores[low], done[low] = row, score, False
    return size, low


@njit(cache=True, nogil=True)
def _step(codes: Array, graph: Array, via: int, marks: Array, mark: np.uint32, fresh: Array) -> int:
    """Write the unvisited neighbours of a row to `fresh`, and mark them; return their number."""
    count = 0
    for row in graph[via]:
        if row < 0:
            break
        if marks[row] != mark:
            marks[row] = mark
            fresh[count] = row
            count += 1
            _fetch(codes, row)
    return count


@njit(cache=True, nogil=True, fastmath=True)
def beam(
    codes: Array,
    graph: Array,
    query: Array,
    seeds: Array,
    marks: Array,
    mark: np.uint32,
    rows: Array,
    scores: Array,
) -> int:
    """Beam search over the graph from the seeds, of width `len(rows)`; return the number of rows.

    `marks` (n,) uint32 holds `mark` for visited rows.
    """
    done = np.zeros(len(rows), np.bool_)
    fresh = np.empty(graph.shape[1], np.int32)
    size = position = 0
    for row in seeds:
        if marks[row] != mark:
            marks[row] = mark
            size, _ = _insert(rows, scores, done, size, row, _dot(codes, row, query))
    while position < size:
        if done[position]:
            position += 1
            continue
        done[position] = True
        for row in fresh[: _step(codes, graph, rows[position], marks, mark, fresh)]:
            size, at = _insert(rows, scores, done, size, row, _dot(codes, row, query))
            if at < len(rows):
                _fetch(graph, row)
                position = min(position, at)
    return size


@njit(cache=True, nogil=True)
def distinct(rows: Array, excluded: Array, mask: Array | None, marks: Array, mark: np.uint32, out: Array) -> int:
    """Write each of `rows` once to `out`, without excluded ones and those not in `mask`; return their number.

    `marks` (n,) uint32 does not hold `mark` yet.
    """
    for row in excluded:
        marks[row] = mark
    count = 0
    for row in rows:
        if marks[row] != mark:
            marks[row] = mark
            if mask is None or mask[row]:
                out[count] = row
                count += 1
    return count


@njit(cache=True, nogil=True, inline="always")
def _push(rows: Array, scores: Array, size: int, row: int, score: np.float32) -> int:
    """Push a row onto a binary max-heap; return the heap's size."""
    position = size
    while position > 0 and scores[(position - 1) // 2] < score:
        above = (position - 1) // 2
        rows[position], scores[position] = rows[above], scores[above]
        position = above
    rows[position], scores[position] = row, score
    return size + 1


@njit(cache=True, nogil=True, inline="always")
def _pop(rows: Array, scores: Array, size: int) -> int:
    """Pop the best row of a binary max-heap; return the heap's size."""
    size -= 1
    row, score, position = rows[size], scores[size], 0
    while 2 * position + 1 < size:
        below = 2 * position + 1
        if below + 1 < size and scores[below + 1] > scores[below]:
            below += 1
        if scores[below] <= score:
            break
        rows[position], scores[position] = rows[below], scores[below]
        position = below
    rows[position], scores[position] = row, score
    return size


@njit(cache=True, nogil=True, fastmath=True)
def filtered_beam(
    codes: Array,
    graph: Array,
    query: Array,
    seeds: Array,
    mask: Array,
    marks: Array,
    mark: np.uint32,
    rows: Array,
    scores: Array,
    frontier: Array,
    frontier_scores: Array,
) -> tuple[int, int, int]:
    """Beam search as `beam`, over all rows; only those in `mask`, (n,), are returned.

    Return the number of rows, of visited rows, and of visited rows in the mask. The search ends when the best row
    of the frontier is worse than all of the full beam, as in HNSW (Malkov and Yashunin, TPAMI 2020, algorithm 2),
    or when the frontier is empty; `frontier` is its heap, and drops rows when it is full.
    """
    done = np.zeros(len(rows), np.bool_)
    fresh = np.empty(max(graph.shape[1], len(seeds)), np.int32)
    size = open_count = count = visited = matching = 0
    for row in seeds:
        if marks[row] != mark:
            marks[row] = mark
            fresh[count] = row
            count += 1
    while True:
        visited += count
        for row in fresh[:count]:
            matching += mask[row]
            score = _dot(codes, row, query)
            if size < len(rows) or score > scores[size - 1]:
                if open_count < len(frontier):
                    open_count = _push(frontier, frontier_scores, open_count, row, score)
                    _fetch(graph, row)
                if mask[row]:
                    size, _ = _insert(rows, scores, done, size, row, score)
        if open_count == 0 or (size == len(rows) and frontier_scores[0] < scores[size - 1]):
            return size, visited, matching
        via = frontier[0]
        open_count = _pop(frontier, frontier_scores, open_count)
        count = _step(codes, graph, via, marks, mark, fresh)


@njit(cache=True, nogil=True, fastmath=True)
def scan(codes: Array, query: Array, rows: Array | None, out: Array) -> None:
    """Write the scores of `rows`, or of all where it is None, to `out`."""
    for position in range(len(out)):
        out[position] = _dot(codes, position if rows is None else rows[position], query)


@njit(cache=True, nogil=True)
def within_slack(line: Array, size: int, slack: float) -> Array:
    """Return the positions of the scores within `slack` of the `size`-th largest, without -inf, ascending.

    Position i belongs to the group i modulo the number of groups. The `size`-th largest of the groups' maxima is a
    lower bound, so only groups that reach it are read again.
    """
    groups = -(-len(line) // GROUP)
    highest = np.full(groups, -np.inf, line.dtype)
    for start in range(0, len(line), groups):
        part = line[start : start + groups]
        for group in range(len(part)):
            highest[group] = part[group] if part[group] > highest[group] else highest[group]
    cut = _kth_largest(highest, -np.inf, highest, size)
    cut = _kth_largest(line, cut, highest, size) - slack
    if (highest >= cut).sum() > size + SPARE:  # most rows score the same: no group is left out
        return np.flatnonzero((line >= cut) & (line > -np.inf)).astype(np.int32)
    positions = np.empty(size + SPARE, np.int32)
    count = 0
    for group in range(groups):
        if highest[group] >= cut:
            for position in range(group, len(line), groups):
                if line[position] >= cut and line[position] > -np.inf:
                    if count == len(positions):
                        positions = np.append(positions, np.empty(count, np.int32))
                    positions[count] = position
                    count += 1
    return np.sort(positions[:count])


@njit(cache=True, nogil=True)
def _kth_largest(line: Array, bound: float, highest: Array, k: int) -> float:
    """Return the k-th largest score of a line; groups whose maximum is below `bound` are skipped."""
    scores = np.full(k, -np.inf, line.dtype)
    for group in range(len(highest)):
        if highest[group] >= bound:
            for position in range(group, len(line), len(highest)):
                score = line[position]
                if score > scores[-1]:
                    at = k - 1
                    while at > 0 and scores[at - 1] < score:
                        scores[at] = scores[at - 1]
                        at -= 1
                    scores[at] = score
    return scores[-1]


@njit(cache=True, nogil=True, fastmath=True)
def expand(codes: Array, scales: Array, lists: Array, width: int, first: int, last: int, out: Array) -> None:
    """Improve the neighbour lists of rows `first` to `last` by their neighbours' neighbours.

    `scales` (p,) turns a row of codes into a query; the first `width` of each list are expanded.
    """
    marks = np.zeros(len(codes), np.uint32)
    depth = lists.shape[1]
    done = np.empty(depth, np.bool_)
    scores = np.empty(depth, np.float32)
    query = np.empty(codes.shape[1], np.float32)
    fresh = np.empty(depth + width * width, np.int32)
    for node in range(first, last):
        mark = node - first + 1
        marks[node] = mark
        count = 0
        for row in lists[node]:
            if row >= 0 and marks[row] != mark:
                marks[row] = mark
                fresh[count] = row
                count += 1
        for via in lists[node, :width]:
            if via >= 0:
                for row in lists[via, :width]:
                    if row >= 0 and marks[row] != mark:
                        marks[row] = mark
                        fresh[count] = row
                        count += 1
                        _fetch(codes, row)
        for column in range(len(query)):
            query[column] = scales[column] * np.float32(codes[node, column])
        size = 0
        for row in fresh[:count]:
            size, _ = _insert(out[node], scores, done, size, row, _dot(codes, row, query))
        out[node, size:] = -1


@njit(cache=True, nogil=True, fastmath=True)
def prune(codes: Array, scales: Array, lists: Array, degree: int, first: int, last: int, graph: Array) -> None:
    """Prune each list to the neighbours that are nearer to the row than to any neighbour retained before.

    Fu et al., Fast Approximate Nearest Neighbor Search With The Navigating Spreading-out Graph, VLDB 2019.
    """
    query = np.empty(codes.shape[1], np.float32)
    for node in range(first, last):
        retained = 0
        for row in lists[node]:
            if row < 0 or retained == degree:
                break
            for column in range(len(query)):
                query[column] = scales[column] * np.float32(codes[row, column])
            near = _dot(codes, node, query)
            hidden = False
            for other in graph[node, :retained]:
                if _dot(codes, other, query) > near:
                    hidden = True
                    break
            if not hidden:
                graph[node, retained] = row
                retained += 1


@njit(cache=True, nogil=True)
def add_reverse(graph: Array, degree: int) -> None:
    """Add reverse edges, as far as the rows of the graph have room beyond `degree`."""
    sizes = (graph >= 0).sum(axis=1)
    first = sizes.copy()
    for node in range(len(graph)):
        for row in graph[node, : first[node]]:
            size = sizes[row]
            if size < graph.shape[1] and not (graph[row, :size] == node).any():
                graph[row, size] = node
                sizes[row] = size + 1


@njit(cache=True, nogil=True)
def _pairwise(values: Array, query: Array) -> float:
    """Return the inner product of float32 values and a float64 query, added in numpy's order: pairwise."""
    count = len(query)
    if count > PAIRWISE:
        half = count // 2
        half -= half % 8
        return _pairwise(values[:half], query[:half]) + _pairwise(values[half:], query[half:])
    a = b = c = d = e = f = g = h = 0.0
    whole = count - count % 8
    for at in range(0, whole, 8):
        a += np.float64(values[at]) * query[at]
        b += np.float64(values[at + 1]) * query[at + 1]
        c += np.float64(values[at + 2]) * query[at + 2]
        d += np.float64(values[at + 3]) * query[at + 3]
        e += np.float64(values[at + 4]) * query[at + 4]
        f += np.float64(values[at + 5]) * query[at + 5]
        g += np.float64(values[at + 6]) * query[at + 6]
        h += np.float64(values[at + 7]) * query[at + 7]
    total = ((a + b) + (c + d)) + ((e + f) + (g + h))
    for at in range(whole, count):
        total += np.float64(values[at]) * query[at]
    return total


@njit(cache=True, nogil=True)
def block_parts(vectors: Array, rows: Array, weighted: Array, stops: Array, out: Array) -> None:
    """Write the inner products of rows with a query, block by block, in float64, to the first columns of `out`.

    `stops`, (M,), are the ends of the blocks. Every sum has the bits of numpy's.
    """
    for position in range(len(rows)):
        if position + 1 < len(rows):
            _fetch(vectors, rows[position + 1])
        line, start = vectors[rows[position]], 0
        for block in range(len(stops)):
            out[position, block] = _pairwise(line[start : stops[block]], weighted[start : stops[block]])
            start = stops[block]
