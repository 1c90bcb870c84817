"""Loops over vectors in 8 bits, for `recommender.retrieval.kernels`; each releases the GIL.

Codes are (n, p) int8, a query (p,) float32 has the columns' scales in it, and `pool` is a list of rows kept in
order of score by insertion, best first.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

Array = np.ndarray
LINE = 64  # bytes that one prefetch brings
GROUP = 64  # scores of which only the highest is compared at first
SPARE = 16


@intrinsic
def _prefetch(typing: Any, array: Any, row: Any, byte: Any) -> Any:
    """Ask the memory for the cache line of a byte of array[row], and go on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = ir.IntType(8).as_pointer()
        offset = builder.add(builder.mul(arguments[1], builder.extract_value(made.strides, 0)), arguments[2])
        place = builder.gep(builder.bitcast(made.data, pointer), [offset])
        flag = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [pointer, flag, flag, flag])
        name = "llvm.prefetch.p0i8"
        call = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(call, [place, flag(0), flag(3), flag(1)])  # to read, for long, data
        return context.get_dummy_value()

    return types.void(array, types.int64, types.int64), generate


@njit(cache=True, nogil=True, inline="always")
def _fetch(array: Array, row: int) -> None:
    for byte in range(0, array.strides[0], LINE):
        _prefetch(array, np.int64(row), np.int64(byte))  # type: ignore[call-arg]


@njit(cache=True, nogil=True, fastmath=True, inline="always")
def _dot(codes: Array, row: int, query: Array) -> np.float32:
    total = np.float32(0)
    for column in range(query.shape[0]):
        total += query[column] * np.float32(codes[row, column])
    return total


@njit(cache=True, nogil=True, inline="always")
def _insert(rows: Array, scores: Array, done: Array, size: int, row: int, score: np.float32) -> tuple[int, int]:
    """Put a row into the pool; return the pool's size and the row's place, `len(rows)` if it is too low."""
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
    for place in range(size - 1, low, -1):
        rows[place], scores[place], done[place] = rows[place - 1], scores[place - 1], done[place - 1]
    rows[low], scores[low], done[low] = row, score, False
    return size, low


@njit(cache=True, nogil=True)
def _step(codes: Array, graph: Array, via: int, marks: Array, mark: np.uint32, fresh: Array) -> int:
    """Fill in the rows that a row's edges lead to, seen for the first time; returns how many they are."""
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
    """Walk the graph from the seeds, best first, keeping the `len(rows)` best; returns how many were found.

    `marks` (n,) uint32 remembers rows seen: those that hold `mark`.
    """
    done = np.zeros(len(rows), np.bool_)
    fresh = np.empty(graph.shape[1], np.int32)
    size = place = 0
    for row in seeds:
        if marks[row] != mark:
            marks[row] = mark
            size, _ = _insert(rows, scores, done, size, row, _dot(codes, row, query))
    while place < size:
        if done[place]:
            place += 1
            continue
        done[place] = True
        for row in fresh[: _step(codes, graph, rows[place], marks, mark, fresh)]:
            size, at = _insert(rows, scores, done, size, row, _dot(codes, row, query))
            if at < len(rows):
                _fetch(graph, row)
                place = min(place, at)
    return size


