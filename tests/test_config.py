import json
from pathlib import Path

import pytest

from recommender.config import CatalogConfig, Config, EventsConfig
from recommender.errors import ConfigError
from recommender.events import EVENT_WEIGHTS

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.toml"))


def load(tmp_path, text, **kwargs):
    path = tmp_path / "shop.toml"
    path.write_text(text, encoding="utf-8")
    return Config.load(path, **kwargs)


def test_relative_paths_start_at_the_file_or_where_data_says(tmp_path):
    text = '[catalog]\npath = "products.csv"\n'
    config = load(tmp_path, text)
    assert config.resolve(config.catalog.path) == tmp_path / "products.csv"
    elsewhere = load(tmp_path, text, data_dir="/elsewhere")
    assert str(elsewhere.resolve(elsewhere.catalog.path)) == "/elsewhere/products.csv"
    assert str(elsewhere.resolve(elsewhere.data_dir / "/absolute.csv")) == "/absolute.csv"


def test_image_is_another_name_of_image_link(tmp_path):
    config = load(tmp_path, '[catalog]\npath = "p.csv"\nimage = "{id}.jpg"\n')
    assert config.catalog.image_link == "{id}.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('titel = "name"', "shop.toml: [catalog] unknown key 'titel'; did you mean 'title'?"),
        ('imagee = "a"', "[catalog] unknown key 'imagee'; did you mean 'image'?"),
        ("price = 3", "[catalog] price = 3: input should be a valid string"),
        ('[events]\npath = "e"\nuserid = "u"', "[events] unknown key 'userid'; did you mean 'user_id'?"),
        ("[events]", "[events] path is missing"),
        ("[index]\nrecall_target = 3", "[index] recall_target = 3: input should be less than"),
        ("[index]\ntrees = 0", "[index] trees = 0: input should be greater than"),
        ('[catalog.separators]\na = ""', "[catalog.separators] a = ''"),
        ("[encoders]", "unknown key 'encoders'; did you mean 'encoder'?"),
        ("id =", "shop.toml is not TOML in UTF-8"),
    ],
)
def test_a_wrong_config_names_the_key_and_the_nearest(tmp_path, text, message):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, f'[catalog]\npath = "p.csv"\n{text}\n')
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[catalog]\ntitle = "name"', "[catalog] path is missing"),
        ('[catalogue]\npath = "p.csv"', "unknown key 'catalogue'; did you mean 'catalog'?"),
        ('data_dir = "x"\n[catalog]\npath = "p.csv"', "unknown key 'data_dir'; paths start where --data says"),
    ],
)
def test_a_wrong_structure(tmp_path, text, message):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text)
    assert message in str(error.value)


def test_several_problems_are_reported_at_once(tmp_path):
    with pytest.raises(ConfigError, match=r"'titel'.*; .*'pric'"):
        load(tmp_path, '[catalog]\npath = "p.csv"\ntitel = "a"\npric = "b"\n')


def test_a_missing_config(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.toml cannot be read: No such file"):
        Config.load(tmp_path / "no.toml")


def test_a_bundle_records_its_config_without_data_paths(tmp_path):
    text = '[catalog]\npath = "p.csv"\nimage = "{id}.jpg"\nseparators = {a = "|"}\n[events]\npath = "e.csv"\n'
    config = load(tmp_path, text)
    recorded = json.loads(json.dumps(config.to_dict()))
    assert Config.model_validate({**recorded, "data_dir": tmp_path}) == config
    assert str(tmp_path) not in json.dumps(recorded)


def test_custom_weights_override_the_defaults():
    config = EventsConfig(path="e.csv", weights={"purchase": 9, "tasted": 2})
    assert config.all_weights() == EVENT_WEIGHTS | {"purchase": 9.0, "tasted": 2.0}


def test_from_files(tmp_path):
    config = Config.from_files(tmp_path / "p.csv", events="e.csv")
    assert config.catalog == CatalogConfig(path=tmp_path / "p.csv")
    assert config.events == EventsConfig(path="e.csv")
    assert Config.from_files("p.csv").events is None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_configs_with_files_in_the_data_folder(path):
    config = Config.load(path, data_dir="data")
    named = [config.catalog.path, config.catalog.images, config.events.path if config.events else None]
    assert all(each.parts[0] == path.stem for each in named if each is not None)
