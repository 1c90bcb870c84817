"""Words of any language for TF-IDF, Word2Vec and the LSTM, and search for words that an encoder does not know."""

import os
import shutil
import unicodedata
from multiprocessing import get_context
from pathlib import Path
from time import sleep

import numpy as np
import pandas as pd
import pytest
from encoder_configs import TEXTS, trained
from hypothesis import given
from hypothesis import strategies as st

import recommender
from recommender import Recommender
from recommender.config import EncoderConfig
from recommender.encoders import create
from recommender.encoders.support.tokens import RelatedWords, Tokenizer
from recommender.search.tokens import fold, tokens_of, words_of
from serving.app import create_app
from serving.query_encoder import run
from serving.service import KEY
from serving.settings import Settings

TRAINED = ("tfidf", "word2vec", "lstm")


@pytest.mark.parametrize(
    "spellings",
    [
        ("İSTANBUL", "istanbul", "ıstanbul", "Istanbul", "I\u0307stanbul"),
        ("IŞIK", "ışık", "isik"),
        ("café", "cafe\u0301", "CAFE"),
        ("Straße", "STRASSE"),
        ("ＩＰＨＯＮＥ", "iPhone"),
        ("ﾏｸﾞｶｯﾌﾟ", "マグカップ"),
        ("قَهْوَة", "قهوة", "قهوه", "قهـوة"),
        ("می\u200cخواهم", "ميخواهم"),
        ("१२३", "١٢٣", "123"),
        ("soft\u00adware", "software"),
        ("Nike™", "nike"),
        ("Łódź", "lodz"),
    ],
)
def test_spellings_of_one_word_are_one_word(spellings: tuple[str, ...]) -> None:
    assert len({tuple(tokens_of(spelling)) for spelling in spellings}) == 1


@pytest.mark.parametrize("word", ["हिन्दी", "कुर्ता", "தமிழ்", "ভাত", "മലയാളം", "עברית", "ქართული", "Հայերեն"])
def test_combining_marks_do_not_split_a_word(word: str) -> None:
    assert len(tokens_of(word)) == 1
    assert len(tokens_of(f"{word}, {word} x")) == 3


def test_different_vowel_signs_are_different_words() -> None:
    assert tokens_of("की") != tokens_of("का")


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("马克杯", "家用红色马克杯大号"),
        ("红", "红色台灯"),
        ("マグカップ", "赤いマグカップ大"),
        ("원피스", "여성원피스"),
        ("กาแฟ", "เครื่องชงกาแฟสด"),
        ("ກາເຟ", "ເຄື່ອງກາເຟສົດ"),
        ("កាហ្វេ", "ម៉ាស៊ីនកាហ្វេថ្មី"),
        ("24 V", "Ladegerät 24V"),
        ("iPhone15", "iPhone-15 case"),
        ("iPhone 15", "iPhone15"),
        ("tshirt", "red T-Shirt"),
        ("t shirt", "T-shirt"),
        ("手机壳", "iPhone15手机壳"),
    ],
)
def test_a_word_is_found_inside_a_text(word: str, text: str) -> None:
    assert set(tokens_of(word)) <= set(tokens_of(text))


def test_codes_of_many_parts_stay_whole() -> None:
    assert tokens_of("M4x20 B2B") == ["m4x20", "b2b"]


