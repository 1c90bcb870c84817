"""Google Merchant Center's product data, as XML (RSS 2.0 or Atom) or tab-separated text.

The attributes are the standard names. See https://support.google.com/merchants/answer/7052112. The catalogues of
Meta (https://developers.facebook.com/docs/commerce-platform/catalog/fields) and Pinterest have the same names.
"""

from recommender.catalog.files.tables import Table
from recommender.catalog.formats.base import Format
from recommender.catalog.formats.headings import headings, renamed
from recommender.catalog.formats.parsing import column
from recommender.catalog.report import DataReport

_TITLE = "a Google Merchant feed"
# English, German, French, Spanish, Italian.
_NAMES = {
    "id": ("id", "kennung", "identifiant"),
    "title": ("title", "titel", "titre", "título", "titolo"),
    "description": ("description", "beschreibung", "descripción", "descrizione"),
    "image_link": ("image_link", "image[0].url", "bildlink", "lien_image", "enlace_imagen", "link_immagine"),
    "product_type": ("product_type", "produkttyp", "type_de_produit", "tipo_de_producto", "tipo_prodotto"),
    "price": ("price", "preis", "prix", "precio", "prezzo"),
    "sale_price": ("sale_price", "sonderangebotspreis", "prix_soldé", "precio_oferta", "prezzo_scontato"),
    "availability": ("availability", "verfügbarkeit", "disponibilité", "disponibilidad", "disponibilità"),
    "brand": ("brand", "marke", "marque", "marca"),
    "color": ("color", "colour", "farbe", "couleur", "colore"),
    "size": ("size", "größe", "taille", "talla", "taglia"),
    "gender": ("gender", "geschlecht", "sexe", "sexo", "genere"),
    "material": ("material", "matière", "materiale"),
    "item_group_id": ("item_group_id",),
}
# Page addresses, delivery and taxes: nothing to learn from or to filter on.
_IGNORED = (
    *("link", "mobile_link", "canonical_link", "ads_redirect", "additional_image_link", "shipping", "tax"),
    *("shipping_weight", "shipping_label", "identifier_exists", "checkout_url"),
)
# Of Google and Meta alone.
_TELLING = {
    *("google product category", "fb product category", "gtin", "mpn", "condition", "sale price effective date"),
    *("additional image link", "identifier exists", "custom label 0", "shipping"),
}


def _read(table: Table, report: DataReport) -> Table:
    """Return the products of a Merchant feed.

    Names may have spaces ("image link"), as Google allows; Meta's comments above the header are left out. Where a
    product has no product type, Google's category is taken.

    Raises
    ------
    DataError
        If it lacks the id.
    """
    named = renamed(_with_underscores(table), _NAMES, _TITLE, report, needs=("id",))
    frame = named.frame.drop(columns=[name for name in named.frame if str(name).partition(".")[0] in _IGNORED])
    category = column(named, "google_product_category")
    if not category.str.contains(">").any():  # numbers of categories
        return named.with_frame(frame)
    if "product_type" not in frame:
        return named.with_frame(frame.assign(product_type=category))
    missing = column(named, "product_type") == ""
    return named.with_frame(frame.assign(product_type=frame["product_type"].mask(missing, category)))


def _with_underscores(table: Table) -> Table:
    """Return a table with names such as image_link, from the row that has them."""
    while len(table.frame) and all(str(name).startswith("#") for name in table.frame):
        names = dict(zip(table.frame, map(str, table.frame.iloc[0]), strict=True))
        table = table.where(table.rows != table.rows[0])
        table = table.with_frame(table.frame.rename(columns=names))
    return table.with_frame(table.frame.rename(columns=lambda name: "_".join(str(name).lower().split())))


def _recognizes(table: Table) -> bool:
    found = {name.replace("_", " ") for name in headings(_with_underscores(table))}
    return {"id", "title", "link"} <= found and bool(found & _TELLING)


FORMAT = Format("google_merchant", _TITLE, _read, _recognizes)
