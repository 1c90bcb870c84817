"""The shop's TOML: where its files lie, what their columns mean, and how to learn from them."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from recommender.errors import ConfigError, nearest
from recommender.events import EVENT_WEIGHTS

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


class ConfigSection(BaseModel):
    """A table of the TOML; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CatalogConfig(ConfigSection):
    """The products: a file, and which of its columns is what.

    `id` to `published_at` name a column of the file, or are a template over columns such as
    ``"{article_id}.jpg"``; left out, the column of that very name is taken where there is one. The names are
    those of Google Merchant's product data.

    Attributes
    ----------
    path
        CSV, Parquet, JSON Lines or XML.
    format
        Of which shop system the file is an export, see `recommender.catalog.formats`; left out, of none. The
        columns then bear the standard names, and the mapping starts from those.
    images
        Folder or zip that `image_link` is relative to; without it, the data folder. Links that begin with
        ``http://`` or ``https://`` are downloaded.
    attributes
        Further columns that can be filtered on; left out, every other one.
    learn
        Columns (by these names) that the category block learns from; left out, those whose values are shared
        by two products or more on average, and the price.
    separators
        What parts the values of a multi-valued column of the file, such as ``{categories = "|"}``.
    levels
        What parts the levels of a hierarchical value, such as ``{categories = "/"}``, where it is not " > ".
    text
        Template of what the text encoder reads, such as ``"{title}. {material}"``; left out, title and
        description.
    """

    path: Path
    format: Literal["google_merchant", "shopify", "woocommerce"] | None = None
    id: str = "id"
    title: str | None = None
    description: str | None = None
    image_link: str | None = Field(None, validation_alias=AliasChoices("image_link", "image"))
    product_type: str | None = None
    brand: str | None = None
    price: str | None = None
    availability: str | None = None
    item_group_id: str | None = None
    color: str | None = None
    size: str | None = None
    gender: str | None = None
    age_group: str | None = None
    material: str | None = None
    pattern: str | None = None
    published_at: str | None = None
    images: Path | None = None
    attributes: list[str] | None = None
    learn: list[str] | None = None
    separators: dict[str, Annotated[str, Field(min_length=1)]] = {}
    levels: dict[str, Annotated[str, Field(min_length=1)]] = {}
    text: str | None = None


class EventsConfig(ConfigSection):
    """The events: a file, and which of its columns is what.

    Attributes
    ----------
    path
        CSV, Parquet or JSON Lines.
    format
        Of which tracker the file is an export, see `recommender.catalog.formats`; left out, of none.
    event_name
        A column, or else one name that all events have, such as ``"purchase"``.
    value, quantity, price
        Columns that may be missing.
    weights
        How much an event of each name says; over `recommender.events.EVENT_WEIGHTS`. A name that is new here is
        a new kind of event.
    """

    path: Path
    format: Literal["ga4", "personalize"] | None = None
    user_id: str = "user_id"
    item_id: str = "item_id"
    event_name: str = "event_name"
    timestamp: str = "timestamp"
    value: str = "value"
    quantity: str = "quantity"
    price: str = "price"
    weights: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}

    def all_weights(self) -> dict[str, float]:
        """Return the weight of every event name, the defaults under the shop's own."""
        return EVENT_WEIGHTS | self.weights


class EncoderChoice(ConfigSection):
    """One encoder and its options; an encoder refuses those that mean nothing to it.

    Attributes
    ----------
    name
        A module of `recommender/encoders/`, or "auto": real CLIP weights where they can be had, else offline.
    model
        What the library or provider calls it (for open_clip and transformers also ``hf-hub:...`` or a folder);
        ``local-dir:FOLDER`` for an encoder that an earlier fit has trained.
    pretrained
        For open_clip: the tag of the weights.
    checkpoint
        A local file of weights, or of vectors that are there already.
    pooling
        For transformers: how the vectors of a text's tokens become one; left out, as the model says.
    prompt, query_prompt
        For transformers: what is put before a product's text, and before a question; left out, as the model
        says.
    dimensions
        For hosted and trained encoders: length of the vectors.
    base_url
        For hosted ones: where the provider, or what speaks its language, answers.
    batch_size
        Images or texts at once.
    """

    name: str = "auto"
    model: str | None = None
    pretrained: str | None = None
    checkpoint: Path | None = None
    pooling: Literal["mean", "last", "first"] | None = None
    prompt: str | None = None
    query_prompt: str | None = None
    dimensions: Count | None = None
    base_url: str | None = None
    batch_size: Count = 32


class EncoderConfig(EncoderChoice):
    """What turns texts and photos into vectors.

    Attributes
    ----------
    text, image
        Another encoder for this modality alone.
    """

    text: EncoderChoice | None = None
    image: EncoderChoice | None = None


Choice = TypeVar("Choice", bound=EncoderChoice | None)


class IndexConfig(ConfigSection):
    """How candidates are found.

    Attributes
    ----------
    trees
        Of Annoy: more are more exact and larger.
    recall_target, recall_floor
        The search budget is raised until recall@k reaches the target; a bundle under the floor is not published.
    """

    trees: Count = 16
    recall_target: Share = 0.95
    recall_floor: Share = 0.90


