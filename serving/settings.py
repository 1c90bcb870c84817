"""Settings of the service: a TOML file, overridden by environment variables `RECOMMENDER_…`."""

import tomllib
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    SettingsConfigDict,
)

from recommender.errors import ConfigError, RecommenderError, nearest
from recommender.filters import parse
from serving.problems import Problem
from serving.schemas.base import members
from serving.schemas.requests import Id, RecommendationParams

Scope = Literal["public", "server", "admin"]
Slug = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Filter = dict[str, Any] | str


class Section(BaseModel):
    """A table of the TOML; unknown entries are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Key(Section):
    """An API key, known by its hash alone: `recommender key` makes one."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    scopes: tuple[Scope, ...] = ("public",)

    @staticmethod
    def hash(key: str) -> str:
        """Return what is written of a key; keys are random, so that no slow hash is needed."""
        return sha256(key.encode()).hexdigest()


class Pin(Section):
    """A product at a fixed position, if it is eligible."""

    position: Annotated[int, Field(ge=1, le=100)]
    item_id: Id


class Arm(Section):
    """What one share of users gets instead."""

    name: Slug
    share: Annotated[float, Field(gt=0, le=1)]
    strategy: str | None = None
    weights: dict[str, Annotated[float, Field(ge=0)]] | None = None
    generation: str | None = None


class Experiment(Section):
    """An A/B test: assigns users, or sessions, to arms by a hash, so that each stays in its arm."""

    name: Slug
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if abs(sum(arm.share for arm in self.arms) - 1) > 1e-6:
            raise ValueError(f"the shares of its arms sum to {sum(arm.share for arm in self.arms):g}; expected 1")
        return self


class Placement(Section):
    """A named slot of the shop's pages: defaults of its requests, and the shop's rules.

    Attributes
    ----------
    question
        Default members of a request: strategy, limit, filter, weights. Filters are combined with the request's.
    block
        A filter: products that match are never returned here.
    bury
        Filters: products that match come after all others.
    pin
        Products at fixed positions.
    """

    question: dict[str, Any] = {}
    block: Filter | None = None
    bury: tuple[Filter, ...] = ()
    pin: tuple[Pin, ...] = ()
    experiment: Experiment | None = None

    @model_validator(mode="after")
    def _readable(self) -> Self:
        requests = [self.question]
        arms = self.experiment.arms if self.experiment else ()
        requests += [{**self.question, **arm.model_dump(include={"strategy", "weights"})} for arm in arms]
        try:
            for question in requests:
                RecommendationParams.model_validate(question)
            for filter in (self.question.get("filter"), self.block, *self.bury):
                parse(filter)
        except (RecommenderError, Problem) as error:
            raise ValueError(str(error)) from None
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
    cache: Path | None = Field(
        None, description="Folder of local copies of bundles at a URL; by default ~/.cache/recommender."
    )
    poll_seconds: float = Field(5, gt=0, le=3600, description="How often to look at a URL for another generation.")
    redis: str | None = Field(
        None, description="Redis, as redis://host:6379/0, in which rates are counted for all workers and replicas."
    )
    query_encoder: bool = Field(False, description="Answer text and image queries with an encoder process.")
    storefront: bool = Field(False, description="Demo pages at /shop.")
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
    cors_origins: tuple[str, ...] = Field((), description="Origins of web pages that may call the service.")
    image_hosts: tuple[str, ...] = Field((), description="Hosts from which a search may fetch an image.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Minimum level of the log; info has a line for each request."
    )
    keys: dict[Slug, Key] = Field({}, description="API keys by name; without any, everybody may do everything.")
    placements: dict[Slug, Placement] = Field({}, description="Placements by name.")

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


def _message(model: type[BaseModel], error: dict[str, Any]) -> str:
    path = [str(step) for step in error["loc"]]
    at = ".".join(path)
    if error["type"] != "extra_forbidden":
        return f"{at}: {error['msg'].removeprefix('Value error, ')}"
    guess = nearest(path[-1], members(model, path[:-1]))
    return f"unknown entry {at}" + (f"; did you mean {guess!r}?" if guess else "")
