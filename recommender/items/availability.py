"""Availability: the words, enums, flags and quantities of shops as Google Merchant's four values."""

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, get_args

Availability = Literal["in_stock", "out_of_stock", "preorder", "backorder"]
AVAILABILITIES: tuple[str, ...] = get_args(Availability)
IN_STOCK, OUT_OF_STOCK, PREORDER, BACKORDER = AVAILABILITIES

# Columns that say what can be bought where there is no availability: the first whose values are understood.
STOCK_COLUMNS = (
    *("stock_status", "availability_status", "in_stock", "is_in_stock", "instock", "available", "is_available"),
    *("available_for_sale", "quantity", "stock", "stock_quantity", "stock_qty", "stock_level", "inventory"),
    *("inventory_quantity", "inventory_level", "qty", "quantity_in_stock", "quantity_available"),
    *("available_quantity", "on_hand"),
)
# Columns whose words take a product off sale whatever its availability is.
STATE_COLUMNS = (
    *("status", "product_status", "post_status", "published", "is_published", "visibility", "catalog_visibility"),
    *("active", "is_active", "enabled", "is_enabled"),
)
# What is understood, for messages.
EXPECTED = f"{', '.join(AVAILABILITIES)}, a word such as sold out or draft, yes or no, or a quantity"

# The words of shops; case, accents, blanks and punctuation do not count (see `_key`). Of schema.org's, InStoreOnly
# is out of stock, as for Google Merchant: nobody can buy it where recommendations are shown.
_WORDS = {
    IN_STOCK: """
        in stock|instock|stock|available|availability available|available now|available for order
        available for sale
        available online|available for purchase|in store and online|limited availability|limited|limited stock
        low stock|low in stock|few left|last items|last few|almost gone|almost sold out|nearly sold out
        low inventory
        high|medium|low|plenty|many|few|some|online only|online|made to order|in production|dropship|special order
        ready to ship|ready for shipping|ships immediately|ships today|ships now|immediately available|for sale
        on sale
        buyable|purchasable|sellable|saleable|orderable|yes|y|true|t|on|ok|active|enabled|enable|published|publish
        publicly visible|public|visible|live|listed|released|approved|shown|catalog|search|catalog search|show
        current
        catalog and search|visible everywhere|both|everywhere
        auf lager|lagernd|ab lager|sofort lieferbar|lieferbar|verfügbar|sofort verfügbar|vorrätig|vorhanden|ja
        aktiv
        aktiviert|sichtbar|veröffentlicht|wenige verfügbar|nur noch wenige|begrenzt verfügbar|bestellbar|im lager
        auf lager lieferbar|sofort versandfertig|versandfertig|käuflich|online verfügbar|geringer bestand
        en stock|disponible|disponible immédiatement|en magasin|oui|actif|publié|stock limité|stock faible|vrai
        dernières pièces|quelques exemplaires|disponibles|disponible en ligne|plus que quelques exemplaires
        en existencia|en existencias|hay existencias|con existencias|hay stock|con stock|stock disponible|sí
        activo
        publicado|visible|últimas unidades|pocas unidades|disponible en stock|verdadero|en almacén
        in magazzino|disponibile|disponibilità immediata|disponibilità immediato|in pronta consegna
        pronta consegna
        attivo|pubblicato|disponibilità limitata|ultimi pezzi|vero|a magazzino|sì|disponibili
        em estoque|em stock|disponível|em existência|sim|ativo|ativado|publicado|últimas unidades
        estoque disponível
        verdadeiro|pronta entrega|disponível em estoque
        op voorraad|voorradig|beschikbaar|leverbaar|direct leverbaar|uit voorraad leverbaar|actief|gepubliceerd
        beperkt leverbaar|beperkt beschikbaar|beperkte voorraad|waar|laatste stuks|op voorraad leverbaar
        w magazynie|dostępny|dostępna|dostępne|na stanie|na magazynie|jest|tak|aktywny|opublikowany|mało|dużo
        ostatnie sztuki|średnia ilość|duża ilość|mała ilość|dostępność duża|prawda|w sprzedaży
        в наличии|есть в наличии|есть|на складе|доступен|доступно|доступна|имеется|имеется в наличии|да|активен
        активный|опубликован|опубликовано|много|мало|в продаже|истина|есть на складе|заканчивается
        в наявності|є в наявності|є|доступний|так|закінчується
        i lager|finns i lager|finns|tillgänglig|tillgängligt|i butik|på lager|tilgængelig|tilgjengelig|aktiv
        publicerad|få kvar|på lageret|sant
        skladem|na skladě|skladom|na sklade|k dispozici|dostupné|dostupný|dostupná|ano|áno|aktivní|publikováno
        u dodavatele
        poslední kusy|ihned k odběru|skladem u dodavatele|pravda
        stokta|stokta var|var|mevcut|stoklarda|satışta|evet|aktif|yayında|yayınlandı|sınırlı stok|son ürünler
        doğru
        raktáron|készleten|elérhető|kapható|igen|aktív|rendelhető|van
        în stoc|disponibil|pe stoc|stoc|da|activ|stoc limitat|stoc suficient
        varastossa|saatavilla|heti saatavilla|kyllä|aktiivinen
        на склад|в наличност|наличен|налично|налични|активен
        na zalihi|dostupno|na skladištu|na zalogi|na voljo|zaloga|na stanju
        σε απόθεμα|διαθέσιμο|άμεσα διαθέσιμο|ναι|ενεργό
        yra sandėlyje|yra|noliktavā|pieejams|laos|laos olemas|saadaval|olemas
        在庫あり|在庫有り|在庫有|販売中|购买|有货|现货|有現貨|現貨|有貨|有库存|有庫存|在庫|在售|上架|已上架
        재고 있음|재고있음|판매중|있음
        có sẵn|còn hàng|sẵn hàng|tersedia|ada stok|ready stock|มีสินค้า|พร้อมส่ง
        متوفر|في المخزون|متاح|نعم|במלאי|זמין|उपलब्ध|स्टॉक में""",
    OUT_OF_STOCK: """
        out of stock|outofstock|outstock|no stock|not in stock|notinstock|nostock|zero stock|empty|stock out
        stockout|oos
        out|sold out|soldout|sold|sold out online|temporarily out of stock|temporary out of stock
        currently out of stock
        temporarily sold out|temporarily unavailable|currently unavailable|currently not available|unavailable
        not available|not available online|not available for sale|notavailable|no longer available
        no longer in stock
        not for sale|not sellable|not purchasable|not orderable|not buyable|not visible|not visible individually
        not active
        not published|not listed|notify me|email me when available|waitlist|wait list|coming soon|expected
        upcoming|announced|not yet released|back in stock soon|on hold
        awaiting stock|awaiting restock|restocking|restock|in store only|instoreonly|store only|reserved
        discontinued
        discontinued by manufacturer|discontinued product|phased out|retired|obsolete|end of life|eol|end of sale
        expired|withdrawn|recalled|recall|draft|auto draft|private|pending|pending review|in review|under review
        future
        scheduled|unpublished|unlisted|archived|archive|hidden|hide|invisible|trash|trashed|deleted|removed
        disabled
        disable|inactive|deactivated|suspended|blocked|rejected|disapproved|denied|refused|off|no|n|false|f|never
        none left
        none in stock|stopped|cancelled|canceled|closed|password protected|offline|not approved|sales ended|zero
        ausverkauft|noch nicht erschienen|nicht verfügbar|nicht auf lager|nicht lieferbar|nicht vorrätig
        nicht lagernd|nicht mehr verfügbar
        nicht mehr lieferbar|vergriffen|derzeit nicht verfügbar|zurzeit nicht verfügbar|momentan nicht verfügbar
        zur zeit nicht verfügbar|aktuell nicht verfügbar|derzeit nicht lieferbar|zurzeit nicht lieferbar
        momentan nicht lieferbar|aktuell nicht lieferbar|momentan ausverkauft|vorübergehend nicht verfügbar
        vorübergehend ausverkauft|vorübergehend nicht lieferbar|derzeit ausverkauft|leider ausverkauft
        kein bestand
        nein|inaktiv|deaktiviert|entwurf|privat|ausstehend|versteckt|verborgen|unsichtbar|nicht sichtbar|gelöscht
        archiviert|eingestellt|auslaufartikel|nicht veröffentlicht|nicht bestellbar|gesperrt|nicht vorhanden
        verkauft
        artikel ausverkauft|falsch|reserviert|nicht käuflich|nicht aktiv|papierkorb
        rupture de stock|en rupture de stock|en rupture|rupture|hors stock|épuisé|épuisée|indisponible
        non disponible
        plus disponible|pas en stock|temporairement en rupture de stock|temporairement indisponible|stock épuisé
        actuellement indisponible|victime de son succès|vendu|non|inactif|brouillon|privé|en attente|caché|masqué
        faux
        supprimé|archivé|arrêté|produit arrêté|fin de série|non publié|désactivé|abandonné|réservé
        en magasin uniquement
        agotado|agotada|sin stock|sin existencias|fuera de stock|no disponible|no hay existencias|no hay stock
        falso
        temporalmente agotado|temporalmente sin stock|actualmente no disponible|temporalmente no disponible
        borrador
        inactivo|privado|pendiente|oculto|eliminado|archivado|descatalogado|discontinuado|no publicado|desactivado
        vendido|no disponible temporalmente|producto agotado|reservado|papelera
        esaurito|esaurita|non disponibile|non in magazzino|terminato|fuori stock|fuori produzione|fuori catalogo
        bozza
        temporaneamente esaurito|temporaneamente non disponibile|attualmente non disponibile|prodotto esaurito
        momentaneamente non disponibile|inattivo|privato|in attesa|nascosto|eliminato|archiviato|non pubblicato
        disattivato|venduto|prodotto non disponibile|in arrivo|in riassortimento|disabilitato|discontinuato
        riservato|cestino|non attivo
        esgotado|esgotada|fora de estoque|sem estoque|sem stock|indisponível|não disponível|rascunho|não|inativo
        temporariamente esgotado|temporariamente indisponível|privado|pendente|oculto|excluído|arquivado
        descontinuado
        não publicado|desativado|fora de stock|fora de linha|produto esgotado|produto indisponível|lixeira
        uitverkocht|niet op voorraad|niet beschikbaar|niet leverbaar|niet voorradig|tijdelijk uitverkocht|nee
        inactief
        tijdelijk niet leverbaar|tijdelijk niet op voorraad|tijdelijk niet beschikbaar|concept|privé|in afwachting
        verborgen|verwijderd|gearchiveerd|uit assortiment|niet meer leverbaar|niet gepubliceerd|uitgeschakeld
        momenteel niet beschikbaar|momenteel niet leverbaar|verkocht|onwaar|gereserveerd|prullenbak
        brak w magazynie|brak|brak na stanie|brak towaru|niedostępny|niedostępna|niedostępne|wyprzedany|wyprzedane
        nie
        wyprzedana|wyprzedano|chwilowo niedostępny|chwilowo brak|tymczasowo niedostępny|szkic|prywatny|oczekujący
        ukryty|usunięty|zarchiwizowany|wycofany|wycofany ze sprzedaży|nieaktywny|nieopublikowany|wyłączony
        niewidoczny
        produkt niedostępny|nie ma|niedostępny w magazynie|fałsz|sprzedany|zarezerwowany|kosz
        нет в наличии|нет на складе|отсутствует|распродано|распродан|продано|закончился|закончилось|закончились
        нет
        недоступен|недоступно|временно отсутствует|временно нет в наличии|снят с производства|снято с производства
        нет в продаже|черновик|личное|приватный|на утверждении|скрыт|скрыто|скрытый|удален|удалён|в архиве|архив
        не опубликован|не опубликовано|неактивен|неактивный|отключен|отключён|ложь|снят с продажи|ожидается
        немає в наявності|немає|відсутній|закінчився|розпродано|недоступний|знято з виробництва|чернетка
        прихований|ні
        slut i lager|slutsåld|slutsålt|tillfälligt slut|ej i lager|finns ej i lager|inte i lager|ej tillgänglig
        utgått
        inte tillgänglig|slut|utgången|utkast|privat|väntande|dold|borttagen|arkiverad|inaktiv|nej|falskt
        opublicerad
        ikke på lager|udsolgt|utsolgt|ikke tilgængelig|ikke tilgjengelig|udgået|utgått|kladde|nei
        midlertidigt udsolgt
        vyprodáno|vyprodané|není skladem|nie je skladom|není na skladě|nedostupné|nedostupný|nedostupná|vypredané
        momentálně nedostupné|momentálne nedostupné|nedostupné skladem|koncept|soukromé|čekající|skryté|smazané
        archivováno|ukončeno|prodej ukončen|výroba ukončena|neaktivní|nepublikováno|ne|nie|není k dispozici
        nepravda
        stokta yok|yok|tükendi|stok yok|stoklar tükendi|mevcut değil|satışta değil|tükenmiş|geçici olarak tükendi
        taslak
        özel|beklemede|gizli|silindi|arşivlendi|üretimi durduruldu|pasif|yayında değil|hayır|yanlış|satıldı
        stok tükendi
        nincs raktáron|nincs készleten|elfogyott|nem elérhető|nem kapható|kifutott|nem rendelhető|nem|inaktív
        nincs
        stoc epuizat|epuizat|indisponibil|nu este în stoc|fără stoc|nu|inactiv|lipsă stoc|nu este disponibil
        loppu|loppunut|ei varastossa|ei saatavilla|loppuunmyyty|poistunut|tilapäisesti loppu|luonnos|ei
        няма в наличност|изчерпан|изчерпано|не е наличен|няма|неналичен
        nema na zalihi|rasprodano|nedostupno|ni na zalogi|razprodano|nije dostupno|nema na stanju|rasprodato
        εξαντλήθηκε|εξαντλημένο|μη διαθέσιμο|όχι|εκτός αποθέματος
        išparduota|nėra|nėra sandėlyje|nav noliktavā|izpārdots|nav pieejams|otsas|laost otsas|pole laos
        läbi müüdud
        在庫なし|在庫無し|在庫無|売り切れ|売切れ|売切|完売|品切れ|品切|販売終了|販売停止|取り扱い終了|生産終了
        一時的に在庫切れ|在庫切れ|欠品|入荷待ち|非公開|下書き
        无货|无库存|無庫存|缺货|缺貨|售罄|已售罄|售完|已售完|断货|補貨中|缺货登记|下架|已下架|停产|停售|품절
        일시품절|재고 없음|재고없음|판매중지|입고예정|단종|없음
        hết hàng|ngừng kinh doanh|tạm hết hàng|stok habis|habis|tidak tersedia|สินค้าหมด|หมด|ของหมด
        غير متوفر|نفذت الكمية|نفد من المخزون|غير متاح|لا|אזל|אזל מהמלאי|לא במלאי|לא זמין|अनुपलब्ध|स्टॉक में नहीं""",
    PREORDER: """
        preorder|pre order|preorders|available for preorder|available for pre order|presale|pre sale|pre release
        preorder now|on preorder|preorderable|advance order
        vorbestellbar|vorbestellung|vorverkauf|jetzt vorbestellen|vorbestellen
        précommande|en précommande|pré commande|prévente|disponible en précommande|preventa|pre venta|preventas
        en preventa|preordine|in preordine|prenotabile|prenotazione|prevendita|in prevendita|pré venda
        em pré venda
        encomenda antecipada|pré encomenda|voorbestellen|voorbestelling|voorverkoop|przedsprzedaż
        zamówienie przedpremierowe
        предзаказ|под предзаказ|передзамовлення|förbeställ|förbeställning|förhandsbokning|forudbestil
        forudbestilling
        forhåndsbestill|forhåndsbestilling|předobjednávka|predobjednávka|předprodej|ön sipariş|önsipariş|ön satış
        előrendelés|előrendelhető|precomandă|ennakkotilaus|ennakkotilattavissa|предварителна поръчка|prednarudžba
        prednaročilo|προπαραγγελία|予約|予約受付中|予約販売|予約商品|预售|預售|预订|預訂|预购|預購|예약판매
        예약 판매|예약구매
        đặt trước|طلب مسبق|הזמנה מראש""",
    BACKORDER: """
        backorder|back order|backorders|on backorder|on back order|onbackorder|backordered|back ordered
        backorderable
        available on backorder|available on back order|available for backorder|on order|on demand
        may be backordered
        available to order|can be backordered|to order|by order|stock on order|available from supplier
        lieferrückstand|nachbestellung|nachbestellt|nachlieferung|im rückstand|auf bestellung
        lieferbar auf bestellung
        auf nachbestellung verfügbar|in nachbestellung|wird nachbestellt
        sur commande|en réapprovisionnement|en cours de réapprovisionnement|réapprovisionnement en cours
        en commande
        disponible sur commande|bajo pedido|por encargo|pedido pendiente|pendiente de recibir|reserva de stock
        se puede reservar|disponible para reserva
        en reserva|reserva|disponible bajo pedido|su ordinazione|su richiesta|ordinabile
        disponibile su ordinazione|sob encomenda|sob pedido|por encomenda|em encomenda|disponível por encomenda
        op bestelling|in bestelling|nabestelling|in backorder|nabestellen|op nabestelling|in nabestelling
        na zamówienie|zamówienie oczekujące|na zamówienie u dostawcy|под заказ|предварительный заказ|на заказ
        під замовлення
        beställningsvara|restnoterad|på väg in|bestillingsvare|restordre|i restordre|på restordre|na objednávku
        na dotaz|na objednání|do týdne|sipariş üzerine|tedarik sürecinde|rendelésre|la comandă
        disponibil la comandă
        tilaustuote|jälkitoimitus|по поръчка|po narudžbi|po naročilu|κατόπιν παραγγελίας|取り寄せ|お取り寄せ
        取寄せ
        可预订|接受预订|可延期交货|주문제작|đặt hàng""",
}
_SCHEMA_ORG = re.compile(r"^(?:https?://)?(?:www\.)?schema\.org/|^schema:", re.IGNORECASE)
_QUANTITY = re.compile(r"[<>~≥≤+]?\s*([-+−]?\d+(?:[.,]\d+)?)\s*\+?")
_NUMBER_IN = re.compile(r"(?<![\w.,])([<>~]?\s*-?\d+)(?![\w.,])\+?")
# What may stand beside a quantity, such as "5 in stock" and "only 3 left".
_COUNTED = """
    in stock left only just more than over available pcs pieces piece units unit items item inventory quantity qty
    ready auf lager nur noch stück verfügbar mehr als en plus que disponible disponibles il reste unidades quedan
    disponibili disponibile disponíveis em estoque op voorraad nog stuks na stanie szt sztuk magazynie шт штук в
    наличии на складе осталось i st kvar adet stokta skladem ks kusů s poslední raktáron db buc în stoc kom kpl
"""
_MISSING = frozenset({"", "null", "nan"})


