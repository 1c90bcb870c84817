"""Headings that shops use for the standard columns, in several languages."""

import re
import unicodedata
from collections.abc import Collection, Iterable

# Most telling first. Spelt as `plain` returns them.
PRODUCT_HEADINGS: dict[str, tuple[str, ...]] = {
    "id": (
        *("id", "item_id", "product_id", "article_id", "sku", "asin", "product_sku", "item_sku", "code"),
        *("product_code", "item_code", "stock_code", "article_number", "item_number", "part_number", "handle"),
        *(
            "artikelnummer",
            "artikel_id",
            "produkt_id",
            "reference",
            "referencia",
            "codice",
            "codigo",
            "identifiant",
        ),
    ),
    "title": (
        *("title", "name", "product_name", "prod_name", "item_name", "product_title", "product_display_name"),
        *("article_name", "label", "bezeichnung", "titel", "produktname", "titre", "nom", "nom_du_produit"),
        *("titulo", "nombre", "titolo", "nome", "naam", "nazwa", "nazev", "namn", "navn"),
    ),
    "description": (
        *("description", "product_description", "long_description", "detail_desc", "body", "body_html", "details"),
        *("text", "short_description", "beschreibung", "produktbeschreibung", "descripcion", "descrizione"),
        *("descricao", "omschrijving", "opis", "popis", "beskrivning", "beskrivelse", "review_text", "words"),
    ),
    "image_link": (
        *("image_link", "image", "image_url", "img", "img_url", "picture", "photo", "main_image", "image_src"),
        *(
            "images",
            "thumbnail",
            "product_image",
            "bild",
            "bild_url",
            "imagen",
            "immagine",
            "imagem",
            "afbeelding",
        ),
    ),
    "product_type": (
        *("product_type", "product_type_name", "article_type", "product_category", "category", "type"),
        *("category_name", "categories", "sub_category", "subcategory", "department", "kategorie", "categorie"),
        *("categoria", "warengruppe", "produkttyp", "kategoria", "kategori", "attribute_set"),
    ),
    "brand": ("brand", "brand_name", "manufacturer", "vendor", "marke", "hersteller", "marque", "marca", "merk"),
    "price": (
        *("price", "unit_price", "list_price", "regular_price", "current_price", "retail_price", "msrp", "preis"),
        *("prix", "precio", "prezzo", "preco", "prijs", "cena", "pris"),
    ),
    "availability": (
        *("availability", "stock_status", "in_stock", "is_in_stock", "available", "is_available"),
        *("verfugbarkeit", "disponibilite", "disponibilidad", "disponibilita", "lagerstatus"),
    ),
    "item_group_id": (
        *("item_group_id", "group_id", "parent_id", "parent_sku", "parent_asin", "product_group_id", "style_id"),
        *("model_id", "product_code", "style_code", "master_id"),
    ),
    "color": (
        *("color", "colour", "base_colour", "base_color", "colors", "colours", "color_name", "colour_name"),
        *("colour_group_name", "farbe", "couleur", "kleur", "colore", "cor", "kolor", "farg"),
    ),
    "size": ("size", "sizes", "size_name", "grosse", "taille", "talla", "taglia", "tamanho", "maat", "rozmiar"),
    "gender": ("gender", "sex", "target_gender", "geschlecht", "sexe", "genero", "genere"),
    "age_group": ("age_group", "age_range", "altersgruppe"),
    "material": ("material", "materials", "fabric", "composition", "matiere", "materiale"),
    "pattern": ("pattern", "graphical_appearance_name", "muster", "motif"),
    "published_at": ("published_at", "created_at", "date_added", "release_date", "launch_date", "date_created"),
}
EVENT_HEADINGS: dict[str, tuple[str, ...]] = {
    "user_id": (
        *("user_id", "user", "customer_id", "customer", "client_id", "visitor_id", "shopper_id", "member_id"),
        *("account_id", "buyer_id", "reviewer_id", "reviewer", "user_pseudo_id", "anonymous_id", "session_id"),
        *("kunde", "kundennummer", "kunden_id", "client", "cliente", "email", "uid"),
    ),
    "item_id": (*PRODUCT_HEADINGS["id"], "item", "product", "article", "parent_asin", "artikel", "produit"),
    "event_name": ("event_name", "event", "event_type", "action", "interaction_type", "behavior_type", "type"),
    "timestamp": (
        *("timestamp", "event_time", "event_timestamp", "time", "datetime", "date", "created_at", "order_date"),
        *("invoice_date", "purchase_date", "t_dat", "ts", "unix_review_time", "review_time", "datum", "fecha"),
        *("bestelldatum", "data", "occurred_at", "date_time"),
    ),
    "value": ("value", "rating", "stars", "score", "overall", "bewertung"),
    "quantity": ("quantity", "qty", "amount", "units", "menge", "anzahl", "quantite", "cantidad", "quantita"),
    "price": PRODUCT_HEADINGS["price"],
}


def plain(heading: str) -> str:
    """Return a heading in lower case, with "_" between its words and without accents.

    >>> plain("productDisplayName"), plain("Größe (EU)"), plain("Item  ID")
    ('product_display_name', 'grosse_eu', 'item_id')
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", heading.replace("ß", "ss"))
    letters = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", words).casefold())
    without_accents = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.sub(r"[\W_]+", "_", without_accents).strip("_")


def likely(name: str, columns: Iterable[str]) -> str | None:
    """Return the column whose heading says that it is the standard column of a name, the most telling first."""
    by_heading = {plain(column): column for column in reversed(list(columns))}
    known = (*PRODUCT_HEADINGS.get(name, ()), *EVENT_HEADINGS.get(name, ()))
    return next((by_heading[heading] for heading in known if heading in by_heading), None)


def respelled(columns: Iterable[str], names: Collection[str], config: str) -> dict[str, str]:
    """Return the columns that are named as a standard column but for case, blanks or accents, with that name.

    Parameters
    ----------
    columns
        Headings of the file.
    names
        Standard names.
    config
        Text of the config; a heading that it names stays as it is.

    >>> respelled(["ID", "Product Type", "title"], ["id", "product_type", "title"], "")
    {'ID': 'id', 'Product Type': 'product_type'}
    """
    listed, found = list(columns), dict[str, str]()
    for column in listed:
        name = plain(column)
        if name in names and name not in listed and name not in found.values() and column not in config:
            found[column] = name
    return found
