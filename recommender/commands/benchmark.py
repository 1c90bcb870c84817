"""The options of `recommender benchmark`; each command imports its module when it runs."""

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import emit

Seed = Annotated[int, typer.Option("--seed", help="Of the synthetic vectors.")]


def architecture(bundles: options.Bundles, as_json: options.AsJson = False) -> None:
    """Count the files and calls that a request passes, duplicate class names and import cycles."""
    from recommender.commands.benchmarks.architecture import measure, show

    figures = measure(bundles)
    emit(figures, show(figures), as_json)


def retrieval(
    bundles: Annotated[
        Path | None, typer.Argument(help="Time this published bundle instead of synthetic vectors.")
    ] = None,
    n: Annotated[int, typer.Option("--n", help="Synthetic vectors.")] = 100_000,
    dim: Annotated[int, typer.Option("--dim", help="Their dimension.")] = 512,
    queries: Annotated[int, typer.Option("--queries", help="Queries.")] = 500,
    seed: Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Time a search at equal recall, beside hnswlib, Faiss, USearch and Voyager, and with filters."""
    _one_thread()
    if bundles is not None:
        from recommender.commands.benchmarks import published_bundle

        report = published_bundle.measure_bundle(bundles, queries, seed)
        emit(report, published_bundle.table(report), as_json)
    else:
        from recommender.commands.benchmarks import retrieval

        report = retrieval.measure_search(n, dim, queries, seed)
        emit(report, retrieval.table(report), as_json)


def serve(
    bundles: options.Bundles,
    workers: Annotated[int, typer.Option("--workers", help="Processes of each server.")] = 2,
    connections: Annotated[int, typer.Option("--connections", help="Connections of the load generator.")] = 16,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of a round.")] = 8,
    rounds: Annotated[int, typer.Option("--rounds", help="Rounds; the figures are their medians.")] = 3,
    as_json: options.AsJson = False,
) -> None:
    """Measure requests per second and latency of the service, beside a bare Flask route on the same server."""
    from recommender.commands.benchmarks.serve import Setup, measure_service, table

    report = measure_service(bundles, Setup(workers, connections, seconds, rounds))
    emit(report, table(report), as_json)


def faults(
    bundles: options.Bundles,
    kills: Annotated[int, typer.Option("--kills", help="Of a worker, before one of the whole service.")] = 5,
    swaps: Annotated[int, typer.Option("--swaps", help="Generations published under load.")] = 100,
    malformed: Annotated[int, typer.Option("--malformed", help="Malformed requests.")] = 10_000,
    minutes: Annotated[
        float, typer.Option("--minutes", help="Of load under which memory must stay flat; 0 for none.")
    ] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Kill processes, damage bundles and stop the database under load; exit code 1 if anything is lost."""
    from recommender.commands.benchmarks.faults import measure_faults, passed, table

    report = measure_faults(bundles, kills, swaps, malformed, minutes)
    emit(report, table(report), as_json)
    if not passed(report):
        raise typer.Exit(1)


def scale(
    n: Annotated[int, typer.Option("--n", help="Synthetic products.")] = 1_000_000,
    dim: Annotated[int, typer.Option("--dim", help="Dimension of their vectors.")] = 256,
    seed: Seed = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Keep the bundle in this folder, for `benchmark retrieval`.")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure time and memory of each stage of the index of a large synthetic shop."""
    from tempfile import TemporaryDirectory

    _one_thread()
    from recommender.commands.benchmarks.scale import measure_scale, table

    with TemporaryDirectory() if out is None else nullcontext(out) as folder:
        report = measure_scale(Path(folder), n, dim, seed)
    emit(report, table(report), as_json)


def encode(
    config: options.ConfigFile = None,
    data: options.Data = None,
    n: Annotated[int, typer.Option("--n", help="Products to encode, drawn with a fixed seed.")] = 300,
    cached: Annotated[
        int, typer.Option("--cached", help="Synthetic products, for the cache and the memory.")
    ] = 100_000,
    as_json: options.AsJson = False,
) -> None:
    """Measure images and texts per second of each encoder, beside open_clip's own plain loop; on a GPU too."""
    from recommender.commands.benchmarks.encode import measure_encoders, table

    figures = measure_encoders(config, data, n, cached)
    emit(figures, table(figures), as_json)


def batch(
    bundles: options.Bundles,
    users: Annotated[int, typer.Option("--users", help="To scale the figures to.")] = 1_000_000,
    sample: Annotated[int, typer.Option("--sample", help="Users that are answered.")] = 4096,
    k: Annotated[int, typer.Option("-k", "--limit", help="Products per user.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """Measure throughput from histories to files, and of ranking alone beside numpy and implicit."""
    from recommender.commands.benchmarks.batch import measure_batch
    from recommender.commands.output import show_figures

    figures = measure_batch(bundles, users, sample, k)
    emit(figures, show_figures(figures), as_json)


def _one_thread() -> None:
    """Let numpy use one thread; it reads these when it is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
