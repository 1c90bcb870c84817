"""Compiled walk over the graph by one-bit codes of neighbours, loaded by `recommender.retrieval.kernels`.

A node's block has the codes of its neighbours' differences from it, 16 neighbours to a half. A table of 16 bytes
per four dimensions has the query's sum over them for each pattern of four bits; one shuffle instruction looks up
32 of them (FastScan: André et al., ICMR 2017). Beams are arrays of keys: score and row in one integer.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from recommender.retrieval.compiled import CACHE_LINE, Array, _dot, _fetch, _prefetch
from recommender.retrieval.neighbour_codes import HALF

ROW, DONE = np.uint64(0x7FFFFFFF), np.uint64(0x80000000)  # the row of a key, and its bit for expanded rows
SIGN = np.uint32(0x80000000)
LEAF_ROWS, MAX_DEPTH = 4, 1_000  # rows of a leaf that are entry points; depth of Annoy's trees, at most
SHIFT = 16  # keys of a beam that are moved together
LEVEL = np.float32(127.5)  # half the range of a byte of the tables


@intrinsic
def _look_up(typing: Any, tables: Any, codes: Any, row: Any, half: Any, sums: Any) -> Any:
    """Write the sums, (16,) uint16, of the tables' bytes, (2, D / 8, 16), that half a node's codes select."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def array(position: int) -> Any:
            return context.make_array(signature.args[position])(context, builder, arguments[position])

        def load(pointer: Any, offset: Any) -> Any:
            at = builder.bitcast(builder.gep(pointer, [offset]), ir.VectorType(ir.IntType(8), 32).as_pointer())
            return builder.load(at, align=1)

        bytes32, words16, long = (
            ir.VectorType(ir.IntType(8), 32),
            ir.VectorType(ir.IntType(16), 16),
            ir.IntType(64),
        )
        table, code = array(0), array(1)
        offset = builder.add(
            builder.mul(arguments[2], builder.extract_value(code.strides, 0)),
            builder.mul(arguments[3], builder.extract_value(code.strides, 1)),
        )
        block = builder.gep(builder.bitcast(code.data, cgutils.voidptr_t), [offset])
        low_table = builder.bitcast(table.data, cgutils.voidptr_t)
        high_table = builder.gep(low_table, [builder.extract_value(table.strides, 0)])
        kind = ir.FunctionType(bytes32, [bytes32, bytes32])
        shuffle = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx2.pshuf.b")
        nibble, four, eight = bytes32([15] * 32), words16([4] * 16), words16([8] * 16)
        totals = [cgutils.alloca_once_value(builder, words16([0] * 16)) for _ in range(4)]
        steps = builder.lshr(builder.extract_value(code.shape, 2), long(1))
        with cgutils.for_range(builder, steps) as loop:
            at = builder.mul(loop.index, long(32))
            both = load(block, at)
            low = builder.and_(both, nibble)
            high = builder.and_(
                builder.bitcast(builder.lshr(builder.bitcast(both, words16), four), bytes32), nibble
            )
            for index, pointer, even, odd in ((low, low_table, *totals[:2]), (high, high_table, *totals[2:])):
                found = builder.bitcast(builder.call(shuffle, [load(pointer, at), index]), words16)
                builder.store(builder.add(builder.load(even), found), even)  # of odd bytes 256 times too much
                builder.store(builder.add(builder.load(odd), builder.lshr(found, eight)), odd)
        odd = builder.add(builder.load(totals[1]), builder.load(totals[3]))
        even = builder.sub(builder.add(builder.load(totals[0]), builder.load(totals[2])), builder.shl(odd, eight))
        ends = [ir.Constant(ir.VectorType(ir.IntType(32), 8), [*range(start, start + 8)]) for start in (0, 8)]
        out = builder.bitcast(array(4).data, ir.VectorType(ir.IntType(16), 8).as_pointer())
        for position, words in enumerate((even, odd)):
            first, second = (builder.shuffle_vector(words, words, end) for end in ends)
            builder.store(builder.add(first, second), builder.gep(out, [long(position)]), align=2)
        return context.get_dummy_value()

    return types.void(tables, codes, types.int64, types.int64, sums), generate


@njit(cache=True, nogil=True, fastmath=True)
def _butterflies(line: Array, out: Array) -> None:
    half = len(line) // 2
    for position in range(half):
        first, second = line[2 * position], line[2 * position + 1]
        out[position], out[position + half] = first + second, first - second