@njit(cache=True, nogil=True, inline="always")
def _push(rows: Array, scores: Array, size: int, row: int, score: np.float32) -> int:
    """Put a row into a binary heap, best on top; returns the heap's size."""
    place = size
    while place > 0 and scores[(place - 1) // 2] < score:
        above = (place - 1) // 2
        rows[place], scores[place] = rows[above], scores[above]
        place = above
    rows[place], scores[place] = row, score
    return size + 1


@njit(cache=True, nogil=True, inline="always")
def _pop(rows: Array, scores: Array, size: int) -> int:
    """Take the best row off a binary heap; returns the heap's size."""
    size -= 1
    row, score, place = rows[size], scores[size], 0
    while 2 * place + 1 < size:
        below = 2 * place + 1
        if below + 1 < size and scores[below + 1] > scores[below]:
            below += 1
        if scores[below] <= score:
            break
        rows[place], scores[place] = rows[below], scores[below]
        place = below
    rows[place], scores[place] = row, score
    return size


@njit(cache=True, nogil=True, fastmath=True)
def beam_among(
    codes: Array,
    graph: Array,
    query: Array,
    seeds: Array,
    allowed: Array,
    marks: Array,
    mark: np.uint32,
    rows: Array,
    scores: Array,
    ahead: Array,
    ahead_scores: Array,
) -> tuple[int, int, int]:
    """Walk as `beam` does, over all rows, keeping those that are `allowed` (n,).

    Returns how many were found, how many rows were seen, and how many of those are allowed. It ends when what lies
    ahead is worse than all that is kept, as in HNSW (Malkov and Yashunin, TPAMI 2020, algorithm 2), or nothing
    does: `ahead` has room for so many rows.
    """
    done = np.zeros(len(rows), np.bool_)
    fresh = np.empty(max(graph.shape[1], len(seeds)), np.int32)
    size = open = count = seen = among = 0
    for row in seeds:
        if marks[row] != mark:
            marks[row] = mark
            fresh[count] = row
            count += 1
    while True:
        seen += count
        for row in fresh[:count]:
            among += allowed[row]
            score = _dot(codes, row, query)
            if size < len(rows) or score > scores[size - 1]:
                if open < len(ahead):
                    open = _push(ahead, ahead_scores, open, row, score)
                    _fetch(graph, row)
                if allowed[row]:
                    size, _ = _insert(rows, scores, done, size, row, score)
        if open == 0 or (size == len(rows) and ahead_scores[0] < scores[size - 1]):
            return size, seen, among
        via = ahead[0]
        open = _pop(ahead, ahead_scores, open)
        count = _step(codes, graph, via, marks, mark, fresh)


@njit(cache=True, nogil=True, fastmath=True)
def scan(codes: Array, query: Array, rows: Array | None, out: Array) -> None:
    """Score the given rows, or all where `rows` is None, into `out`."""
    for place in range(len(out)):
        out[place] = _dot(codes, place if rows is None else rows[place], query)


@njit(cache=True, nogil=True)
def near(line: Array, wanted: int, slack: float) -> Array:
    """Return the places of all that lies no more than `slack` below the best `wanted` of a line, but for -inf.

    Place i belongs to the group i modulo their number. At least `wanted` scores are as high as the lowest of the
    `wanted` highest groups', so only groups that reach it are looked into.
    """
    groups = -(-len(line) // GROUP)
    highest = np.full(groups, -np.inf, line.dtype)
    for start in range(0, len(line), groups):
        part = line[start : start + groups]
        for group in range(len(part)):
            highest[group] = part[group] if part[group] > highest[group] else highest[group]
    cut = _last(highest, -np.inf, highest, wanted)
    cut = _last(line, cut, highest, wanted) - slack
    found = np.empty(wanted + SPARE, np.int32)
    count = 0
    for group in range(groups):
        if highest[group] >= cut:
            for place in range(group, len(line), groups):
                if line[place] >= cut and line[place] > -np.inf:
                    if count == len(found):
                        found = np.append(found, np.empty(count, np.int32))
                    found[count] = place
                    count += 1
    return np.sort(found[:count])


@njit(cache=True, nogil=True)
def _last(line: Array, least: float, highest: Array, wanted: int) -> float:
    """Return the `wanted`-th largest of a line; groups whose highest score is below `least` are passed over."""
    scores = np.full(wanted, -np.inf, line.dtype)
    for group in range(len(highest)):
        if highest[group] >= least:
            for place in range(group, len(line), len(highest)):
                score = line[place]
                if score > scores[-1]:
                    at = wanted - 1
                    while at > 0 and scores[at - 1] < score:
                        scores[at] = scores[at - 1]
                        at -= 1
                    scores[at] = score
    return scores[-1]


@njit(cache=True, nogil=True, fastmath=True)
def expand(codes: Array, scales: Array, lists: Array, width: int, first: int, last: int, out: Array) -> None:
    """Improve the neighbour lists of rows `first` to `last` by their neighbours' neighbours.

    `scales` (p,) turns a row of codes into a query; of each list the first `width` are followed.
    """
    marks = np.zeros(len(codes), np.uint32)
    depth = lists.shape[1]
    done = np.empty(depth, np.bool_)
    scores = np.empty(depth, np.float32)
    query = np.empty(codes.shape[1], np.float32)
    fresh = np.empty(depth + width * width, np.int32)
    for own in range(first, last):
        mark = own - first + 1
        marks[own] = mark
        count = 0
        for row in lists[own]:
            if row >= 0 and marks[row] != mark:
                marks[row] = mark
                fresh[count] = row
                count += 1
        for via in lists[own, :width]:
            if via >= 0:
                for row in lists[via, :width]:
                    if row >= 0 and marks[row] != mark:
                        marks[row] = mark
                        fresh[count] = row
                        count += 1
                        _fetch(codes, row)
        for column in range(len(query)):
            query[column] = scales[column] * np.float32(codes[own, column])
        size = 0
        for row in fresh[:count]:
            size, _ = _insert(out[own], scores, done, size, row, _dot(codes, row, query))
        out[own, size:] = -1


@njit(cache=True, nogil=True, fastmath=True)
def prune(codes: Array, scales: Array, lists: Array, degree: int, first: int, last: int, graph: Array) -> None:
    """Keep of each list the neighbours that are nearer to the product than to any neighbour already kept.

    Fu et al., Fast Approximate Nearest Neighbor Search With The Navigating Spreading-out Graph, VLDB 2019.
    """
    query = np.empty(codes.shape[1], np.float32)
    for own in range(first, last):
        kept = 0
        for row in lists[own]:
            if row < 0 or kept == degree:
                break
            for column in range(len(query)):
                query[column] = scales[column] * np.float32(codes[row, column])
            near = _dot(codes, own, query)
            hidden = False
            for other in graph[own, :kept]:
                if _dot(codes, other, query) > near:
                    hidden = True
                    break
            if not hidden:
                graph[own, kept] = row
                kept += 1


@njit(cache=True, nogil=True)
def add_reverse(graph: Array, degree: int) -> None:
    """Let edges be walked backwards too, as far as the rows of the graph have room beyond `degree`."""
    sizes = (graph >= 0).sum(axis=1)
    first = sizes.copy()
    for own in range(len(graph)):
        for row in graph[own, : first[own]]:
            size = sizes[row]
            if size < graph.shape[1] and not (graph[row, :size] == own).any():
                graph[row, size] = own
                sizes[row] = size + 1
