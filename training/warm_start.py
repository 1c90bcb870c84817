"""Starts a fit from a published generation: with its towers, its behaviour and its hyperparameters."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors.torch import load_file

from recommender.bundle.delta import REFRESH
from recommender.catalog import Catalog, Interactions
from recommender.config import Config, EncoderConfig
from recommender.core.blocks import Layout, Rows
from recommender.encoders.registry import create_for_products
from recommender.errors import BundleError, DataError
from recommender.progress import notice
from recommender.recommender import Recommender, load
from training.behaviour.export import TRANSFORMERS, Behaviour
from training.behaviour.train import MEMBERS, Start
from training.encoders.choose import ChosenEncoder
from training.item_tower.train import TrainedItemTower
from training.items import TrainingItems
from training.profile.fit import ProfileShape
from training.refresh.statistics import CountStatistics
from training.tuning.held_out import held_out_terms, user_cases, user_queries
from training.tuning.search import Hyperparameters
from training.tuning.weights import MIN_CASES, TunedWeights, soft_recalls

WARM_START = "warm_start"  # the entry among a manifest's metrics
MAX_DECLINE = 0.1  # of the soft recall of new events, since the first warm start after a full fit
MAX_LOST_EVENTS = 0.2  # share of the events that the generation has counted and the log no longer has
MAX_NEW_PRODUCTS = 0.2  # share of the catalogue that the last full fit has not seen


@dataclass(frozen=True)
class WarmStart:
    """A published generation from which a training starts.

    Parameters
    ----------
    recommender
        The generation.
    statistics
        How its events are counted.
    until, counted_until
        Moments of the latest event that it was trained on, and that a refresh has counted since.
    """

    recommender: Recommender
    statistics: CountStatistics
    until: pd.Timestamp
    counted_until: pd.Timestamp

    @classmethod
    def open(cls, root: Path | str) -> "WarmStart":
        """Open the current generation of a bundle's folder.

        Raises
        ------
        BundleError
            If there is none, or one that was fitted without events or by an older version.
        """
        recommender = load(root)
        bundle, sequence = recommender.bundle, recommender.user_tower.sequence
        statistics = CountStatistics.open(bundle)
        if sequence is None or not bundle.has("towers", TRANSFORMERS):
            raise BundleError(
                f"generation {recommender.generation} has no sequence model to continue: no history had two "
                "products, or an older version fitted it. Fit once without --from"
            )
        manifest = bundle.manifest
        until, counted = manifest.metrics["training"]["until"], manifest.extra[REFRESH]["events"]["until"]
        return cls(recommender, statistics, pd.Timestamp(until), pd.Timestamp(counted))

    def encoder(self, config: Config) -> ChosenEncoder:
        """Open the generation's own encoder.

        Raises
        ------
        DataError
            If the config names another one.
        """
        bundle = self.recommender.bundle
        own = EncoderConfig.model_validate(bundle.manifest.config["encoder"])
        used = bundle.manifest.encoders["name"].removesuffix(" int8")
        chosen = own.name == "auto" and config.encoder.name == used  # what "auto" had chosen is named now
        if config.encoder.name != "auto" and config.encoder != own and not chosen:
            raise DataError(
                f"the encoder is {config.encoder.name!r}, and generation {bundle.generation} was fitted with "
                f"{used!r}: its towers cannot read other vectors. Fit once without --from"
            )
        folder = bundle.folder("encoder") if "encoder" in bundle.manifest.parts else None
        return ChosenEncoder(create_for_products(bundle), own, folder, {})

    def item_tower(self, items: TrainingItems) -> TrainedItemTower:
        """Compute the blocks of the products with the generation's item tower.

        Raises
        ------
        DataError
            If other columns are learned than the tower knows.
        """
        tower = self.recommender.item_tower
        vocabularies = () if tower.category is None else tower.category.vocabularies
        known = {vocabulary.name for vocabulary in vocabularies}
        if other := known ^ set(items.inputs.columns):
            raise DataError(
                f"the catalogue and generation {self.recommender.generation} differ in the learned columns "
                f"{', '.join(sorted(other))}. Fit once without --from"
            )
        layout = Layout({name: dim for name, dim in tower.layout.dims.items() if name != "behaviour"})
        predictor = replace(tower.predictor, layout=layout)
        tower = replace(tower, layout=layout, predictor=predictor, behaviour=None, prior=None)
        vectors, present = tower.present_blocks(items.inputs)
        return TrainedItemTower(tower, predictor.fill(vectors, present), present)

    def behaviour(self, catalog: Catalog) -> Start:
        """Return the generation's behaviour block of the products, to be continued."""
        bundle, segment = self.recommender.bundle, self.recommender.segment
        tower, sequence = self.recommender.item_tower, self.recommender.user_tower.sequence
        assert sequence is not None
        assert tower.behaviour is not None
        rows, columns = self.rows(catalog), segment.layout.slices["behaviour"]
        known = rows >= 0
        known[known] = segment.present[rows[known], segment.layout.index("behaviour")]
        vectors = np.zeros((len(rows), segment.layout.dims["behaviour"]), dtype=np.float32)
        vectors[known] = segment.vectors[rows[known], columns]
        factor = np.float32(self.statistics.new_products.behaviour or 1.0)
        predictor = replace(
            tower.behaviour, matrix=tower.behaviour.matrix / factor, table=tower.behaviour.table / factor
        )
        tensors = load_file(bundle.path("towers", TRANSFORMERS))
        scale = float(tensors.pop("scale"))
        transformers = tuple(
            {name.partition(".")[2]: tensor for name, tensor in tensors.items() if name.startswith(f"{member}.")}
            for member in range(MEMBERS)
        )
        behaviour = Behaviour(vectors, known, predictor, sequence, 1.0, transformers, scale)
        return Start(behaviour, self.until.timestamp())

    def hyperparameters(self) -> Hyperparameters:
        """Return the hyperparameters of the generation."""
        manifest = self.recommender.manifest
        tuning = manifest.metrics["training"]["tuning"]
        profile = tuning.get("profile")
        return Hyperparameters(
            replace(self.recommender.user_tower, profile=None),
            self.statistics.prior,
            self.statistics.mixture,
            {kind: TunedWeights(dict(weights), np.empty(0)) for kind, weights in manifest.weights.items()},
            tuple(tuning["categories"]),
            ProfileShape.from_dict(profile) if profile else None,
        )

    def rows(self, catalog: Catalog) -> Rows:
        """Return the generation's row of each product, −1 for a new one, length n."""
        return self.recommender.attributes.rows_of(catalog.ids)

    def require_events(self, interactions: Interactions | None) -> Interactions:
        """Return the events.

        Raises
        ------
        DataError
            If there are none, or they lack many that the generation has counted, as those of a truncated file do.
        """
        if interactions is None:
            raise DataError(
                "--from learns from new events, and there are none: name a file in [events], or a --store"
            )
        counted = self.recommender.manifest.extra[REFRESH]["events"]["count"]
        found = int((interactions.frame["timestamp"] <= self.counted_until).sum())
        if found < (1 - MAX_LOST_EVENTS) * counted:
            raise DataError(
                f"of {counted:,} events until {self.counted_until}, which generation "
                f"{self.recommender.generation} has counted, {found:,} are left: is the file whole? --from "
                "needs all events, not the new ones alone; if old ones were deleted, fit once without --from"
            )
        return interactions

    def drift(self, catalog: Catalog, interactions: Interactions, seed: int) -> dict[str, Any]:
        """Measure how well the generation predicts the events that are new to it, and whether a full fit is due.

        It is, where the soft recall of new events has fallen since the first warm start after the full fit, by
        more than a tenth and two standard errors; or where a fifth of the products is new since then.

        Parameters
        ----------
        catalog
            The products.
        interactions
            All events.
        seed
            Of samples.

        Returns
        -------
        dict
            For the manifest; ``due`` says why a full fit is due, "" where it is not.
        """
        rows = self.rows(catalog)
        before: Mapping[str, Any] = self.recommender.manifest.metrics.get(WARM_START, {})
        is_new = (rows < 0) | (rows >= self.recommender.manifest.base_n)  # the latter were added by updates
        new_products = int(is_new.sum()) + before.get("new_products", 0)
        starts = [*before.get("starts", [])]
        recalls = self._soft_recalls(rows, interactions, seed)
        if len(recalls) >= MIN_CASES:
            error = float(recalls.std() / len(recalls) ** 0.5)
            starts.append({"until": str(self.counted_until), "soft_recall": float(recalls.mean()), "error": error})
        reasons = []
        if new_products > MAX_NEW_PRODUCTS * len(rows):
            reasons.append(f"{new_products / len(rows):.0%} of the products are newer than the last full fit")
        if len(starts) > 1 and _has_declined(starts[0], starts[-1]):
            first, last = starts[0]["soft_recall"], starts[-1]["soft_recall"]
            reasons.append(
                f"the soft recall of new events is {last:.4f}, after the last full fit it was {first:.4f}"
            )
        due = "; ".join(reasons)
        if due:
            notice(f"a full fit is due, without --from: {due}")
        return {
            "from": self.recommender.generation,
            "full_fit_until": before.get("full_fit_until", str(self.until)),
            "new_products": new_products,
            "starts": starts,
            "due": due,
        }

    def _soft_recalls(self, rows: Rows, interactions: Interactions, seed: int) -> np.ndarray:
        """Return the soft recall of the new events' products of each user, shape (b,)."""
        recommender = self.recommender
        old = rows[interactions.frame["row"].to_numpy()]
        known = replace(interactions, frame=interactions.frame.assign(row=old)[old >= 0].reset_index(drop=True))
        is_new = known.frame["timestamp"] > self.counted_until
        earlier, later = (
            replace(known, frame=known.frame[part].reset_index(drop=True)) for part in (~is_new, is_new)
        )
        cases = user_cases(earlier, later, seed)
        if not cases:
            return np.empty(0)
        queries = user_queries(recommender.segment, recommender.user_tower, cases)
        terms = held_out_terms(recommender.segment, queries, cases, seed)
        weights = recommender.manifest.weights["user"]
        return soft_recalls(terms, np.array([[weights[name] for name in terms.terms]]))[:, 0]


def _has_declined(first: Mapping[str, float], last: Mapping[str, float]) -> bool:
    decline = first["soft_recall"] - last["soft_recall"]
    error = float(np.hypot(first["error"], last["error"]))
    return decline > max(MAX_DECLINE * first["soft_recall"], 2 * error)
