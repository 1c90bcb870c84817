"""The options of `recommender benchmark`; each command imports its module when it runs."""

import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import emit

Seed = Annotated[int, typer.Option("--seed", help="Seed of the synthetic vectors.")]


def end_on_sigterm() -> None:
    """Let SIGTERM end a benchmark as an exception does: its services stop, its temporary folders are removed."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


def architecture(bundles: options.Bundles, as_json: options.AsJson = False) -> None:
    """Count calls per request, class names and import cycles.

    The files and calls that `similar` by id passes, through HTTP and Python, plain and with weights and a filter.
    """
    from recommender.commands.benchmarks.architecture import measure, show

    figures = measure(bundles)
    emit(figures, show(figures), as_json)


def rules(
    bundles: options.Bundles,
    count: Annotated[int, typer.Option("--rules", help="Rules of the placement.")] = 1000,
    requests: Annotated[int, typer.Option("--requests", help="Requests of each kind, in turns.")] = 1000,
    as_json: options.AsJson = False,
) -> None:
    """Time what the rules of a placement cost a request.

    Similar items of products at random, without rules, with many of one action, and with many of each.
    """
    from recommender.commands.benchmarks.rules import measure, show

    figures = measure(bundles, count, requests)
    emit(figures, show(figures), as_json)


def answers(
    first: Annotated[
        Path, typer.Argument(metavar="BUNDLES|OLD", help="Folder of published generations, or a recording.")
    ],
    second: Annotated[
        Path, typer.Argument(metavar="OUT|NEW", help="File to record into (.jsonl.gz), or a recording.")
    ],
    compare: Annotated[bool, typer.Option("--compare", help="Compare two recordings.")] = False,
    requests_file: Annotated[
        Path | None, typer.Option("--requests", help="File of requests to repeat; made if there is none.")
    ] = None,
    n: Annotated[int, typer.Option("--n", help="About how many valid requests to draw.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the drawn requests.")] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Record answers to drawn requests; compare recordings.

    Through Python and HTTP, to show that a change of the code leaves answers as they are: record with the old code
    and with the new, with the same file of --requests. Exit code 1 if answers differ by more than messages.
    """
    if compare:
        from recommender.commands.benchmarks.answers.comparison import are_equal, table
        from recommender.commands.benchmarks.answers.comparison import compare as compare_files

        report = compare_files(first, second)
        emit(report, table(report), as_json)
        if not are_equal(report):
            raise typer.Exit(1)
        return
    from recommender.commands.benchmarks.answers import requests, runs

    if requests_file is not None and requests_file.exists():
        drawn = runs.read_requests(requests_file)
    else:
        drawn = list(requests.draw(first, n, seed))
        if requests_file is not None:
            runs.write_lines(requests_file, drawn)
    count = runs.record(first, drawn, second)
    emit({"answers": count, "file": str(second)}, f"{count:,} answers recorded: {second}", as_json)


