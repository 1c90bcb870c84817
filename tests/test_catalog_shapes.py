# Headings and feeds stand as they are:
# ruff: noqa: E501
"""Exports as shops have them: the headings, states and quirks of public files, with a few rows of a shop of ours.

Each shape was looked up in public exports and feeds; the rows are made up. No product and no variant is lost.
"""

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from recommender.catalog import Catalog
from recommender.config import Config

Row = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """A file of some shape, the products that it has, and some of their values."""

    name: str
    file: str
    text: str
    values: dict[str, Row]  # by id, all products
    format: str
    unsold: int = 0
    warnings: set[str] = field(default_factory=set)


def table(headings: str, rows: Iterable[Row], separator: str = ",", start: str = "") -> str:
    """Return delimited text with these headings, in the order of the export; other cells are empty."""
    names = next(csv.reader([headings], delimiter=separator))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, delimiter=separator, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return start + text.getvalue()


# Shopify -----------------------------------------------------------------------------------------------------------
_GOOGLE = (
    "Google Shopping / Google Product Category,Google Shopping / Gender,Google Shopping / Age Group,"
    "Google Shopping / MPN,Google Shopping / Condition,Google Shopping / Custom Product,Google Shopping / Custom Label 0"
)
SHOPIFY_2015 = (
    "Handle,Title,Body (HTML),Vendor,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,Option2 Value,"
    "Option3 Name,Option3 Value,Variant SKU,Variant Grams,Variant Inventory Tracker,Variant Inventory Qty,"
    "Variant Inventory Policy,Variant Fulfillment Service,Variant Price,Variant Compare At Price,"
    "Variant Requires Shipping,Variant Taxable,Variant Barcode,Image Src,Image Alt Text,Gift Card,SEO Title,"
    f"SEO Description,{_GOOGLE},Variant Image,Variant Weight Unit"
)
SHOPIFY_2021 = SHOPIFY_2015.replace("Type,", "Standard Product Type,Custom Product Type,", 1) + ",Status"
SHOPIFY_2023 = (
    SHOPIFY_2015.replace("Type,", "Product Category,Type,", 1).replace("Variant Inventory Qty,", "")
    + ",Variant Tax Code,Cost per item,Included / Poland,Price / Poland,Compare At Price / Poland,"
    "Included / International,Price / International,Status"
)
SHOPIFY_2024 = (
    SHOPIFY_2015.replace("Type,", "Product Category,Type,", 1)
    .replace("Option1 Value,", "Option1 Value,Option1 Linked To,")
    .replace("Option2 Value,", "Option2 Value,Option2 Linked To,")
    + ",Farbe (product.metafields.shopify.color-pattern),Größe (product.metafields.shopify.size),"
    "Herkunft (product.metafields.custom.country_of_origin),"
    "Google: Custom Product (product.metafields.mm-google-shopping.custom_product),"
    "Ergänzende Produkte (product.metafields.shopify--discovery--product_recommendation.complementary_products),Status"
)
SHOPIFY_2025 = (
    "Title,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Barcode,"
    "Option1 name,Option1 value,Option1 Linked To,Option2 name,Option2 value,Option2 Linked To,Option3 name,"
    "Option3 value,Option3 Linked To,Price,Compare-at price,Cost per item,Charge tax,Tax code,"
    "Unit price total measure,Inventory tracker,Inventory quantity,Continue selling when out of stock,"
    "Weight value (grams),Weight unit for display,Requires shipping,Fulfillment service,Product image URL,"
    "Image position,Image alt text,Variant image URL,Gift card,SEO title,SEO description,"
    "Color (product.metafields.shopify.color-pattern),Google Shopping / Gender"
)
PLAIN = {"Option1 Name": "Title", "Option1 Value": "Default Title"}


def lamp(**values: str) -> Row:
    """Return the row of a product without options."""
    known = {"Handle": "lamp", "Title": "Lamp", "Vendor": "Ark", "Published": "true", "Variant Price": "69.99"}
    return PLAIN | known | {"Variant Grams": "0.0"} | values


