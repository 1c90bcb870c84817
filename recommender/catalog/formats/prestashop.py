"""PrestaShop's products: its list of products as CSV, and files with the columns of its import.

See https://docs.prestashop-project.org/v.8-documentation/user-guide/configuring-shop/advanced-parameters/import.
Headings are in the language of the shop.
"""

import re

import pandas as pd

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.headings import heading, others, renamed, spellings
from recommender.catalog.formats.parsing import (
    category_columns,
    column,
    decimals,
    filled,
    for_sale,
    option_name,
    per_value,
)
from recommender.catalog.report import DataReport
from recommender.catalog.values.cells import strings

_TITLE = "a PrestaShop export"
# English, French, Spanish, Italian, German, Polish.
_NAMES = {
    "id": (
        "Product ID",
        "ID",
        "ID product",
        "id_product",
        "ID produit",
        "ID producto",
        "ID prodotto",
        "Produkt-ID",
    ),
    "active": (
        *(
            "Active (0/1)",
            "Active",
            "Enabled",
            "Status",
            "Actif (0/1)",
            "Activé",
            "État",
            "Activo (0/1)",
            "Estado",
        ),
        *("Attivo (0/1)", "Stato", "Aktiv (0/1)", "Aktywny (0 lub 1)", "Aktywny (0/1)"),
    ),
    "name": ("Name", "Product name", "Nom", "Nombre", "Nome", "Nazwa", "Modelo"),
    "categories": (
        *("Categories (x,y,z...)", "Category", "Default category", "Catégories (x,y,z...)", "Catégorie"),
        *("Categorías (x,y,z...)", "Categoría", "Categorie (x,y,z...)", "Categoria", "Kategorien (x,y,z...)"),
        *("Kategorie", "Kategorie (x,y,z...)"),
    ),
    "gross": (
        *(
            "Price tax included",
            "Price (tax incl.)",
            "Price tax excluded or Price tax included",
            "Price",
            "Prix TTC",
        ),
        *(
            "Prix (TTC)",
            "Prix HT ou TTC",
            "Prix TTC ou prix HT",
            "Precio IVA",
            "Precio con IVA",
            "Precio (imp. incl.)",
        ),
        *("Prezzo tasse incluse", "Cena zawiera podatek. (brutto)", "Preis inkl. MwSt.", "Final price"),
    ),
    "net": (
        *(
            "Price tax excluded",
            "Price (tax excl.)",
            "Prix HT",
            "Prix (HT)",
            "Precio sin IVA",
            "Precio (imp. excl.)",
        ),
        *("Prezzo tasse escluse", "Cena bez podatku. (netto)", "Preis zzgl. MwSt."),
    ),
    "discount": ("Discount amount", "Montant de la réduction", "Importe del descuento", "Kwota rabatu"),
    "percent": ("Discount percent", "Pourcentage de réduction", "Porcentaje de descuento", "Procent rabatu"),
    "sale_starts": ("Discount from (yyyy-mm-dd)", "Réduction de (aaaa-mm-jj)", "Descuento desde (yyyy-mm-dd)"),
    "sale_ends": ("Discount to (yyyy-mm-dd)", "Réduction à (aaaa-mm-jj)", "Descuento hasta (yyyy-mm-dd)"),
    "sku": (
        *("Reference #", "Reference", "Référence", "Référence #", "Referencia", "Referencia nº", "Riferimento"),
        *("Artikel-Nr.", "Indeks #", "Kod referencyjny"),
    ),
    "brand": (
        "Manufacturer",
        "Brand",
        "Fabricant",
        "Marque",
        "Fabricante",
        "Marca",
        "Produttore",
        "Producent",
        "Marka",
    ),
    "barcode": ("EAN13", "EAN-13", "EAN", "GTIN"),
    "quantity": ("Quantity", "Quantité", "Cantidad", "Quantità", "Menge", "Ilość"),
    "oversell": ("Out of stock action", "Action when out of stock", "Allow orders when out of stock"),
    "short": (
        *("Summary", "Short description", "Résumé", "Récapitulatif", "Resumen", "Riepilogo", "Podsumowanie"),
        *("Kurzbeschreibung", "Description courte"),
    ),
    "description": ("Description", "Descripción", "Descrizione", "Beschreibung", "Opis"),
    "tags": (
        "Tags (x,y,z...)",
        "Mots-clés (x,y,z...)",
        "Etiquetas (x,y,z...)",
        "Tag (x,y,z...)",
        "Tagi (x,y,z...)",
    ),
    "orderable": (
        *("Available for order (0 = No, 1 = Yes)", "Available for order", "Disponible à la commande"),
        *("Disponible para pedidos", "Disponibile per l'ordine", "Dostępne do zamówienia"),
    ),
    "visibility": ("Visibility", "Visibilité", "Visibilidad", "Visibilità", "Widoczność"),
    "images": (
        *("Image URLs (x,y,z...)", "Image", "Cover image", "Image URL", "URL des images (x,y,z...)", "Url imagen"),
        *("URLs de las imágenes (x,y,z...)", "URL delle immagini (x,y,z...)", "Adresy URL zdjęcia (x,y,z...)"),
    ),
    "features": (
        *("Feature (Name:Value:Position:Customized)", "Feature", "Caractéristique (Nom:Valeur:Position)"),
        *(
            "Características (Nombre:Valor:Posición)",
            "Caracteristicas",
            "Cecha (Nazwa:Wartość:Pozycja:Indywidualne)",
        ),
    ),
    "condition": ("Condition", "Condición"),
}
_FEATURE = re.compile(r"([^:,;_][^:,;]*):([^:]*):\d+(?::\d+)?")
_IMAGE = re.compile(r"[,|](?=\s*(?:https?:)?//)|[,|]\s*$|\|")  # a URL may have a comma
_TELLING = {"active", "gross", "net", "quantity", "features", "orderable", "discount", "short", "images"}
# Prices of the shop, taxes, delivery, search engines and files.
_IGNORED = re.compile(
    r"^(tax rule|wholesale|on sale|supplier|ecotax|width|height|depth|weight|delivery time|minimal|low stock|meta"
    r"|receive a|send me|additional shipping|unit|url|text |label |product (avail|creat)|show price|delete|custom"
    r"|available online|upload|file|number of|expiration|advanced stock|depends on|warehouse|accessor|position"
    r"|shop|id / name|image alt|virtual|mpn|upc|isbn|action)",
    re.IGNORECASE,
)


