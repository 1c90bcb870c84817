"""Updates from exports of shop systems: what became a draft is removed."""

import csv
from pathlib import Path

import recommender

_WORDS = ("oak", "brass", "linen", "glass", "wool", "clay")


def export(path: Path, numbers: range, status: str = "active") -> Path:
    """Write a Shopify export of lamps with two variants each."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Handle", "Title", "Option1 Name", "Option1 Value", "Variant Price", "Status"])
        for number in numbers:
            title = f"{_WORDS[number % 6]} lamp {_WORDS[number % 5]} {number}"
            writer.writerow([f"lamp-{number}", title, "Size", "S", "9.50", status])
            writer.writerow([f"lamp-{number}", "", "", "L", "12", ""])
    return path


def test_a_product_that_became_a_draft_is_removed(tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    rec = recommender.fit(export(tmp_path / "all.csv", range(20)), out=bundles, encoder="tfidf")
    assert len(rec.ids) == 40
    text = export(tmp_path / "draft.csv", range(3, 4), "draft").read_text(encoding="utf-8")
    changed = export(tmp_path / "changed.csv", range(20, 21))
    changed.write_text(changed.read_text(encoding="utf-8") + text.partition("\n")[2], encoding="utf-8")
    result = recommender.update(bundles, changed)
    assert result.removed == 2
    assert {"lamp-20/S", "lamp-20/L"} <= set(recommender.load(bundles).ids)
    assert not {"lamp-3/S", "lamp-3/L"} & set(recommender.load(bundles).ids)