SHOPIFY = [
    Shape(
        "2015: no status, tracked stock",
        "products_export_1.csv",
        table(
            SHOPIFY_2015,
            [
                lamp(**{"Variant Inventory Tracker": "shopify", "Variant Inventory Qty": "0", "Type": "Indoor"}),
                lamp(Handle="vase", Title="Vase", **{"Variant Inventory Qty": "0", "Tags": "Wicker, Grey"}),
            ],
        ),
        {
            "lamp": {"availability": "out_of_stock", "product_type": "Indoor", "brand": "Ark", "price": 69.99},
            "vase": {"availability": "in_stock", "tags": ["Wicker", "Grey"]},
        },
        "shopify",
    ),
    Shape(
        "2021: two product types; the rows of variants have no title",
        "products_export_1.csv",
        table(
            SHOPIFY_2021,
            [
                {
                    "Handle": "mix",
                    "Title": "Spices",
                    "Standard Product Type": "Food > Spices",
                    "Published": "true",
                    "Option1 Name": "Size",
                    "Option1 Value": "100g",
                    "Variant SKU": "99",
                    "Variant Price": "1.05",
                    "Status": "active",
                },
                {"Handle": "mix", "Option1 Value": "250g", "Variant SKU": "99-1", "Variant Price": "2.63"},
            ],
        ),
        {
            "mix/100g": {"title": "Spices", "product_type": "Food > Spices", "size": "100g", "sku": "99"},
            "mix/250g": {"title": "Spices", "price": 2.63, "sku": "99-1", "item_group_id": "mix"},
        },
        "shopify",
    ),
    Shape(
        "2023: prices of markets beside the price, gift cards, drafts and archived products",
        "products_export.csv",
        table(
            SHOPIFY_2023,
            [
                lamp(Status="active", **{"Price / Poland": "300", "Variant Inventory Tracker": "shopify"}),
                lamp(Handle="draft", Status="draft"),
                lamp(Handle="gone", Status="archived"),
                lamp(Handle="quiet", Status="active", Published="false"),
                lamp(Handle="link-only", Status="unlisted"),
                {
                    "Handle": "card",
                    "Title": "Gift card",
                    "Published": "true",
                    "Option1 Name": "Denominations",
                    "Option1 Value": "$10",
                    "Variant Price": "10.00",
                    "Gift Card": "true",
                    "Status": "active",
                },
                {"Handle": "card", "Option1 Value": "$25", "Variant Price": "25.00"},
            ],
        ),
        {
            "lamp": {"price": 69.99, "availability": "in_stock", "gift_card": ""},
            "card/$10": {"gift_card": "true", "denominations": "$10"},
            "card/$25": {"gift_card": "true", "price": 25.0},
        },
        "shopify",
        unsold=4,
    ),
    Shape(
        "2024: metafields in the shop's language, one SKU for all sizes, rows of images",
        "products_export_1.csv",
        table(
            SHOPIFY_2024,
            [
                {
                    "Handle": "top",
                    "Title": "Top",
                    "Published": "true",
                    "Status": "active",
                    "Option1 Name": "Color",
                    "Option1 Value": "BLACK",
                    "Option2 Name": "Size",
                    "Option2 Value": "S",
                    "Variant SKU": "T-01",
                    "Variant Price": "89.00",
                    "Image Src": "https://cdn.example/top.jpg?v=1",
                    "Vendor": "Ark",
                    "Größe (product.metafields.shopify.size)": "l; m; s",
                    "Herkunft (product.metafields.custom.country_of_origin)": "Italien",
                    "Variant Barcode": "'7350177880121",
                },
                {
                    "Handle": "top",
                    "Option1 Value": "BLACK",
                    "Option2 Value": "M",
                    "Variant SKU": "T-01",
                    "Variant Price": "89",
                },
                {"Handle": "top", "Image Src": "https://cdn.example/top-2.jpg?v=1"},
                lamp(Status="active", **{"Farbe (product.metafields.shopify.color-pattern)": "silver"}),
            ],
        ),
        {
            "lamp": {"color": "silver"},
            "top/BLACK/M": {"size": "M", "sku": "T-01", "image_link": "https://cdn.example/top.jpg?v=1"},
            "top/BLACK/S": {"barcode": "7350177880121", "color": "BLACK", "country_of_origin": "Italien"},
        },
        "shopify",
    ),
    Shape(
        "2025: new headings, overselling, prices before a reduction",
        "products_export.csv",
        table(
            SHOPIFY_2025,
            [
                {
                    "Title": "Shoe",
                    "URL handle": "shoe",
                    "Status": "Active",
                    "Published on online store": "TRUE",
                    "SKU": "S1",
                    "Option1 name": "Größe",
                    "Option1 value": "42",
                    "Price": "80.00",
                    "Compare-at price": "100.00",
                    "Inventory tracker": "shopify",
                    "Inventory quantity": "0",
                    "Continue selling when out of stock": "CONTINUE",
                    "Gift card": "FALSE",
                    "Vendor": "Ark",
                },
                {
                    "URL handle": "shoe",
                    "Option1 value": "43",
                    "Price": "80.00",
                    "Inventory tracker": "shopify",
                    "Inventory quantity": "0",
                    "Continue selling when out of stock": "DENY",
                },
            ],
        ),
        {
            "shoe/42": {"availability": "in_stock", "regular_price": 100.0, "price": 80.0, "size": "42"},
            "shoe/43": {"availability": "out_of_stock", "price": 80.0, "title": "Shoe", "sku": ""},
        },
        "shopify",
    ),
    Shape(
        "no handle in the rows that follow",
        "products.csv",
        table(
            SHOPIFY_2015,
            [
                lamp(**{"Option1 Name": "Color", "Option1 Value": "Red"}),
                {"Option1 Value": "Blue", "Variant Price": "70"},
                {"Image Src": "https://cdn.example/2.jpg"},
            ],
        ),
        {"lamp/Blue": {"color": "Blue", "title": "Lamp"}, "lamp/Red": {"color": "Red"}},
        "shopify",
    ),
    Shape(
        "no price but those of a market",
        "products.csv",
        table(
            "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Price / United States,Collection",
            [
                {
                    "Handle": "lamp",
                    "Title": "Lamp",
                    "Variant SKU": "L",
                    "Price / United States": "5.50",
                    "Collection": "New",
                }
            ],
        ),
        {"lamp": {"price": 5.5, "collection": "New"}},
        "shopify",
        warnings={"price of a market"},
    ),
    Shape(
        "an option named Title with values of its own, and a column of prices in an option",
        "products.csv",
        table(
            SHOPIFY_2023,
            [
                lamp(**{"Option1 Value": "Wax", "Variant SKU": ""}),
                {"Handle": "lamp", "Option1 Value": "Special wax", "Variant Price": "49.95"},
                lamp(Handle="rug", **{"Option1 Name": "Price", "Option1 Value": "low"}),
            ],
        ),
        {"lamp/Special wax": {"price": 49.95}, "lamp/Wax": {}, "rug/low": {"price": 69.99, "option_price": "low"}},
        "shopify",
    ),
    Shape(
        "products.json of the storefront",
        "products.json",
        json.dumps(
            {
                "products": [
                    {
                        "id": 1,
                        "title": "Tee",
                        "handle": "tee",
                        "body_html": "<p>Soft</p>",
                        "vendor": "Ark",
                        "product_type": "Shirts",
                        "tags": ["a", "b"],
                        "published_at": "2025-01-01T00:00:00Z",
                        "options": [{"name": "Color", "position": 1, "values": ["Red", "Blue"]}],
                        "images": [{"id": 3, "src": "https://cdn.example/tee.jpg"}],
                        "variants": [
                            {
                                "id": 11,
                                "option1": "Red",
                                "option2": None,
                                "sku": "R",
                                "available": True,
                                "price": "19.00",
                                "compare_at_price": "25.00",
                                "featured_image": {"src": "https://cdn.example/red.jpg"},
                            },
                            {"id": 12, "option1": "Blue", "sku": "", "available": False, "price": "19.00"},
                        ],
                    },
                    {
                        "id": 2,
                        "title": "Mug",
                        "handle": "mug",
                        "vendor": "Ark",
                        "tags": [],
                        "images": [],
                        "options": [{"name": "Title", "values": ["Default Title"]}],
                        "variants": [{"id": 21, "option1": "Default Title", "price": "9", "available": True}],
                    },
                ]
            }
        ),
        {
            "mug": {"price": 9.0, "title": "Mug"},
            "tee/Blue": {"availability": "out_of_stock", "image_link": "https://cdn.example/tee.jpg"},
            "tee/Red": {
                "regular_price": 25.0,
                "price": 19.0,
                "color": "Red",
                "sku": "R",
                "product_type": "Shirts",
            },
        },
        "shopify",
    ),
    Shape(
        "products of the admin API, line by line",
        "products.jsonl",
        "\n".join(
            map(
                json.dumps,
                [
                    {
                        "id": 1,
                        "title": "Tee",
                        "handle": "tee",
                        "status": "active",
                        "tags": "a, b",
                        "published_at": "2025-01-01T00:00:00Z",
                        "variants": [
                            {
                                "id": 11,
                                "option1": "Default Title",
                                "price": "19.00",
                                "inventory_quantity": 0,
                                "inventory_management": "shopify",
                                "inventory_policy": "deny",
                                "barcode": "400",
                            }
                        ],
                    },
                    {
                        "title": "Draft",
                        "handle": "draft",
                        "status": "draft",
                        "published_at": None,
                        "variants": [{"id": 5}],
                    },
                ],
            )
        ),
        {"tee": {"availability": "out_of_stock", "barcode": "400", "tags": ["a", "b"]}},
        "shopify",
        unsold=1,
    ),
]

