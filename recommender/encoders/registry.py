"""Encoders by name: every module of this folder that defines ``create(config)`` and ``OPTIONS``."""

import ast
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recommender.config import EncoderChoice, EncoderConfig
from recommender.encoders.base import INT8_SUFFIX, Asymmetric, Encoder
from recommender.encoders.support.pair import Pair, quantize
from recommender.errors import EncoderError, full_installation, nearest

if TYPE_CHECKING:
    from recommender.bundle import Bundle

_ENTRY_POINTS = {"create", "OPTIONS"}


@cache
def names() -> tuple[str, ...]:
    """Return the names of all encoders, ascending. Modules are parsed, not imported: some need torch."""
    modules = Path(__file__).parent.glob("*.py")
    return tuple(sorted(path.stem for path in modules if _definitions(path) >= _ENTRY_POINTS))


def _definitions(module: Path) -> set[str]:
    """Return the functions and variables that a module defines."""
    names = set()
    for statement in ast.parse(module.read_text("utf-8")).body:
        if isinstance(statement, ast.FunctionDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Assign):
            names |= {target.id for target in statement.targets if isinstance(target, ast.Name)}
    return names


def create(config: EncoderConfig) -> Encoder:
    """Load the encoder that a config names, or the two for texts and images.

    Raises
    ------
    EncoderError
        If the encoder is unknown, lacks an option that is set, or its weights are not available.
    """
    if config.text is None and config.image is None:
        return _load(config)
    return Pair(_load(config.text or config), _load(config.image or config))


def create_for(bundle: "Bundle") -> Encoder:
    """Load the encoder that made a bundle's vectors, to encode queries.

    See `create_for_products`.
    """
    encoder = create_for_products(bundle)
    return encoder.for_queries() if isinstance(encoder, Asymmetric) else encoder


def create_for_products(bundle: "Bundle") -> Encoder:
    """Load the encoder that made a bundle's vectors, to encode more products.

    A model that was trained on the catalogue is stored in the bundle, in its part ``encoder``.

    Raises
    ------
    EncoderError
        If it is not available here, or its weights or preprocessing have changed since.
    """
    trained = bundle.folder("encoder") if "encoder" in bundle.manifest.parts else None
    stored = bundle.manifest.encoders
    return recreate(bundle.manifest.config["encoder"], stored["name"], stored["fingerprint"], trained)


def recreate(config: Mapping[str, Any], name: str, fingerprint: str, trained: Path | None = None) -> Encoder:
    """Load the same encoder as on another machine or at another time.

    Parameters
    ----------
    config
        The exported `EncoderConfig`.
    name, fingerprint
        Of the original encoder.
    trained
        Folder of its model, if that was trained on the catalogue.

    Raises
    ------
    EncoderError
        If it is not available here, or differs.
    """
    options = dict(config)
    if options["name"] == "auto" and not (options.get("text") or options.get("image")):
        resolved = name.split()[0]
        options = {"name": resolved} if resolved == "offline" else options | {"name": resolved}
    if trained is not None:  # of two encoders only that of the texts is ever trained
        model = {"model": f"local-dir:{trained}", "pretrained": None, "checkpoint": None}
        if options.get("text"):
            options["text"] = options["text"] | model
        else:
            options |= model
    encoder = quantize(create(EncoderConfig(**options)), _quantized_modalities(fingerprint))
    check_fingerprint(fingerprint, encoder)
    return encoder


def _quantized_modalities(fingerprint: str) -> list[str]:
    """Return the modalities of which a `Pair` of this fingerprint has int8 weights."""
    text, _, image = fingerprint.partition("+")
    return [name for name, part in (("text", text), ("image", image)) if part.endswith(INT8_SUFFIX)]


def check_fingerprint(fingerprint: str, encoder: Encoder) -> None:
    """Raise `EncoderError` unless stored vectors of this fingerprint were made by this encoder."""
    if encoder.fingerprint != fingerprint:
        raise EncoderError(
            f"the vectors are by {fingerprint}, the encoder here is {encoder.fingerprint}; "
            "install what they were made with, or fit again"
        )


def _load(choice: EncoderChoice) -> Encoder:
    if choice.name not in names():
        guess = nearest(choice.name, names())
        hint = f"; did you mean {guess!r}?" if guess else ""
        raise EncoderError(f"encoder {choice.name!r} is none of {', '.join(names())}{hint}")
    with full_installation(f"encoder {choice.name!r}"):
        return _create(import_module(f"recommender.encoders.{choice.name}"), choice)


def _create(module: Any, choice: EncoderChoice) -> Encoder:
    options = ("name", "batch_size", "text", "image", *module.OPTIONS)
    unknown = [option for option, value in choice if value is not None and option not in options]
    if unknown:
        known = ", ".join(module.OPTIONS) or "none"
        raise EncoderError(f"encoder {choice.name!r} has no option {unknown[0]!r}; its options: {known}")
    encoder: Encoder = module.create(choice)
    return encoder
