"""Settings of the service: a TOML file, overridden by environment variables `RECOMMENDER_…`."""

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
)

from recommender.errors import ConfigError, nearest
from serving.schemas.base import members
from serving.schemas.placements import Collection, Placement, Slug, check_members, start_of_day

Scope = Literal["public", "server", "admin"]
FIXED = ("limit", "explain", "filter", "weights", "fields")
Origin = Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]


class Section(BaseModel):
    """A table of the TOML; unknown entries are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Key(Section):
    """An API key, known by its hash alone: `recommender key` makes one.

    Attributes
    ----------
    scopes
        What it may be used for.
    expires
        The moment from which it is refused; a day begins at midnight UTC.
    origins
        Origins of web pages, such as ``https://shop.example``, that may use it; by default any, and other programs
        than browsers.
    rate
        Mean rate limit in the place of the service's, with as many requests in a burst.
    fixed
        Members of every request for recommendations, searches and explanations: limit, explain, fields and weights
        override the request's, and filter applies beside the request's.
    markets
        Markets that it may be used for; by default all, and the service's own shop.
    """

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...] = ("public",)
    expires: Annotated[AwareDatetime, BeforeValidator(start_of_day)] | None = None
    origins: tuple[Origin, ...] = ()
    rate: Annotated[float, Field(gt=0)] | None = None
    fixed: dict[str, Any] = {}
    markets: tuple[Slug, ...] = ()

    @property
    def is_expired(self) -> bool:
        """Whether it is refused by now."""
        return self.expires is not None and self.expires <= datetime.now(UTC)

    def is_for(self, market: str) -> bool:
        """Return whether it may be used for a market; empty is the service's own shop."""
        return not self.markets or market in self.markets

    @model_validator(mode="after")
    def _readable(self) -> Self:
        if unknown := [name for name in self.fixed if name not in FIXED]:
            raise ValueError(f"fixed has {unknown[0]!r}; expected some of {', '.join(FIXED)}")
        check_members(self.fixed)
        return self

    @staticmethod
    def hash(key: str) -> str:
        """Return what is written of a key; keys are random, so that no slow hash is needed."""
        return sha256(key.encode()).hexdigest()


class Market(Section):
    """A further shop, language or currency that the service answers for.

    Attributes
    ----------
    bundles
        Its folder of bundles, or their URL; by default those of the service.
    store
        Its store; by default an SQLite file beside its bundles or the service's store.
    currency
        Of changed prices and of events that name none, by ISO 4217.
    """

    bundles: Annotated[str, Field(min_length=1)] | None = None
    store: str | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None


class DefinitionTables(Section):
    """The placements and collections of a TOML file."""

    placements: dict[Slug, Placement] = {}
    collections: dict[Slug, Collection] = {}

    @classmethod
    def of(cls, tables: Mapping[str, Any], file: Path) -> Self:
        """Return those of parsed TOML; raises `ConfigError` for one that is wrong."""
        try:
            return cls.model_validate({name: tables.get(name, {}) for name in cls.model_fields})
        except ValidationError as error:
            messages = "; ".join(_message(cls, dict(each)) for each in error.errors())
            raise ConfigError(f"{file}: {messages}") from None


class AttributionRule(Section):
    """Which recommendation a product of an order is credited to: the latest one clicked, else the latest one seen.

    Attributes
    ----------
    click_days
        How many days before the order a click counts.
    view_days
        How many days before it a view counts where there is no click; 0 for not at all.
    """

    click_days: Annotated[int, Field(ge=1, le=90)] = 7
    view_days: Annotated[int, Field(ge=0, le=90)] = 1

    @model_validator(mode="after")
    def _clicks_last_longer(self) -> Self:
        if self.view_days > self.click_days:
            raise ValueError(
                f"view_days is {self.view_days} and click_days {self.click_days}; expected no more days for a view"
                " than for a click"
            )
        return self