# WooCommerce -------------------------------------------------------------------------------------------------------
WOO = (
    'ID,Type,SKU,"GTIN, UPC, EAN, or ISBN",Name,Published,"Is featured?","Visibility in catalog","Short description",'
    'Description,"Date sale price starts","Date sale price ends","Tax status","Tax class","In stock?",Stock,'
    '"Low stock amount","Backorders allowed?","Sold individually?","Weight (kg)","Length (cm)","Width (cm)",'
    '"Height (cm)","Allow customer reviews?","Purchase note","Sale price","Regular price",Categories,Tags,'
    '"Shipping class",Images,"Download limit","Download expiry days",Parent,"Grouped products",Upsells,Cross-sells,'
    '"External URL","Button text",Position,Brands'
)
ATTRIBUTE = ',"Attribute 1 name","Attribute 1 value(s)","Attribute 1 visible","Attribute 1 global"'
ENGLISH = next(csv.reader([WOO]))


def translated(headings: str, drop: Iterable[str] = ("Brands",)) -> dict[str, str]:
    """Return the headings of another language by those in English; some columns came with later versions."""
    english = [name for name in ENGLISH if name not in drop]
    names = next(csv.reader([headings]))
    assert len(names) == len(english)
    return dict(zip(english, names, strict=True))


def shop(headings: str, drop: Iterable[str] = ("Brands",), price: str = "19,99") -> str:
    """Return the same shop with the headings of another language: a mug that is out, a draft and a lamp on sale."""
    names = translated(headings, drop)
    stocked = {"Published": "1", "Visibility in catalog": "visible", "Tax status": "taxable", "In stock?": "1"}
    rows = [
        {
            **stocked,
            "ID": "44",
            "Type": "simple",
            "SKU": "mug",
            "Name": "Mug",
            "In stock?": "0",
            "Regular price": price,
            "Categories": "Home > Kitchen, Gifts",
            "Images": "https://s.example/a.jpg, https://s.example/b.jpg",
        },
        stocked | {"ID": "45", "Type": "simple", "Name": "Draft", "Published": "'-1", "Regular price": "20"},
        {
            **stocked,
            "ID": "46",
            "Type": "simple",
            "Name": "Lamp",
            "Regular price": "30",
            "Sale price": "25",
            "Tags": "new",
            "Short description": "Bright.",
            "Description": "Very bright.",
        },
    ]
    return table(headings, [{names[key]: value for key, value in row.items()} for row in rows])