def _key(text: str) -> str:
    """Return the letters and digits of a text without case and accents, such as "outofstock" of "Out-of-Stock"."""
    plain = unicodedata.normalize("NFKD", text.replace("ı", "i").replace("ł", "l").replace("Ł", "l")).casefold()
    return "".join(character for character in plain if character.isalnum())


_VALUE_OF = {
    _key(word): value for value, words in _WORDS.items() for line in words.split("\n") for word in line.split("|")
} | {_key(value): value for value in AVAILABILITIES}
del _VALUE_OF[""]
_COUNTED_KEYS = frozenset({"", *map(_key, _COUNTED.split())})


@lru_cache(4096)
def canonical_availability(text: str) -> str | None:
    """Return "in_stock", "out_of_stock", "preorder" or "backorder" for a shop's word; None for an unknown one.

    Words of many languages in any spelling, schema.org's names and URLs, enums, yes and no, states such as
    "draft", and quantities, of which 0 or less is out of stock. Missing ("", "null", "nan") is "".

    >>> canonical_availability("http://schema.org/SoldOut"), canonical_availability("5")
    ('out_of_stock', 'in_stock')
    """
    word = _SCHEMA_ORG.sub("", text.strip()).strip()
    if word.casefold() in _MISSING:
        return ""
    if match := _QUANTITY.fullmatch(word):
        return _of_quantity(match[1])
    known = _VALUE_OF.get(_key(word)) or _VALUE_OF.get(
        _key(word.rpartition(".")[2])
    )  # an enum, such as Stock.IN_STOCK
    return known or _counted(word)


def _of_quantity(number: str) -> str:
    return IN_STOCK if float(number.replace(",", ".").replace("−", "-")) > 0 else OUT_OF_STOCK


def _counted(text: str) -> str | None:
    """Return the availability of a text with one quantity, such as "only 3 left" and "Out of stock (0)"."""
    numbers = _NUMBER_IN.findall(text)
    if len(numbers) != 1:
        return None
    rest, quantity = _NUMBER_IN.sub(" ", text), _of_quantity(numbers[0].strip("<>~ "))
    if {_key(word) for word in rest.split()} <= _COUNTED_KEYS:
        return quantity
    known = _VALUE_OF.get(_key(rest))
    return quantity if known == IN_STOCK else known


class AvailabilityWords:
    """The known words of availability, and those that a shop has taught.

    Parameters
    ----------
    taught
        The shop's own words to Google Merchant's values; they come before all others, in any spelling.
    """

    def __init__(self, taught: Mapping[str, str] | None = None) -> None:
        self._taught = {_key(word) or word: value for word, value in (taught or {}).items()}

    def canonical(self, text: str) -> str | None:
        """See `canonical_availability`."""
        return self._taught.get(_key(text) or text) or canonical_availability(text)