class ClipConfig(ConfigSection):
    """How `training.encoders.finetune` fine-tunes an open_clip model on the catalogue's own texts and photos.

    Attributes
    ----------
    locked
        The tower that stays as it is, "image" (LiT), "text" or "none"; its vectors are computed once.
    batch_size
        Pairs that are contrasted with each other; no more than the encoder's `batch_size` are in memory at once.
    epochs, patience
        At most so many passes; fewer if held-out retrieval has not improved for `patience` of them.
    learning_rate
        Its peak.
    """

    locked: Literal["image", "text", "none"] = "image"
    batch_size: Annotated[int, Field(ge=2)] = 256
    epochs: Count = 10
    patience: Count = 3
    learning_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 1e-5


class TrainConfig(ConfigSection):
    """How to learn.

    Attributes
    ----------
    seed
        Of everything drawn at random.
    clip
        Given, if only as an empty table, the encoder is fine-tuned first.
    """

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    clip: ClipConfig | None = None


class Config(ConfigSection):
    """All that a fit needs to know.

    Attributes
    ----------
    data_dir
        The folder that relative paths start from. It is not part of what a bundle records.
    """

    catalog: CatalogConfig
    events: EventsConfig | None = None
    encoder: EncoderConfig = EncoderConfig()
    index: IndexConfig = IndexConfig()
    train: TrainConfig = TrainConfig()
    data_dir: Path = Field(Path(), exclude=True)

    @classmethod
    def load(cls, path: Path | str, data_dir: Path | str | None = None) -> Self:
        """Read a TOML file.

        Parameters
        ----------
        path
            The file.
        data_dir
            Where its relative paths start; its own folder by default.

        Raises
        ------
        ConfigError
            If it cannot be read, is no TOML, or has an unknown key or a wrong value.
        """
        path = Path(path)
        try:
            found = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{path} is not TOML in UTF-8: {error}") from error
        if "data_dir" in found:
            raise ConfigError(f"{path}: unknown key 'data_dir'; paths start where --data says")
        return cls._checked(found, Path(path.parent if data_dir is None else data_dir), path.name)

    @classmethod
    def from_files(
        cls, catalog: Path | str, images: Path | str | None = None, events: Path | str | None = None
    ) -> Self:
        """Take files whose columns bear the standard names; relative paths start here."""
        tables: dict[str, Any] = {"catalog": {"path": catalog, "images": images}}
        if events is not None:
            tables["events"] = {"path": events}
        return cls.from_mapping(tables)

    @classmethod
    def from_mapping(cls, tables: Mapping[str, Any]) -> Self:
        """Take what a TOML would hold, such as ``{"catalog": {"path": "p.csv"}}``; relative paths start here."""
        return cls._checked(dict(tables), Path(), "config")

    @classmethod
    def _checked(cls, found: dict[str, Any], data_dir: Path, name: str) -> Self:
        try:
            return cls.model_validate({**found, "data_dir": data_dir})
        except ValidationError as error:
            problems = [_problem(dict(each), cls) for each in error.errors()]
            raise ConfigError(f"{name}: {'; '.join(problems)}") from None

    def resolve(self, path: Path) -> Path:
        """Return where a path of this config lies."""
        return self.data_dir / path.expanduser()

    def with_encoder_files(self) -> Self:
        """Return the config with the encoders' files where they lie, so that a bundle finds them again."""
        encoder = self._placed(self.encoder)
        own = {modality: self._placed(getattr(encoder, modality)) for modality in ("text", "image")}
        return self.model_copy(update={"encoder": encoder.model_copy(update=own)})

    def _placed(self, choice: Choice) -> Choice:
        if choice is None or choice.checkpoint is None:
            return choice
        return choice.model_copy(update={"checkpoint": self.resolve(choice.checkpoint)})

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the data folder as JSON would have it."""
        return self.model_dump(mode="json")


def _problem(error: dict[str, Any], model: type[BaseModel]) -> str:
    """Say what pydantic found wrong, where, and the nearest known key."""
    *tables, key = (str(part) for part in error["loc"])
    place = f"[{'.'.join(tables)}] " if tables else ""
    if error["type"] == "missing":
        return f"{place}{key} is missing"
    if error["type"] != "extra_forbidden":
        return f"{place}{key} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
    guess = nearest(key, _keys(model, tables))
    return f"{place}unknown key {key!r}" + (f"; did you mean {guess!r}?" if guess else "")


def _keys(model: type[BaseModel], tables: list[str]) -> list[str]:
    """Return the keys that a table may have."""
    for table in tables:
        kinds = [
            model.model_fields[table].annotation,
            *getattr(model.model_fields[table].annotation, "__args__", ()),
        ]
        model = next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel))
    aliases = ["image"] if model is CatalogConfig else []
    return [name for name in model.model_fields if name != "data_dir"] + aliases