SHOP = {
    "44": {"price": 19.99, "product_type": "Home > Kitchen", "availability": "out_of_stock", "title": "Mug"},
    "46": {"regular_price": 30.0, "price": 25.0, "description": "Bright. Very bright.", "tags": ["new"]},
}
OLD = ("Brands", "GTIN, UPC, EAN, or ISBN")
LANGUAGES = {
    "de": (
        'ID,Typ,Artikelnummer,"GTIN, UPC, EAN oder ISBN",Name,Veröffentlicht,"Ist hervorgehoben?",'
        '"Sichtbarkeit im Katalog",Kurzbeschreibung,Beschreibung,"Datum, an dem Angebotspreis beginnt",'
        '"Datum, an dem Angebotspreis endet",Steuerstatus,Steuerklasse,Vorrätig?,Bestand,"Geringe Lagermenge",'
        '"Lieferrückstande erlaubt?","Nur einzeln verkaufen?","Gewicht (kg)","Länge (cm)","Breite (cm)","Höhe (cm)",'
        '"Kundenrezensionen erlauben?","Hinweis zum Kauf",Angebotspreis,"Regulärer Preis",Kategorien,Schlagwörter,'
        'Versandklasse,Bilder,Downloadlimit,"Ablauftage des Downloads","Übergeordnetes Produkt",'
        '"Gruppierte Produkte",Zusatzverkäufe,"Cross-Sells (Querverkäufe)","Externe URL",Button-Text,Position',
        ("Brands",),
    ),
    "fr": (
        'ID,Type,UGS,"GTIN, UPC, EAN ou ISBN",Nom,Publié,"Mis en avant ?","Visibilité dans le catalogue",'
        '"Description courte",Description,"Date de début de promo","Date de fin de promo","État de la TVA",'
        '"Classe de TVA","En stock ?",Stock,"Montant de stock faible",'
        '"Autoriser les commandes de produits en rupture ?","Vendre individuellement ?","Poids (kg)",'
        '"Longueur (cm)","Largeur (cm)","Hauteur (cm)","Autoriser les avis clients ?","Note de commande",'
        '"Tarif promo","Tarif régulier",Catégories,Étiquettes,"Classe d’expédition",Images,'
        '"Limite de téléchargement","Jours d’expiration du téléchargement",Parent,"Groupes de produits",'
        '"Produits suggérés","Ventes croisées","URL externe","Libellé du bouton",Position,Brands',
        (),
    ),
    "es": (
        'ID,Tipo,SKU,"GTIN, UPC, EAN o ISBN",Nombre,Publicado,"¿Está destacado?","Visibilidad en el catálogo",'
        '"Descripción corta",Descripción,"Día en que empieza el precio rebajado",'
        '"Día en que termina el precio rebajado","Estado del impuesto","Clase de impuesto",¿Existencias?,Inventario,'
        '"Cantidad de bajo inventario","¿Permitir reservas de productos agotados?","¿Vendido individualmente?",'
        '"Peso (kg)","Longitud (cm)","Anchura (cm)","Altura (cm)","¿Permitir valoraciones de clientes?",'
        '"Nota de compra","Precio rebajado","Precio normal",Categorías,Etiquetas,"Clase de envío",Imágenes,'
        '"Límite de descargas","Días de caducidad de la descarga",Superior,"Productos agrupados","Ventas dirigidas",'
        '"Ventas cruzadas","URL externa","Texto del botón",Posición',
        ("Brands",),
    ),
    "it": (
        'ID,Tipo,COD,Nome,Pubblicato,"In primo piano?","Visibilità nel catalogo","Breve descrizione",Descrizione,'
        '"Data di partenza del prezzo in saldo","Termine data del prezzo di vendita","Stato delle imposte",'
        '"Aliquota di imposta","In stock?",Magazzino,"Abilita gli ordini arretrati?","Venduto singolarmente?",'
        '"Peso (kg)","Lunghezza (cm)","Larghezza (cm)","Altezza (cm)","Permetti le recensioni clienti?",'
        '"Nota di acquisto","Prezzo in offerta","Prezzo di listino",Categorie,Etichette,"Classe di spedizione",'
        'Immagine,"Limite di download","Scarica i giorni di scadenza",Genitore,"Prodotti raggruppati",Up-sell,'
        'Cross-sell,"URL esterna","Testo del pulsante",Posizione',
        (*OLD, "Low stock amount"),
    ),
    "nl": (
        'ID,Type,SKU,"GTIN, UPC, EAN of ISBN",Naam,Gepubliceerd,Uitgelicht?,"Zichtbaarheid in catalogus",'
        '"Korte beschrijving",Beschrijving,"Startdatum actieprijs","Einddatum actieprijs","Btw status",'
        'Belastingklasse,"Op voorraad?",Voorraad,"Lage voorraad","Nabestellingen toestaan?",'
        '"Wordt individueel verkocht?","Gewicht (kg)","Lengte (cm)","Breedte (cm)","Hoogte (cm)",'
        '"Klantbeoordelingen toestaan?",Aankoopnotitie,Actieprijs,"Reguliere prijs",Categorieën,Tags,Verzendklasse,'
        'Afbeeldingen,Downloadlimiet,"Dagen vervaltijd download",Hoofd,"Gegroepeerde producten",Upsells,Cross-sells,'
        '"Externe URL","Knop tekst",Positie,Merken',
        (),
    ),
    "pl": (
        'ID,Typ,SKU,Nazwa,Opublikowano,"Wyróżniony produkt?","Widoczność w katalogu","Krótki opis",Opis,'
        '"Data rozpoczęcia promocji","Data zakończenia promocji","Status podatku","Klasa podatkowa","W magazynie?",'
        '"Stan magazynowy","Niski stan magazynowy","Pozwalać na zamówienia oczekujące (na dostawę do magazynu)?",'
        '"Sprzedawany pojedynczo?","Waga (kg)","Długość (cm)","Szerokość (cm)","Wysokość (cm)",'
        '"Włącz opinie klientów?","Notatka do zakupu","Cena promocyjna",Cena,Kategorie,Tagi,"Klasa wysyłkowa",'
        'Obrazki,"Limit pobrań","Ważność pobierania","Element nadrzędny","Produkty grupowe","Produkty ""up-sell""",'
        '"Produkty ""Cross-sell""","Zewnętrzny adres URL","Tekst przycisku",Pozycja',
        OLD,
    ),
    "sv": (
        'ID,Typ,Artikelnummer,Namn,Publicerad,Utvald?,"Synlighet i katalog","Kort beskrivning",Beskrivning,'
        '"Datum när reapriset börjar","Datum när reapriset upphör",Momsstatus,Momsgrupp,"I lager?",Lagersaldo,'
        '"Lågt lagerantal","Tillåt restnoteringar?","Säljes styckvis?","Vikt (kg)","Längd (cm)","Bredd (cm)",'
        '"Höjd (cm)","Tillåt kundrecensioner?",Köpmeddelande,Reapris,"Ordinarie pris",Kategorier,Taggar,Fraktklass,'
        'Bilder,Nedladdningsgräns,"Ladda ned utgångsdagar",Förälder,"Grupperade produkter",Merförsäljning,'
        'Korsförsäljning,"Extern URL",Knapptext,Position',
        OLD,
    ),
    "tr": (
        'Kimlik,Tür,"Stok kodu (SKU)","GTIN, UPC, EAN veya ISBN",İsim,Yayımlanmış,"Öne çıkan?",'
        '"Katalogda görünürlük","Kısa açıklama",Açıklama,"İndirimli fiyatın başladığı tarih",'
        '"İndirimli fiyatın bittiği tarih","Vergi durumu","Vergi sınıfı",Stokta?,Stok,"Düşük stok miktarı",'
        '"Ön Siparişe İzin Ver?","Ayrı ayrı mı satılıyor?","Ağırlık (g)","Uzunluk (cm)","Genişlik (cm)",'
        '"Yükseklik (cm)","Müşteri değerlendirmelerine izin verilsin mi?","Satın alma notu",'
        '"İndirimli satış fiyatı","Normal fiyat",Kategoriler,Etiketler,"Gönderim sınıfı",Görseller,"İndirme sınırı",'
        '"İndirme sona erme günü",Ebeveyn,"Gruplanmış ürünler","Yukarı satışlar","Çapraz satışlar","Harici URL",'
        '"Düğme metni",Konum,Markalar',
        (),
    ),
    "ja": (
        'ID,タイプ,SKU,"GTIN, UPC, EAN, or ISBN",名前,公開済み,"オススメですか ?",カタログでの表示,簡単な説明,説明,'
        "セール価格の開始日,セール価格の終了日,課税ステータス,税区分,在庫の有無,在庫,在庫量わずか,"
        '"お取り寄せを許可する ?","個別に販売しますか ?","重量 (kg)",長さ(cm),"幅 (cm)","高さ (cm)",'
        '"カスタマーレビューを許可しますか ?",注意事項,セール価格,標準価格,カテゴリー,タグ,配送クラス,画像,'
        'ダウンロード制限,ダウンロード有効期限日,親,セット販売商品,アップセル,クロスセル,"外部 URL",'
        "ボタンのテキスト,位置",
        ("Brands",),
    ),
}
RUSSIAN = (
    'ID,Тип,Артикул,Имя,Опубликован,рекомендуемый?,"Видимость в каталоге","Короткое описание",Описание,"В наличии?",'
    '"Базовая цена",Категории,Изображения'
)
UNKNOWN = ",".join(f"Wort {chr(97 + i % 26)}{'x' * (i // 26)}" for i in range(19))
UNKNOWN += ",Laka (kg),Olu (cm),Sira (cm),Ulu (cm)," + ",".join(f"Sana {chr(97 + i)}" for i in range(17))