def _read(table: Table, report: DataReport) -> Table:
    """Return the active products of a PrestaShop export.

    A product's id is that of PrestaShop, or the reference where the file has no ids. Prices include taxes where
    the file has such.

    Raises
    ------
    DataError
        If it lacks the name, or both ids and references, or no product is active.
    """
    named = renamed(table, _NAMES, _TITLE, report, needs=("name",))
    if "id" not in named.frame and "sku" not in named.frame:
        table.require("Product ID", f"of {_TITLE}")
    sold = (
        column(named, "active").str.lower().isin(["1", "", "true", "yes", "enabled", "active", "oui", "sí", "ja"])
    )
    sold &= column(named, "visibility").str.lower() != "none"
    return for_sale(named.with_frame(_products(named)), sold, report)


def _products(table: Table) -> pd.DataFrame:
    categories = per_value(column(table, "categories"), _categories)
    price = filled(column(table, "gross"), column(table, "net"))
    features = per_value(column(table, "features"), _features)
    products = {
        "id": filled(column(table, "id"), column(table, "sku")),
        "sku": column(table, "sku"),
        "barcode": column(table, "barcode"),
        "title": column(table, "name"),
        "description": (column(table, "short") + " " + column(table, "description")).str.strip(),
        "image_link": strings(per_value(column(table, "images"), lambda cell: _IMAGE.split(cell)[0].strip())),
        **category_columns(categories),
        "brand": column(table, "brand"),
        "price": price,
        "sale_price": _reduced(table, price),
        "sale_starts": column(table, "sale_starts"),
        "sale_ends": column(table, "sale_ends"),
        "availability": _availability(table),
        "tags": per_value(
            column(table, "tags"), lambda cell: [tag.strip() for tag in cell.split(",") if tag.strip()]
        ),
        "condition": column(table, "condition"),
    }
    return pd.DataFrame({**others(table, _NAMES, _IGNORED), **products, **_attributes(features, set(products))})


def _attributes(features: pd.Series, taken: set[str]) -> dict[str, pd.Series]:
    """Return a column of lists for each feature, such as color."""
    columns = {}
    for name in dict.fromkeys(name for found in features for name in found):
        values = [found.get(name, []) for found in features]
        columns[name if name not in taken else f"feature_{name}"] = pd.Series(values, features.index, dtype=object)
    return columns


def _features(cell: str) -> dict[str, list[str]]:
    """Return the values of each feature.

    >>> _features("Color:Black:1:0,Size:M:2,Size:L:3")
    {'color': ['Black'], 'size': ['M', 'L']}
    """
    found: dict[str, list[str]] = {}
    for name, value in _FEATURE.findall(cell):
        if value.strip():
            found.setdefault(option_name(name), []).append(value.strip())
    return found


def _categories(cell: str) -> list[str]:
    """Return categories, with " > " between the levels of a path."""
    paths = re.split(r"[,|]", cell)
    return [
        " > ".join(filter(None, map(str.strip, re.split(r"\s*[>/]\s*", path)))) for path in paths if path.strip()
    ]


def _reduced(table: Table, price: pd.Series) -> pd.Series:
    """Return the price less the discount, "" where there is none."""
    amount, percent = decimals(column(table, "discount")).fillna(0), decimals(column(table, "percent")).fillna(0)
    full = decimals(price)
    reduced = (full - amount) * (1 - percent / 100)
    valid = (reduced < full) & (reduced > 0)
    return strings(reduced.round(6).where(valid))


def _availability(table: Table) -> pd.Series:
    """Return availability: what has run out may be ordered where the shop allows it."""
    ended = decimals(column(table, "quantity")) <= 0
    waits = ended & column(table, "oversell").isin(["1"])
    out = (ended & ~waits) | column(table, "orderable").isin(["0"])
    in_stock = pd.Series("in_stock", table.frame.index, dtype="str")
    return in_stock.where(~waits, "backorder").where(~out, "out_of_stock")


def _recognizes(table: Table) -> bool:
    known = spellings(_NAMES)
    found = {known.get(heading(name)) for name in table.frame}
    return {"name", "sku", "active"} <= found and len(found & _TELLING) > 2


FORMAT = Format("prestashop", _TITLE, _read, _recognizes)