@njit(cache=True, nogil=True, fastmath=True)
def rotate(vector: Array, signs: Array) -> None:
    """Rotate a vector in place: by signs, (rounds, D), and a Hadamard transform of its first or last columns.

    The transform is of h columns, the largest power of two up to D.
    """
    size = 1
    while 2 * size <= len(vector):
        size *= 2
    lines = np.empty((2, size), np.float32)
    scale = np.float32(1 / np.sqrt(size))
    for step in range(len(signs)):
        start = 0 if step % 2 == 0 else len(vector) - size
        for column in range(len(vector)):
            vector[column] *= signs[step, column]
        for column in range(size):
            lines[0, column] = vector[start + column] * scale
        side, width = 0, 1
        while width < size:
            _butterflies(lines[side], lines[1 - side])
            side, width = 1 - side, 2 * width
        for column in range(size):
            vector[start + column] = lines[side, column]


@njit(cache=True, nogil=True, fastmath=True)
def encode(
    codes: Array,
    scales: Array,
    nodes: Array,
    edges: Array,
    signs: Array,
    first: int,
    last: int,
    out: Array,
    factors: Array,
) -> None:
    """Write the one-bit codes of the edges of nodes `first` to `last`.

    `scales`, (d,), turns int8 codes into vectors; `edges`, (c, degree), are those of `nodes`, (c,); `out` is
    (c, halves, D / 8, 16), `factors` (c, degree).
    """
    vector = np.empty(signs.shape[1], np.float32)
    for position in range(first, last):
        node = nodes[position]
        for edge in range(edges.shape[1]):
            row = edges[position, edge]
            if row < 0:
                break
            vector[:] = 0
            for column in range(len(scales)):
                vector[column] = scales[column] * np.float32(np.int32(codes[row, column]) - codes[node, column])
            rotate(vector, signs)
            squares = total = np.float32(0)
            for value in vector:
                squares += value * value
                total += abs(value)
            if total > 0:
                factors[position, edge] = squares / total
            half, inner = edge // HALF, edge % HALF
            place = 2 * inner if inner < HALF // 2 else 2 * inner - HALF + 1  # sums come as even and odd bytes
            for byte in range(len(vector) // 8):
                bits = 0
                for bit in range(8):
                    bits |= (1 if vector[8 * byte + bit] > 0 else 0) << bit
                out[position, half, byte, place] = bits


@njit(cache=True, nogil=True, fastmath=True)
def look_up_tables(vector: Array, tables: Array) -> tuple[np.float32, np.float32]:
    """Write the tables of a rotated query, (2, D / 8, 16), and return (step, start).

    The inner product of the query and a vector of signs is `start + step * sum` of the bytes that its bits select.
    """
    largest = np.float32(1e-30)
    for group in range(len(vector) // 4):
        total = np.float32(0)
        for column in range(4 * group, 4 * group + 4):
            total += abs(vector[column])
        largest = max(largest, total)
    scale = LEVEL / largest
    for group in range(len(vector) // 4):
        a, b, c, d = vector[4 * group], vector[4 * group + 1], vector[4 * group + 2], vector[4 * group + 3]
        a, b, c, d = a * scale, b * scale, c * scale, d * scale
        line = tables[group % 2, group // 2]
        for bits in range(16):
            value = LEVEL + np.float32(0.5)
            value += a if bits & 1 else -a
            value += b if bits & 2 else -b
            value += c if bits & 4 else -c
            value += d if bits & 8 else -d
            line[bits] = np.uint8(value)
    return np.float32(1) / scale, -LEVEL * np.float32(len(vector) // 4) / scale


@njit(cache=True, nogil=True)
def _key(score: np.float32, row: int) -> np.uint64:
    """Return an integer that orders as the scores do."""
    bits = np.float32(score).view(np.uint32)
    bits = np.uint32(~bits) if bits & SIGN else np.uint32(bits | SIGN)
    return (np.uint64(bits) << np.uint64(32)) | np.uint64(row)


@njit(cache=True, nogil=True)
def _score(key: np.uint64) -> np.float32:
    bits = np.uint32(key >> np.uint64(32))
    if bits & SIGN:
        return np.uint32(bits ^ SIGN).view(np.float32)
    return np.uint32(~bits).view(np.float32)


@njit(cache=True, nogil=True)
def _row(key: np.uint64) -> int:
    return np.int64(key & ROW)  # type: ignore[return-value]


@njit(cache=True, nogil=True)
def _put(beam: Array, size: int, key: np.uint64) -> tuple[int, int]:
    """Insert a key into a descending beam, which drops its last when full; return its size and the position."""
    if size == len(beam) and key <= beam[size - 1]:
        return size, size
    size = min(size + 1, len(beam))
    position = size - 1
    while position > SHIFT and beam[position - SHIFT] < key:
        for offset in range(SHIFT):  # in a few vector instructions
            beam[position - offset] = beam[position - offset - 1]
        position -= SHIFT
    while position > 0 and beam[position - 1] < key:
        beam[position] = beam[position - 1]
        position -= 1
    beam[position] = key
    return size, position


@njit(cache=True, nogil=True)
def _fetch_half(block: Array, node: int) -> None:
    """Prefetch the codes of a node's first 16 neighbours; most have no more."""
    for byte in range(0, block.strides[1], CACHE_LINE):
        _prefetch(block, np.int64(node), np.int64(byte))  # type: ignore[call-arg]


@njit(cache=True, nogil=True, fastmath=True)
def estimate(
    block: Array,
    factors: Array,
    node: int,
    degree: int,
    tables: Array,
    step: np.float32,
    start: np.float32,
    sums: Array,
    out: Array,
) -> None:
    """Write the estimated differences of the scores of a node's first `degree` neighbours from its own to `out`.

    `sums`, (16,) uint16, is written over.
    """
    for half in range(-(-degree // HALF)):
        _look_up(tables, block, np.int64(node), np.int64(half), sums)  # type: ignore[call-arg]
        for edge in range(HALF):  # type: ignore[unreachable]  # an intrinsic seems not to return
            value = start + step * np.float32(sums[edge])
            out[half * HALF + edge] = factors[node, half * HALF + edge] * value


@njit(cache=True, nogil=True, fastmath=True)
def entry_rows(nodes: Array, roots: Array, point: Array, n: int, out: Array) -> int:
    """Write rows of the leaf that a point, (f,), falls into, of each of Annoy's trees; return their number.

    `nodes`, (nodes, 3 + f) int32, is Annoy's file: a node has the number of its rows, two children and a normal
    vector; a leaf has its rows in place of all but the number. Calling Annoy takes longer than the walk.
    """
    count = 0
    for root in roots:
        if count == len(out):
            break
        node = _leaf(nodes, int(root), point)
        if node < 0:
            continue
        size = nodes[node, 0]
        leaf = nodes[node, 1 : 1 + min(size, LEAF_ROWS)]
        if size == 1 and node < n:  # a row by itself
            leaf = np.full(1, node, np.int32)
        for row in leaf:
            if count < len(out) and 0 <= row < n:
                out[count] = row
                count += 1
    return count


@njit(cache=True, nogil=True, fastmath=True)
def _leaf(nodes: Array, node: int, point: Array) -> int:
    """Return the leaf below a node that a point falls into; -1 if the file is damaged."""
    for _ in range(MAX_DEPTH):
        if nodes[node, 0] < nodes.shape[1]:
            return node
        margin = np.float32(0)
        normal = nodes[node, 3:].view(np.float32)
        for column in range(len(point)):
            margin += normal[column] * point[column]
        node = int(nodes[node, 2 if margin > 0 else 1])
        if node < 0 or node >= len(nodes):
            break
    return -1


@njit(cache=True, nogil=True, fastmath=True)
def walk(
    codes: Array,
    scales: Array,
    graph: Array,
    block: Array,
    factors: Array,
    signs: Array,
    columns: Array,
    weighted: Array,
    prior: Array,
    prior_weight: float,
    seeds: Array,
    marks: Array,
    mark: np.uint32,
    rows: Array,
) -> int:
    """Best-first search by estimated scores, of beam width `len(rows)`; return the number of rows written.

    A row is scored by its int8 code when it is expanded; the best expanded rows are written to `rows`, best first.
    `weighted`, (d,), is the query; `scales`, (p,), and `columns`, (D,), are those of the int8 and of the one-bit
    codes. `marks`, (n,) uint32, holds `mark` for expanded rows.
    """
    query, rotated = np.zeros(len(scales), np.float32), np.zeros(len(columns), np.float32)
    for column in range(len(weighted)):
        query[column] = weighted[column] * scales[column]
        rotated[column] = weighted[column] / columns[column]
    query[len(weighted)] = prior_weight * scales[len(weighted)]
    edges = (graph, block, factors, signs)
    return _search(
        codes, edges, query, rotated, prior, np.float32(prior_weight), seeds, marks, mark, len(rows), rows
    )


@njit(cache=True, nogil=True, fastmath=True)
def _search(
    codes: Array,
    edges: tuple[Array, Array, Array, Array],
    query: Array,
    rotated: Array,
    prior: Array,
    prior_weight: np.float32,
    seeds: Array,
    marks: Array,
    mark: np.uint32,
    width: int,
    rows: Array,
) -> int:
    """Search as `walk`, with another beam width; `rotated`, (D,), is rotated here."""
    graph, block, factors, signs = edges
    rotate(rotated, signs)
    tables = np.empty((2, len(rotated) // 8, 16), np.uint8)
    step, start = look_up_tables(rotated, tables)
    estimates, sums = np.empty(graph.shape[1], np.float32), np.empty(HALF, np.uint16)
    beam, found = np.empty(width, np.uint64), np.empty(len(rows), np.uint64)
    size = count = position = 0
    for row in seeds:
        size, _ = _put(beam, size, _key(_dot(codes, row, query), row))
    while position < size:
        key = beam[position]
        beam[position] = key | DONE
        position += 1
        row = _row(key)
        if key & DONE or marks[row] == mark:
            continue
        marks[row] = mark
        _fetch_next(beam, position, size, codes, graph, block, factors)
        score = _dot(codes, row, query)
        count, _ = _put(found, count, _key(score, row))
        degree = _degree(graph, row)
        estimate(block, factors, row, degree, tables, step, start, sums, estimates)
        if prior_weight != 0:
            for edge in range(degree):
                estimates[edge] += prior_weight * (prior[graph[row, edge]] - prior[row])
        size, position = _put_neighbours(graph, row, degree, score, estimates, marks, mark, beam, size, position)
    for position in range(count):
        rows[position] = np.int32(found[position] & ROW)
    return count


@njit(cache=True, nogil=True)
def _degree(graph: Array, row: int) -> int:
    degree = 0
    while degree < graph.shape[1] and graph[row, degree] >= 0:
        degree += 1
    return degree


@njit(cache=True, nogil=True)
def _fetch_next(
    beam: Array, position: int, size: int, codes: Array, graph: Array, block: Array, factors: Array
) -> None:
    """Prefetch what the next row to be expanded will need, if no better one is found before."""
    while position < size and beam[position] & DONE:
        position += 1
    if position < size:
        row = _row(beam[position])
        _fetch(graph, row)
        _fetch(codes, row)
        _fetch_half(block, row)
        _fetch(factors, row)


@njit(cache=True, nogil=True, fastmath=True)
def _put_neighbours(
    graph: Array,
    row: int,
    degree: int,
    score: np.float32,
    estimates: Array,
    marks: Array,
    mark: np.uint32,
    beam: Array,
    size: int,
    position: int,
) -> tuple[int, int]:
    """Insert the neighbours that were not expanded; return the beam's size and its first row to be expanded."""
    lowest = _score(beam[size - 1]) if size == len(beam) else np.float32(-np.inf)
    for edge in range(degree):
        expected = score + estimates[edge]
        if expected > lowest and marks[graph[row, edge]] != mark:
            size, at = _put(beam, size, _key(expected, graph[row, edge]))
            position = min(position, at)
            if size == len(beam):
                lowest = _score(beam[size - 1])
    return size, position


@njit(cache=True, nogil=True, fastmath=True)
def candidate_edges(
    codes: Array,
    edges: tuple[Array, Array, Array, Array],
    between: Array,
    steps: Array,
    seeds: Array,
    lists: Array,
    width: int,
    first: int,
    last: int,
    out: Array,
) -> None:
    """Write the nearest rows that a walk to each of the rows `first` to `last` expands, and its list, to `out`.

    `edges` are the graph, its one-bit codes, their factors and signs; `between`, (p,), and `steps`, (d,), turn a
    row of codes into a query, and into one on the one-bit codes.
    """
    marks = np.zeros(len(codes), np.uint32)
    prior = np.empty(0, np.float32)
    query, rotated = np.empty(codes.shape[1], np.float32), np.empty(edges[3].shape[1], np.float32)
    rows, beam = np.empty(out.shape[1], np.int32), np.empty(out.shape[1], np.uint64)
    for node in range(first, last):
        mark = np.uint32(node - first + 1)
        for column in range(len(query)):
            query[column] = between[column] * np.float32(codes[node, column])
        rotated[:] = 0
        for column in range(len(steps)):
            rotated[column] = steps[column] * np.float32(codes[node, column])
        count = _search(codes, edges, query, rotated, prior, np.float32(0), seeds, marks, mark, width, rows)
        size = 0
        for row in rows[:count]:
            if row != node:
                size, _ = _put(beam, size, _key(_dot(codes, row, query), row))
        for row in lists[node]:
            if row >= 0 and row != node and marks[row] != mark:
                size, _ = _put(beam, size, _key(_dot(codes, row, query), row))
        out[node, size:] = -1
        for position in range(size):
            out[node, position] = np.int32(beam[position] & ROW)