VARIABLE = [
    {
        "ID": "20",
        "Type": "variable",
        "SKU": "shirt",
        "Name": "Shirt",
        "Published": "1",
        "In stock?": "1",
        "Visibility in catalog": "visible",
        "Categories": "Clothing, Clothing > Shirts",
        "Brands": "Ark",
        "Attribute 1 name": "Colour",
        "Attribute 1 value(s)": "Red, Blue",
        "Images": "https://s.example/s.jpg",
        "Description": "<div>Warm\\nWool</div>",
    },
    {
        "ID": "21",
        "Type": "variation, virtual",
        "Name": "Shirt - Red",
        "Published": "1",
        "Regular price": "20",
        "Parent": "shirt",
        "Attribute 1 name": "Colour",
        "Attribute 1 value(s)": "Red",
        "In stock?": "1",
    },
    {
        "ID": "22",
        "Type": "variation",
        "Name": "Shirt - Blue",
        "Published": "1",
        "Regular price": "20",
        "Parent": "id:20",
        "Attribute 1 name": "Colour",
        "Attribute 1 value(s)": "Blue",
        "Sale price": "15",
        "In stock?": "backorder",
        "Date sale price starts": "2020-01-01",
        "Stock": "-2",
        "Backorders allowed?": "1",
    },
    {
        "ID": "30",
        "Type": "variable",
        "Name": "Coat",
        "Published": "0",
        "In stock?": "1",
        "SKU": "coat",
        "Visibility in catalog": "visible",
    },
    {
        "ID": "31",
        "Type": "variation",
        "Name": "Coat - S",
        "Published": "1",
        "Regular price": "90",
        "Parent": "coat",
    },
    {
        "ID": "40",
        "Type": "external",
        "Name": "Elsewhere",
        "Published": "1",
        "Regular price": "5",
        "External URL": "https://x",
    },
    {"ID": "41", "Type": "grouped", "Name": "Set", "Published": "1", "Grouped products": "shirt"},
    {"ID": "42", "Type": "simple", "Name": "Hidden", "Published": "1", "Visibility in catalog": "hidden"},
    {"ID": "43", "Type": "simple", "Name": "Pending", "Published": "2", "Regular price": "5"},
]
WOOCOMMERCE = [
    Shape(
        "variations, their products' states, and what is sold elsewhere",
        "wc-product-export.csv",
        table(WOO + ATTRIBUTE + ',"Meta: _wpb_vc_js_status","Attribute 1 default"', VARIABLE),
        {
            "20": {
                "item_group_id": "20",
                "regular_price": 20.0,
                "price": 15.0,
                "product_type": "Clothing > Shirts",
            },
            "21": {"item_group_id": "20", "color": ["Red"], "brand": "Ark", "description": "Warm Wool"},
            "22": {"item_group_id": "20", "availability": "backorder", "image_link": "https://s.example/s.jpg"},
            "40": {"item_group_id": "", "price": 5.0},
            "41": {},
        },
        "woocommerce",
        unsold=4,
    ),
    *(
        Shape(
            f"headings in {language}", "wc-product-export.csv", shop(headings, drop), SHOP, "woocommerce", unsold=1
        )
        for language, (headings, drop) in LANGUAGES.items()
    ),
    Shape(
        "a part of the columns, in Russian, after an empty line and a tab",
        "wc-product-export.csv",
        table(
            RUSSIAN,
            [
                {
                    "ID": "40",
                    "Тип": "simple",
                    "Имя": "Лампа",
                    "Опубликован": "1",
                    "Видимость в каталоге": "visible",
                    "В наличии?": "1",
                    "Базовая цена": "240",
                    "Категории": "Свет",
                },
                {"ID": "41", "Тип": "simple", "Имя": "Копия", "Опубликован": "'-1", "Базовая цена": "200"},
            ],
            start="\n\t",
        ),
        {"40": {"title": "Лампа", "price": 240.0, "product_type": "Свет"}},
        "woocommerce",
        unsold=1,
    ),
    Shape(
        "headings in a language that is not known",
        "wc-product-export.csv",
        shop(UNKNOWN),
        SHOP,
        "woocommerce",
        unsold=1,
        warnings={"guessed heading"},
    ),
    Shape(
        "no ids: SKUs; other names of two columns, and attributes",
        "woocommerce-products.csv",
        table(
            "Type,SKU,Name,Published,Is featured?,Catalog visibility,In stock?,Regular price,Sold individually,"
            "Weight (kg),Categories,Images,Attribute 1 name,Attribute 1 value(s),Attribute 1 visible,"
            "Attribute 1 global,Attribute 2 name,Attribute 2 value(s),Attribute 2 visible,Attribute 2 global",
            [
                {
                    "Type": "simple",
                    "SKU": "wine",
                    "Name": "Wine",
                    "Published": "1",
                    "In stock?": "1",
                    "Regular price": "1770",
                    "Attribute 1 name": "Region",
                    "Attribute 1 value(s)": "South",
                    "Attribute 2 name": "Volume",
                    "Attribute 2 value(s)": "0\\,75 L",
                    "Catalog visibility": "visible",
                }
            ],
        ),
        {"wine": {"sku": "wine", "region": ["South"], "volume": ["0,75 L"]}},
        "woocommerce",
    ),
    Shape(
        "separated by semicolons, with columns of a plugin",
        "produkte.csv",
        table(
            "ID;Type;SKU;Name;Published;Regular price;Sale price;Categories;Images;EAN13;Meta: x",
            [
                {
                    "ID": "7",
                    "Type": "simple",
                    "Name": "Oil",
                    "Published": "1",
                    "Regular price": "1.299,00",
                    "EAN13": "400",
                }
            ],
            ";",
        ),
        {"7": {"price": 1299.0, "gtin": "400"}},
        "woocommerce",
    ),
]