class Settings(BaseSettings):
    """All settings of the service."""

    model_config = SettingsConfigDict(
        env_prefix="RECOMMENDER_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on.")
    workers: int = Field(1, ge=1, le=256, description="Processes; about one per core.")
    store: str | None = Field(None, description="Store of events; by default an SQLite file beside the bundles.")
    history_timeout_ms: int = Field(
        150,
        ge=1,
        le=60_000,
        description="How long a request waits for what is stored of its user; then without it.",
    )
    store_timeout_ms: int = Field(
        2000, ge=10, le=60_000, description="How long other requests wait for the store, such as new events."
    )
    cache: Path | None = Field(
        None, description="Folder of local copies of bundles at a URL; by default ~/.cache/recommender."
    )
    poll_seconds: float = Field(5, gt=0, le=3600, description="How often to look at a URL for another generation.")
    redis: str | None = Field(
        None, description="Redis, as redis://host:6379/0, which counts the limits of all workers and replicas."
    )
    query_encoder: bool = Field(False, description="Answer text and image queries with an encoder process.")
    storefront: bool = Field(False, description="Demo pages at /shop.")
    studio: bool = Field(False, description="Pages at /studio where placements and their rules are edited.")
    retention_days: int | None = Field(None, ge=1, description="Delete events older than so many days.")
    trending_days: int = Field(7, ge=1, le=365, description="Window of the strategy trending, in days.")
    rate: float = Field(
        2000,
        gt=0,
        description="Mean rate limit per key and address, in requests per second; per worker without redis.",
    )
    burst: int = Field(400, ge=1, description="Requests above the rate that are allowed in a burst.")
    proxies: int = Field(0, ge=0, le=5, description="Number of trusted proxies that set X-Forwarded-For.")
    max_body_bytes: int = Field(8 << 20, ge=1024, description="Maximum size of a request, images included.")
    body_seconds: float = Field(10, gt=0, le=300, description="Seconds in which a body must have come.")
    cors_origins: tuple[Origin, ...] = Field((), description="Origins of web pages that may call the service.")
    private_fields: tuple[str, ...] = Field(
        (), description="Attributes of products that only keys of scope server or admin see and may filter by."
    )
    image_hosts: tuple[str, ...] = Field((), description="Hosts from which a search may fetch an image.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum level of the log; info has a line for each request."
    )
    signing_key: SecretStr | None = Field(
        None,
        min_length=32,
        description="Signs recommendation ids; by default a key of the store, the same for all replicas.",
    )
    visitors_per_address: int = Field(
        100,
        ge=1,
        description="Visitors of one address whose events count in reports and trending, per hour, and per worker "
        "without redis; keys of scope server have no limit.",
    )
    keys: dict[Slug, Key] = Field(
        {}, description="API keys by name; without any, everybody on this machine may do everything."
    )
    insecure: bool = Field(False, description="Serve other machines without keys: whoever gets there is an admin.")
    attribution: AttributionRule = Field(
        AttributionRule(), description="Which recommendation an order is credited to, in reports."
    )
    markets: dict[Slug, Market] = Field(
        {},
        description="Further shops by name, which the header X-Market chooses: a bundle, a store and a currency.",
    )
    placements: dict[Slug, Placement] = Field(
        {}, description="Placements by name; those of the store go over them."
    )
    collections: dict[Slug, Collection] = Field(
        {}, description="Collections of products by name, which rules name; those of the store go over them."
    )

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if not (self.keys or self.insecure or _is_loopback(self.host)):
            raise ValueError(
                f"host is {self.host}, which other machines reach, and there are no API keys, so that whoever gets"
                " there could erase users; add a key (recommender key makes one), listen on 127.0.0.1, or set"
                " --insecure where something else keeps strangers out"
            )
        return self

    @model_validator(mode="after")
    def _separates_markets(self) -> Self:
        known = ", ".join(self.markets) or "none, since there is no table markets"
        for name, key in self.keys.items():
            if unknown := [market for market in key.markets if market not in self.markets]:
                raise ValueError(f"keys.{name}.markets has {unknown[0]!r}; the markets are {known}")
        stores: dict[str | None, str] = {self.store: "the service"}
        for name, market in self.markets.items():
            if market.store is not None and (other := stores.setdefault(market.store, name)) != name:
                raise ValueError(f"markets.{name}.store is that of {other}; give each market a store of its own")
        return self

    @model_validator(mode="after")
    def _hides_private_fields(self) -> Self:
        members = {f"placements.{name}.question": each.question for name, each in self.placements.items()}
        members |= {f"keys.{name}.fixed": each.fixed for name, each in self.keys.items()}
        for at, question in members.items():
            if shown := {*question.get("fields", ())} & {*self.private_fields}:
                raise ValueError(f"{at}.fields shows {min(shown)}, which is among private_fields")
        return self

    @classmethod
    def load(cls, path: Path | None = None, **given: Any) -> Self:
        """Read a TOML file and the environment.

        Parameters
        ----------
        path
            The file; None for none.
        **given
            Settings that go over both, such as those of the command line; None is none.

        Raises
        ------
        ConfigError
            The file cannot be read, has an unknown entry or a wrong value.
        """
        try:
            entries = tomllib.loads(path.read_text("utf-8")) if path is not None else {}
            over = {name: value for name, value in given.items() if value is not None}
            loaded = cls(**{**entries, **EnvSettingsSource(cls)(), **over})
        except ValidationError as error:
            messages = "; ".join(_message(cls, dict(each)) for each in error.errors())
            raise ConfigError(f"{path or 'settings'}: {messages}") from None
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ConfigError(f"{path} is not TOML in UTF-8: {error}") from error
        return loaded


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _message(model: type[BaseModel], error: dict[str, Any]) -> str:
    path = [str(step) for step in error["loc"]]
    at = ".".join(path)
    if error["type"] != "extra_forbidden":
        return f"{at}: ".removeprefix(": ") + error["msg"].removeprefix("Value error, ")
    guess = nearest(path[-1], members(model, path[:-1]))
    return f"unknown entry {at}" + (f"; did you mean {guess!r}?" if guess else "")