def retrieval(
    bundles: Annotated[
        Path | None, typer.Argument(help="Time this published bundle instead of synthetic vectors.")
    ] = None,
    n: Annotated[int, typer.Option("--n", help="Number of synthetic vectors.")] = 100_000,
    dim: Annotated[int, typer.Option("--dim", help="Dimension of the vectors.")] = 512,
    queries: Annotated[int, typer.Option("--queries", help="Number of queries.")] = 500,
    changes: Annotated[
        int, typer.Option("--changes", min=1, help="Number of live changes over the published bundle.")
    ] = 100_000,
    seed: Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Time searches at equal recall, beside other libraries.

    hnswlib, Faiss, USearch and Voyager, those that are installed; and with filters. Of a published bundle, also
    the question after a live change.
    """
    _one_thread()
    if bundles is not None:
        from recommender.commands.benchmarks import published_bundle

        report = published_bundle.measure_bundle(bundles, queries, seed, changes)
        emit(report, published_bundle.table(report), as_json)
    else:
        from recommender.commands.benchmarks import retrieval

        report = retrieval.measure_search(n, dim, queries, seed)
        emit(report, retrieval.table(report), as_json)


def serve(
    bundles: options.Bundles,
    workers: Annotated[int, typer.Option("--workers", help="Processes of each server.")] = 2,
    connections: Annotated[int, typer.Option("--connections", help="Connections of the load generator.")] = 16,
    seconds: Annotated[float, typer.Option("--seconds", help="Length of a round in seconds.")] = 8,
    rounds: Annotated[int, typer.Option("--rounds", help="Number of rounds; the figures are their medians.")] = 3,
    as_json: options.AsJson = False,
) -> None:
    """Measure requests per second and latency of the service.

    Beside a bare Flask route on the same server.
    """
    from recommender.commands.benchmarks.serve import Setup, measure_service, table

    report = measure_service(bundles, Setup(workers, connections, seconds, rounds))
    emit(report, table(report), as_json)


def limits(
    bundles: options.Bundles,
    times: Annotated[int, typer.Option("--times", min=1, help="How often each kind of request is sent.")] = 5,
    query_encoder: Annotated[
        bool, typer.Option("--query-encoder", help="Send texts and photos too, to the bundle's encoder.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure CPU time of the costliest requests, at their limits.

    Of each kind that a public key may send, refused ones too: in the worker and in the encoder's process.
    """
    from recommender.commands.benchmarks.limits import measure_limits, table

    report = measure_limits(bundles, times, query_encoder)
    emit(report, table(report), as_json)


def faults(
    bundles: options.Bundles,
    kills: Annotated[int, typer.Option("--kills", help="Kills of a worker, before one of the whole service.")] = 5,
    swaps: Annotated[int, typer.Option("--swaps", help="Generations published under load.")] = 100,
    malformed: Annotated[int, typer.Option("--malformed", help="Number of malformed requests.")] = 10_000,
    minutes: Annotated[
        float, typer.Option("--minutes", help="Minutes of load during which memory must stay flat; 0 for none.")
    ] = 0,
    as_json: options.AsJson = False,
) -> None:
    """Inject faults under load and check that nothing is lost.

    Killed processes, damaged bundles, a stopped database, malformed requests. Exit code 1 if a check fails.
    """
    from recommender.commands.benchmarks.faults import measure_faults, passed, table

    report = measure_faults(bundles, kills, swaps, malformed, minutes)
    emit(report, table(report), as_json)
    if not passed(report):
        raise typer.Exit(1)


def scale(
    n: Annotated[int, typer.Option("--n", help="Number of synthetic products of the index.")] = 1_000_000,
    dim: Annotated[int, typer.Option("--dim", help="Dimension of the vectors.")] = 256,
    fits: Annotated[
        list[int] | None,
        typer.Option(
            "--fit", help="Number of products of a made-up shop to fit; several. [default: 2000, 4000, 8000]"
        ),
    ] = None,
    seed: Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", help="Folder to publish into, for `benchmark retrieval`. [default: a temporary one]"
        ),
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Measure time and memory of large shops, by stage.

    Of fits of made-up shops of several sizes, and how they grow with the size; and of building a large index of
    synthetic products.
    """
    from tempfile import TemporaryDirectory

    _one_thread()
    from recommender.commands.benchmarks import fit_growth
    from recommender.commands.benchmarks.scale import measure_scale, table

    fitted = fit_growth.measure_growth(fits or fit_growth.SIZES, seed)
    with TemporaryDirectory() if out is None else nullcontext(out) as folder:
        report = measure_scale(Path(folder), n, dim, seed)
    text = f"{fit_growth.table(fitted)}\n\n{table(report)}"
    emit(report | fitted, text, as_json)


def encode(
    config: options.ConfigFile = None,
    data: options.Data = None,
    n: Annotated[int, typer.Option("--n", help="Number of products to encode, drawn at random.")] = 300,
    cached: Annotated[
        int, typer.Option("--cached", help="Number of synthetic products, for cache and memory.")
    ] = 100_000,
    as_json: options.AsJson = False,
) -> None:
    """Measure images and texts per second of each encoder.

    Beside open_clip's own plain loop; on a GPU too, where there is one. Without --config a shop is drawn.
    """
    from recommender.commands.benchmarks.encode import measure_encoders, table

    figures = measure_encoders(config, data, n, cached)
    emit(figures, table(figures), as_json)


def batch(
    bundles: options.Bundles,
    users: Annotated[int, typer.Option("--users", help="Number of users to scale the figures to.")] = 1_000_000,
    sample: Annotated[int, typer.Option("--sample", help="Number of users that are answered.")] = 4096,
    runs: Annotated[
        int | None, typer.Option("--runs", help="Users of the first and second run. [default: the sample]")
    ] = None,
    k: Annotated[int, typer.Option("-k", "--limit", help="Number of products per user.")] = 20,
    as_json: options.AsJson = False,
) -> None:
    """Measure the throughput of batch recommendations.

    From histories to files; of a first run and a second after 1 % of the users changed, to Parquet and to tables
    of SQLite and, where it is installed, PostgreSQL; and of ranking alone beside numpy and implicit.
    """
    from recommender.commands.benchmarks.batch import measure_batch
    from recommender.commands.output import show_figures

    figures = measure_batch(bundles, users, sample, k, runs)
    emit(figures, show_figures(figures), as_json)


def markets(
    bundles: options.Bundles,
    count: Annotated[int, typer.Option("--markets", min=1, help="Number of markets.")] = 4,
    as_json: options.AsJson = False,
) -> None:
    """Measure the memory that further markets cost a worker.

    With the service's bundle, and with a bundle of their own.
    """
    from recommender.commands.benchmarks.markets import measure_markets

    figures = measure_markets(bundles, count)
    lines = [
        f"{name:30}{each['own']:>10} MiB own{each['mapped']:>10} MiB mapped" for name, each in figures.items()
    ]
    emit(figures, "\n".join(lines), as_json)


def _one_thread() -> None:
    """Let numpy use one thread; it reads these when it is imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