# Google Merchant and Meta ------------------------------------------------------------------------------------------
FEED = """\
<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel><title>Shop</title>
<link>https://s.example</link><description>All</description>
{}
</channel></rss>
"""
SHIPPING = "<g:shipping><g:country>TR</g:country><g:service>Std</g:service><g:price>260 TRY</g:price></g:shipping>"
MERCHANT = [
    Shape(
        "RSS: a sale price, groups, nested shipping",
        "product-feed.xml",
        FEED.format(
            f"""<item><g:id>P1</g:id><g:title>Phones &amp; more</g:title><g:description>Loud.</g:description>
<g:link>https://s.example/1</g:link><g:image_link>https://s.example/1.jpg</g:image_link><g:price>89.99 USD</g:price>
<g:sale_price>69.99 USD</g:sale_price><g:availability>in stock</g:availability><g:condition>new</g:condition>
<g:google_product_category>Electronics > Audio</g:google_product_category><g:item_group_id>phones</g:item_group_id>
<g:color>Black</g:color>{SHIPPING}</item>
<item><g:id>P2</g:id><g:title>Cable</g:title><g:link>https://s.example/2</g:link><g:price>8,370.82 USD</g:price>
<g:availability>out_of_stock</g:availability><g:condition>new</g:condition>{SHIPPING}</item>"""
        ),
        {
            "P1": {
                "regular_price": 89.99,
                "price": 69.99,
                "product_type": "Electronics > Audio",
                "color": "Black",
            },
            "P2": {"price": 8370.82, "availability": "out_of_stock"},
        },
        "google_merchant",
    ),
    Shape(
        "several product types, photos and labels; a twin without a prefix",
        "merchant-feed.xml",
        FEED.format(
            """<item><title>Oak chair</title><g:title>Oak chair</g:title><g:id>S1</g:id><link>https://s.example/s</link>
<description><![CDATA[<b>Solid</b>]]></description><g:product_type>Home &gt; Chairs</g:product_type>
<g:product_type>Sale</g:product_type><g:image_link>https://s.example/s.jpg</g:image_link>
<g:additional_image_link>https://s.example/t.jpg</g:additional_image_link>
<g:additional_image_link>https://s.example/u.jpg</g:additional_image_link><g:price>15,00 EUR</g:price>
<g:availability>http://schema.org/InStock</g:availability><g:identifier_exists>no</g:identifier_exists></item>"""
        ),
        {"S1": {"title": "Oak chair", "description": "Solid", "price": 15.0, "availability": "in_stock"}},
        "google_merchant",
    ),
    Shape(
        "tab-separated, names with spaces, a number of Google's category",
        "feed.tsv",
        table(
            "id\ttitle\tdescription\tlink\timage link\tprice\tsale price\tsale price effective date\tavailability\t"
            "condition\tgoogle product category\titem group id\tcolor\tsize\tgtin",
            [
                {
                    "id": "A1",
                    "title": 'Screen 27" wide',
                    "link": "https://s.example/a",
                    "price": "15.00 USD",
                    "availability": "preorder",
                    "google product category": "166",
                    "gtin": "00012345600012",
                    "item group id": "A",
                    "image link": "https://s.example/a.jpg",
                    "condition": "new",
                }
            ],
            "\t",
        ).replace('"Screen 27"" wide"', 'Screen 27" wide'),
        {"A1": {"title": 'Screen 27" wide', "availability": "preorder", "item_group_id": "A", "price": 15.0}},
        "google_merchant",
    ),
    Shape(
        "headings of the merchant centre in German",
        "feed.txt",
        table(
            "ID\tTitel\tBeschreibung\tLink\tBildlink\tPreis\tVerfügbarkeit\tMarke\tFarbe",
            [{"ID": "A1", "Titel": "Stuhl", "Preis": "15,00 EUR", "Verfügbarkeit": "auf Lager", "Farbe": "rot"}],
            "\t",
        ),
        {"A1": {"title": "Stuhl", "price": 15.0, "color": "rot", "availability": "in_stock"}},
        "google_merchant",
    ),
    Shape(
        "Meta: quoted cells, another currency",
        "facebook-catalog.csv",
        table(
            "id,title,description,availability,condition,price,link,image_link,brand,google_product_category,messenger_link",
            [
                {
                    "id": "41-a",
                    "title": "Cream 50 ml",
                    "availability": "in stock",
                    "condition": "new",
                    "price": "2190 BDT",
                    "link": "https://s.example/41",
                    "google_product_category": "Health > Care",
                }
            ],
        ),
        {"41-a": {"price": 2190.0, "product_type": "Health > Care", "availability": "in_stock"}},
        "google_merchant",
    ),
    Shape(
        "Meta's template: comments above the header",
        "catalog_products.csv",
        "# Required | The id,# Required | The title,# Required | In stock or not,# Required | The price,# Required,# Required\n"
        + table(
            "id,title,availability,price,link,condition",
            [
                {
                    "id": "1",
                    "title": "Blue tee",
                    "availability": "in stock",
                    "price": "10.00 USD",
                    "link": "https://s",
                }
            ],
        ),
        {"1": {"title": "Blue tee", "price": 10.0}},
        "google_merchant",
    ),
    Shape(
        "Heureka: parameters, groups, CDATA with blanks",
        "heureka.xml",
        """<?xml version="1.0" encoding="utf-8"?><SHOP>
<SHOPITEM><ITEM_ID>A-1</ITEM_ID><PRODUCTNAME><![CDATA[ Mikina (S) ]]></PRODUCTNAME><PRODUCT>Mikina</PRODUCT>
<DESCRIPTION>Teplá.</DESCRIPTION><URL>https://s.example/m</URL><IMGURL>https://s.example/m.jpg</IMGURL>
<IMGURL_ALTERNATIVE>https://s.example/n.jpg</IMGURL_ALTERNATIVE><IMGURL_ALTERNATIVE>https://s.example/o.jpg</IMGURL_ALTERNATIVE>
<PRICE_VAT>1 270,50</PRICE_VAT><VAT>21%</VAT><CATEGORYTEXT>Heureka.cz | Oblečení | Mikiny</CATEGORYTEXT>
<MANUFACTURER>Ark</MANUFACTURER><EAN>400</EAN><PARAM><PARAM_NAME>Velikost</PARAM_NAME><VAL>S</VAL></PARAM>
<DELIVERY_DATE>0</DELIVERY_DATE><ITEMGROUP_ID>A</ITEMGROUP_ID></SHOPITEM>
<SHOPITEM><PRODUCT>Pero</PRODUCT><URL>https://s.example/p</URL><PRICE_VAT>50</PRICE_VAT><EAN>401</EAN></SHOPITEM>
</SHOP>""",
        {
            "401": {"title": "Pero", "price": 50.0},
            "A-1": {"title": "Mikina (S)", "product_type": "Oblečení > Mikiny", "size": "S", "price": 1270.5},
        },
        "heureka",
    ),
    Shape(
        "YML of Yandex Market",
        "feed.yml.xml",
        """<?xml version="1.0" encoding="UTF-8"?><!DOCTYPE yml_catalog SYSTEM "shops.dtd">
<yml_catalog date="2026-03-05 00:00"><shop><name>Shop</name><currencies><currency id="RUB" rate="1"/></currencies>
<categories><category id="1">Свет</category></categories><offers>
<offer id="A1" available="true"><name>Лампа</name><price>100</price><oldprice>120</oldprice><currencyId>RUB</currencyId>
<categoryId>1</categoryId><vendor>Ark</vendor><picture>https://s.example/a.jpg</picture>
<picture>https://s.example/b.jpg</picture><param name="Цвет">белый</param><url>https://s.example/a</url></offer>
<offer id="A2" available="false"><model>X</model><typePrefix>Стул</typePrefix><vendor>Ark</vendor><price>5</price>
<currencyId>RUB</currencyId></offer></offers></shop></yml_catalog>""",
        {
            "A1": {"title": "Лампа", "regular_price": 120.0, "price": 100.0, "color": "белый", "brand": "Ark"},
            "A2": {"title": "Стул Ark X", "availability": "out_of_stock"},
        },
        "yml",
    ),
]

