"""What goes with a product, on shops small enough to know the answer."""

import numpy as np
from scipy import sparse

from training.complements import complements
from training.cooccurrence import mix


def table(n: int, *cells: tuple[int, int, float]) -> sparse.csr_array:
    i, j, values = zip(*cells, strict=True) if cells else ((), (), ())
    return sparse.csr_array((np.array(values, dtype=float), (np.array(i, int), np.array(j, int))), shape=(n, n))


def strengths(counted: sparse.csr_array, like: sparse.csr_array, row: int) -> dict[int, float]:
    columns, values = complements(counted, like).row(row)
    return dict(zip(columns.tolist(), values.tolist(), strict=True))


# 0 and 1 are lamps, 2 and 3 tables; lamp 0 was chosen with table 2
COUNTED = table(4, (0, 2, 1.0), (2, 0, 1.0))
LIKE = table(4, (0, 1, 0.9), (1, 0, 0.9), (2, 3, 0.9), (3, 2, 0.9))


def test_what_was_chosen_together_comes_first_and_what_is_like_it_follows() -> None:
    of_lamp = strengths(COUNTED, LIKE, 0)
    assert of_lamp[2] == max(of_lamp.values()) > of_lamp[3] > 0


def test_a_new_product_goes_with_what_its_like_were_chosen_with() -> None:
    of_new_lamp = strengths(COUNTED, LIKE, 1)
    assert of_new_lamp[2] > of_new_lamp[3] > 0


def test_likeness_alone_is_no_complement() -> None:
    assert not {0, 1} & strengths(COUNTED, LIKE, 0).keys()
    assert 1 in mix(COUNTED, LIKE, 0.3).row(0)[0], "as it is in C"


def test_without_likeness_there_are_the_pairs_and_without_pairs_nothing() -> None:
    assert strengths(COUNTED, table(4), 0) == {2: 1.0}
    assert complements(table(4), LIKE).indices.size == 0