@given(st.text())
def test_any_text_has_tokens_that_do_not_depend_on_its_unicode_form(text: str) -> None:
    assert tokens_of(text)
    assert tokens_of(text) == [token for _, tokens in words_of(text) for token in tokens]
    if any(character.isalnum() for character in fold(text)):
        assert tokens_of(unicodedata.normalize("NFD", text)) == tokens_of(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize("name", TRAINED)
def test_chinese_titles_that_share_a_word_are_similar(name: str, tmp_path: Path) -> None:
    colours, nouns = ["红色", "蓝色", "绿色", "黑色", "白色"], ["马克杯", "台灯", "围巾", "椅子"]
    texts = [f"家用{colour}{noun}{size}号" for colour in colours for noun in nouns for size in "大小中"]
    vectors = trained(name, tmp_path, texts)[0].encode_texts(texts)
    near = np.argsort(-(vectors @ vectors.T), axis=1, kind="stable")[:, 1:6]
    shares = [
        any(part in texts[row] and part in texts[other] for part in colours + nouns)
        for row, others in enumerate(near)
        for other in others
    ]
    assert np.mean(shares) > 0.9  # by chance 0.39


@pytest.mark.parametrize("name", TRAINED)
def test_known_and_unknown_words(name: str, tmp_path: Path) -> None:
    encoder = trained(name, tmp_path)[0]
    assert encoder.known_words("a Red DRESS") == (["a", "red", "dress"], [])
    assert encoder.known_words("red kettlebell") == (["red"], ["kettlebell"])
    assert encoder.known_words("红色 zzzqqq") == ([], ["红色", "zzzqqq"])


def test_a_word_that_occurs_once_is_known_to_the_lstm(tmp_path: Path) -> None:
    encoder = trained("lstm", tmp_path, [*TEXTS, "a unicorn"])[0]
    assert encoder.known_words("unicorn minotaur") == (["unicorn"], ["minotaur"])


def test_words_of_a_script_that_minilm_lacks_are_unknown() -> None:
    for name in ("offline", "transformers"):
        encoder = create(EncoderConfig(name=name))
        assert encoder.known_words("red กาแฟ") == (["red"], ["กาแฟ"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", TRAINED)
def test_a_model_of_an_older_version_has_its_own_words(name: str, tmp_path: Path) -> None:
    encoder, folder = trained(name, tmp_path / "new", ["Crème", *TEXTS])
    assert folder is not None
    old = shutil.copytree(folder, tmp_path / "old")
    (old / "tokenizer.json").unlink()
    older = create(EncoderConfig(name=name, model=f"local-dir:{old}"))
    assert older.fingerprint != encoder.fingerprint
    assert encoder.known_words("T-shirt crème") == (["creme"], ["t-shirt"])
    assert older.known_words("T-shirt crème") == ([], ["t", "shirt", "crème"])  # type: ignore[attr-defined]
    np.testing.assert_array_equal(older.encode_texts(["red dress"]), encoder.encode_texts(["red dress"]))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    products = pd.DataFrame({"id": [f"p{row:02}" for row in range(len(TEXTS))], "title": TEXTS})
    products["price"] = np.arange(len(TEXTS))
    recommender.fit(products, encoder="tfidf", out=folder / "bundles", cache=folder / "cache")
    return folder / "bundles"


@pytest.fixture(scope="module")
def rec(bundles: Path) -> Recommender:
    return recommender.load(bundles)


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("zzzqqq Kettlebell", "no word of the text is known: zzzqqq, kettlebell"),
        ("红色马克杯", "no word of the text is known: 红色马克杯"),
        (" \n", r"the text ' \n' has no word"),
        ("?!", "the text '?!' has no word"),
    ],
)
def test_a_query_without_a_known_word_says_so(rec: Recommender, text: str, warning: str) -> None:
    found = rec.search(text, k=3, filter="price > 20")
    assert warning in found.warnings
    assert (found.strategy, found.item_ids) == ("search", [])
    popular = rec.recommend(strategy="popular", k=3, filter="price > 20")
    (other,) = found.alternatives
    assert "no product matches" in other.reason
    assert [item.item_id for item in other.items] == popular.item_ids


def test_unknown_words_beside_known_ones_are_named(rec: Recommender) -> None:
    found = rec.search("red kettlebell", k=12)
    assert "unknown words ignored: kettlebell" in found.warnings
    assert found.strategy == "search"
    assert found.item_ids == rec.search("red", k=12).item_ids
    assert all("red" in str(rec.product(item_id)["title"]) for item_id in found.item_ids)
    assert not any("unknown" in warning for warning in rec.search("red dress").warnings)


def test_an_unknown_query_beside_a_history_offers_what_the_history_says(rec: Recommender) -> None:
    request = recommender.Request(text="zzzqqq", history=["p00"], exclude_history=False, k=4)
    found = rec.run(request)
    assert "no word of the text is known: zzzqqq" in found.warnings
    assert (found.strategy, found.item_ids) == ("search", [])
    other = found.alternatives[0]
    assert "recommended for the user" in other.reason
    assert [item.item_id for item in other.items] == rec.recommend(["p00"], k=4).item_ids


def test_the_service_names_unknown_words(bundles: Path, tmp_path: Path) -> None:
    socket = tmp_path / "encoder"
    process = get_context("spawn").Process(target=run, args=(bundles, socket, os.getpid()), daemon=True)
    process.start()
    app = create_app(bundles, Settings(store=f"sqlite:///{tmp_path}/store.db"), encoder=socket, watch_seconds=None)
    try:
        for _ in range(300):
            if socket.exists():
                break
            sleep(0.1)
        client = app.test_client()
        unknown = client.post("/v1/search", json={"text": "zzzqqq"}).json
        assert (unknown["strategy"], unknown["items"]) == ("search", [])
        assert unknown["alternatives"]
        assert "no word of the text is known: zzzqqq" in unknown["warnings"]
        partly = client.post("/v1/search", json={"text": "green kettlebell"}).json
        assert (partly["strategy"], partly["fallback_used"]) == ("search", None)
        assert "unknown words ignored: kettlebell" in partly["warnings"]
    finally:
        app.extensions[KEY].close()
        process.terminate()
        process.join()


@pytest.mark.parametrize(
    ("compound", "parts"),
    [
        ("Kaffeemaschine", ["kaffee", "maschine"]),
        ("Arbeitshose", ["arbeit", "hose"]),
        ("Damesschoenen", ["dames", "schoenen"]),
        ("Kinderfahrrad", ["kinder", "fahrrad"]),
        ("Lederjacka", []),  # one part alone is known
        ("Rothose", []),  # "rot" is too short to be sure of
    ],
)
def test_compounds_of_known_words_are_split(compound: str, parts: list[str]) -> None:
    known = {"kaffee", "maschine", "arbeit", "hose", "dames", "schoenen", "kinder", "fahrrad", "leder", "rot"}
    tokenizer = Tokenizer(known)
    assert tokenizer.tokens(f"ein {compound}") == ["ein", compound.lower(), *parts]
    assert tokenizer.words(compound) == [(compound.lower(), [compound.lower(), *parts])]


@pytest.mark.parametrize("name", TRAINED)
def test_a_compound_is_known_by_its_words(name: str, tmp_path: Path) -> None:
    nouns, kinds = ["Jacke", "Hose", "Tasche", "Schuh"], ["Leder", "Sport", "Kinder", "Damen"]
    texts = [f"{kind} {noun} {number}" for kind in kinds for noun in nouns for number in range(3)]
    encoder = trained(name, tmp_path, texts)[0]
    assert encoder.known_words("Lederjacke Regenschirm") == (["lederjacke"], ["regenschirm"])
    (query,) = encoder.encode_texts(["Lederjacke"])
    order = [texts[row] for row in np.argsort(-encoder.encode_texts(texts) @ query)[:3]]
    assert all("Leder Jacke" in text for text in order) or name == "lstm"


COMPOUNDS = st.lists(st.sampled_from(["a", "schuh", "damen", "hose", "abab"]), max_size=3).map("".join)


@given(st.lists(COMPOUNDS, unique=True), COMPOUNDS)
def test_related_words_begin_with_a_token_or_are_compounds_that_end_with_it(words: list[str], token: str) -> None:
    begun = {word for word in words if word.startswith(token)} if len(token) >= 4 else set()
    ended = {word for word in words if word.endswith(token) and len(word) >= len(token) + 4 and len(token) > 4}
    related = RelatedWords(words).of(token)
    assert set(related) == begun | ended
    assert len(related) == len(set(related))


@pytest.mark.parametrize("name", ["tfidf", "word2vec"])
def test_a_query_may_be_a_part_of_a_word(name: str, tmp_path: Path) -> None:
    words = [who + what for who in ("Damen", "Herren", "Kinder") for what in ("schuhe", "hose", "jacke")]
    texts = [f"{word} {number}" for word in words for number in range(3)]
    encoder = trained(name, tmp_path, texts)[0]
    query = encoder.for_queries()  # type: ignore[attr-defined]
    assert query.fingerprint == encoder.fingerprint
    assert encoder.known_words("Schuhe") == ([], ["schuhe"])  # a product's word is not guessed at
    assert query.known_words("Schuhe Damen hos Lampe") == (["schuhe", "damen"], ["hos", "lampe"])
    for text, part in (("Schuhe", "schuhe"), ("Damen", "Damen")):
        order = [texts[row] for row in np.argsort(-encoder.encode_texts(texts) @ query.encode_texts([text])[0])]
        assert all(part in found for found in order[:9])