# Magento, PrestaShop, BigCommerce, RecBole -------------------------------------------------------------------------
MAGENTO = (
    "sku,store_view_code,attribute_set_code,product_type,categories,product_websites,name,description,"
    "short_description,weight,product_online,tax_class_name,visibility,price,special_price,special_price_from_date,"
    "special_price_to_date,url_key,meta_title,base_image,created_at,updated_at,country_of_manufacture,"
    "additional_attributes,qty,out_of_stock_qty,allow_backorders,is_in_stock,manage_stock,related_skus,"
    "bundle_values,configurable_variations,configurable_variation_labels,associated_skus"
)
ONLINE = {
    "product_online": "1",
    "visibility": "Catalog, Search",
    "is_in_stock": "1",
    "qty": "5",
    "product_type": "simple",
}
PRESTASHOP = (
    "Product ID;Active (0/1);Name *;Categories (x,y,z...);Price tax excluded;Tax rules ID;Wholesale price;On sale (0/1);"
    "Discount amount;Discount percent;Discount from (yyyy-mm-dd);Discount to (yyyy-mm-dd);Reference #;"
    "Supplier reference #;Supplier;Manufacturer;EAN13;UPC;Ecotax;Width;Height;Depth;Weight;Quantity;Minimal quantity;"
    "Visibility;Summary;Description;Tags (x,y,z...);Meta title;URL rewritten;"
    "Available for order (0 = No, 1 = Yes);Show price (0 = No, 1 = Yes);Image URLs (x,y,z...);"
    "Feature(Name:Value:Position:Customized);Condition;Out of stock action"
)
BIGCOMMERCE = (
    "Item Type,Product ID,Product Name,Product Type,Product Code/SKU,Bin Picking Number,Brand Name,Option Set,"
    "Option Set Align,Product Description,Price,Cost Price,Retail Price,Sale Price,Fixed Shipping Cost,Free Shipping,"
    "Product Warranty,Product Weight,Allow Purchases?,Product Visible?,Product Availability,Track Inventory,"
    "Current Stock Level,Low Stock Level,Category,Product Image ID - 1,Product Image File - 1,"
    "Product Image Description - 1,Search Keywords,Page Title,Meta Keywords,Product Condition,Product UPC/EAN"
)
BIGCOMMERCE_NEW = (
    "Item,ID,Name,Type,SKU,Options,Inventory Tracking,Current Stock,Low Stock,Price,Cost Price,Retail Price,Sale Price,"
    "Brand ID,Channels,Categories,Description,Custom Fields,Page Title,Product URL,Variant Image URL,"
    "Internal Image URL (Export),Image URL (Import),Image is Thumbnail,Weight,UPC/EAN,Is Visible,Is Featured,Warranty"
)
OTHERS = [
    Shape(
        "configurable products, store views, quoted attributes, disabled and invisible products",
        "catalog_product.csv",
        table(
            MAGENTO,
            [
                ONLINE
                | {
                    "sku": "shirt-b",
                    "name": "Shirt black",
                    "price": "20.0000",
                    "visibility": "Not Visible Individually",
                    "additional_attributes": 'color=Black,material="Wool, silk",has_options=0',
                },
                ONLINE
                | {
                    "sku": "shirt-r",
                    "name": "Shirt red",
                    "price": "18.0000",
                    "visibility": "Not Visible Individually",
                    "additional_attributes": "color=Red,care=Hand|Cold",
                    "is_in_stock": "0",
                    "qty": "0",
                },
                ONLINE
                | {
                    "sku": "shirt",
                    "name": "Shirt",
                    "product_type": "configurable",
                    "qty": "0",
                    "categories": "Default Category/Men,Default Category/Men/Tops",
                    "configurable_variations": "sku=shirt-b,color=Black|sku=shirt-r,color=Red",
                    "description": "<p>Warm</p>",
                    "base_image": "/s/h/shirt.jpg",
                    "additional_attributes": "manufacturer=Ark",
                },
                {"sku": "shirt", "store_view_code": "fr", "name": "Chemise"},
                ONLINE | {"sku": "off", "name": "Off", "product_online": "2", "price": "5"},
                ONLINE | {"sku": "part", "name": "Part", "visibility": "Not Visible Individually", "price": "5"},
                ONLINE
                | {
                    "sku": "bag",
                    "name": "Bag",
                    "price": "50",
                    "special_price": "40",
                    "allow_backorders": "1",
                    "qty": "0",
                    "special_price_from_date": "2020-01-01 00:00:00",
                },
                ONLINE | {"sku": "set", "name": "Set", "product_type": "grouped", "associated_skus": "bag=1.0000"},
            ],
        ),
        {
            "bag": {"regular_price": 50.0, "price": 40.0, "availability": "backorder"},
            "set": {},
            "shirt": {"price": 20.0, "product_type": "Men > Tops", "item_group_id": "shirt", "brand": "Ark"},
            "shirt-b": {
                "item_group_id": "shirt",
                "color": "Black",
                "material": "Wool, silk",
                "description": "Warm",
            },
            "shirt-r": {"availability": "out_of_stock", "care": ["Hand", "Cold"], "image_link": "s/h/shirt.jpg"},
        },
        "magento",
        unsold=2,
    ),
    Shape(
        "every row of one store view",
        "export_catalog_product.csv",
        table(
            MAGENTO,
            [
                ONLINE
                | {
                    "sku": "1",
                    "store_view_code": "nl",
                    "name": "Lamp",
                    "price": "5",
                    "categories": "Default Category",
                }
            ],
        ),
        {"1": {"title": "Lamp", "product_type": ""}},
        "magento",
    ),
    Shape(
        "columns of the import, with discounts and features",
        "products.csv",
        table(
            PRESTASHOP,
            [
                {
                    "Product ID": "1",
                    "Active (0/1)": "1",
                    "Name *": "Tee",
                    "Categories (x,y,z...)": "Clothing,Clothing/Tees",
                    "Price tax excluded": "25,00",
                    "Discount percent": "20",
                    "Reference #": "TEE-M",
                    "Quantity": "0",
                    "Image URLs (x,y,z...)": "https://s.example/1,2.jpg,https://s.example/3.jpg",
                    "Feature(Name:Value:Position:Customized)": "Color:Black:1:0,Size:M:2:0",
                    "Discount from (yyyy-mm-dd)": "2020-01-01",
                },
                {"Product ID": "2", "Active (0/1)": "0", "Name *": "Old", "Price tax excluded": "5"},
                {"Product ID": "3", "Active (0/1)": "1", "Name *": "Secret", "Visibility": "none"},
                {
                    "Product ID": "4",
                    "Active (0/1)": "1",
                    "Name *": "Cap",
                    "Quantity": "0",
                    "Out of stock action": "1",
                    "Price tax excluded": "5",
                },
            ],
            ";",
        ),
        {
            "1": {
                "regular_price": 25.0,
                "price": 20.0,
                "color": ["Black"],
                "image_link": "https://s.example/1,2.jpg",
            },
            "4": {"availability": "backorder", "title": "Cap"},
        },
        "prestashop",
        unsold=2,
    ),
    Shape(
        "the list of products",
        "product_2026-01-01.csv",
        table(
            "Product ID;Image;Name;Reference;Category;Price (tax excl.);Price (tax incl.);Quantity;Status;Position",
            [
                {
                    "Product ID": "9",
                    "Image": "https://s.example/9.jpg",
                    "Name": "Mug",
                    "Reference": "M",
                    "Status": "1",
                    "Price (tax excl.)": "10.000000",
                    "Price (tax incl.)": "12.000000",
                    "Quantity": "3",
                }
            ],
            ";",
        ),
        {"9": {"price": 12.0, "sku": "M", "availability": "in_stock", "image_link": "https://s.example/9.jpg"}},
        "prestashop",
    ),
    Shape(
        "in French, without ids",
        "produits.csv",
        table(
            "Actif (0/1);Nom *;Catégories (x,y,z...);Prix TTC;Référence;Fabricant;Quantité;Résumé;"
            "URL des images (x,y,z...);Caractéristique (Nom:Valeur:Position)",
            [{"Actif (0/1)": "1", "Nom *": "Lampe", "Prix TTC": "12,50", "Référence": "L1", "Fabricant": "Ark"}],
            ";",
        ),
        {"L1": {"title": "Lampe", "price": 12.5, "brand": "Ark"}},
        "prestashop",
    ),
    Shape(
        "old: rows of variants and of price rules",
        "products-2014.csv",
        table(
            BIGCOMMERCE,
            [
                {
                    "Item Type": "Product",
                    "Product ID": "77",
                    "Product Name": "Shirt",
                    "Product Code/SKU": "SH",
                    "Price": "30.00",
                    "Sale Price": "0.00",
                    "Product Visible?": "Y",
                    "Allow Purchases?": "Y",
                    "Track Inventory": "by option",
                    "Category": "Shop All/Men;Sale",
                    "Brand Name": "Ark",
                    "Product Image File - 1": "s/shirt.jpg",
                },
                {
                    "Item Type": "  SKU",
                    "Product ID": "8",
                    "Product Name": "[RT]Size=M,[CS]Color=Red:#ff0000",
                    "Product Code/SKU": "SH-M",
                    "Current Stock Level": "0",
                },
                {
                    "Item Type": "  SKU",
                    "Product ID": "9",
                    "Product Name": "[RT]Size=L",
                    "Current Stock Level": "4",
                },
                {"Item Type": "  Rule", "Product Name": "[S]Size=L", "Price": "[ADD]5"},
                {
                    "Item Type": "Product",
                    "Product ID": "78",
                    "Product Name": "Hidden",
                    "Product Visible?": "N",
                    "Price": "3",
                },
                {
                    "Item Type": "Product",
                    "Product ID": "79",
                    "Product Name": "Mug",
                    "Product Visible?": "Y",
                    "Price": "9",
                    "Sale Price": "7",
                    "Track Inventory": "none",
                    "Current Stock Level": "0",
                },
            ],
        ),
        {
            "77": {"item_group_id": "77", "price": 30.0, "sku": "SH", "product_type": "Shop All > Men"},
            "77/L": {"size": "L", "availability": "in_stock", "title": "Shirt"},
            "77/M/Red": {
                "color": "Red",
                "availability": "out_of_stock",
                "price": 30.0,
                "image_link": "s/shirt.jpg",
            },
            "79": {"regular_price": 9.0, "price": 7.0, "availability": "in_stock"},
        },
        "bigcommerce",
        unsold=1,
        warnings={"price rule"},
    ),
    Shape(
        "new: rows of variants and images",
        "products-2026.csv",
        table(
            BIGCOMMERCE_NEW,
            [
                {
                    "Item": "Product",
                    "ID": "111",
                    "Name": "Tee",
                    "Type": "physical",
                    "Inventory Tracking": "variant",
                    "Price": "20",
                    "Is Visible": "TRUE",
                    "Categories": "Shop/Tees",
                    "Custom Fields": "Material=Wool",
                },
                {
                    "Item": "Variant",
                    "ID": "111",
                    "SKU": "T-S",
                    "Current Stock": "2",
                    "Price": "22",
                    "Options": "Type=Rectangle|Name=Size|Value=SType=Swatch|Name=Colour|Value=Red[#ff0000]",
                },
                {"Item": "Image", "ID": "5", "Internal Image URL (Export)": "https://s.example/t.jpg"},
            ],
        ),
        {
            "111": {"image_link": "https://s.example/t.jpg", "material": "Wool", "price": 20.0},
            "111/S/Red": {"sku": "T-S", "color": "Red", "price": 22.0, "image_link": "https://s.example/t.jpg"},
        },
        "bigcommerce",
    ),
    Shape(
        "atomic file of items",
        "shop.item",
        "item_id:token\ttitle:token\tcategories:token_seq\tprice:float\tbrand:token\n7\tBlue mug\tHome Kitchen\t9.5\tArk\n",
        {"7": {"title": "Blue mug", "product_type": ["Home", "Kitchen"], "price": 9.5, "brand": "Ark"}},
        "recbole",
    ),
]

SHAPES = [*SHOPIFY, *WOOCOMMERCE, *MERCHANT, *OTHERS]


def load(tmp_path, shape: Shape, **mapping: Any) -> Catalog:
    (tmp_path / shape.file).write_text(shape.text, encoding="utf-8")
    return Catalog.load(Config.model_validate({"catalog": {"path": shape.file, **mapping}, "data_dir": tmp_path}))


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: f"{shape.format}: {shape.name}")
def test_no_product_and_no_variant_is_lost(tmp_path, shape):
    found = load(tmp_path, shape, format=shape.format)
    assert found.ids == sorted(shape.values)
    assert found.report.errors == 0
    assert found.report.facts.get("products not for sale", 0) == shape.unsold
    assert {kind for kind in found.report.counts if kind in _OF_FORMATS} == shape.warnings
    products = found.frame.set_index("id")
    values = {id: {name: products.loc[id, name] for name in expected} for id, expected in shape.values.items()}
    assert values == shape.values


_OF_FORMATS = {"price of a market", "guessed heading", "unknown heading", "price rule"}


# German headings of a Merchant feed may be of any file.
TELLING = [shape for shape in SHAPES if "Titel" not in shape.text]


@pytest.mark.parametrize("shape", TELLING, ids=lambda shape: f"{shape.format}: {shape.name}")
def test_the_format_is_found_out(tmp_path, shape):
    found = load(tmp_path, shape)
    assert found.ids == sorted(shape.values)
    assert sum("read as" in fact for fact in found.report.facts) == 1


def test_there_are_forty_shapes():
    assert len(SHAPES) >= 40
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)
