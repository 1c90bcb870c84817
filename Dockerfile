# The service and its command line. Build: docker build -t recommender .  Run: see compose.yaml.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv /venv
COPY setup.cfg pyproject.toml constraints.txt README.md LICENSE ./
COPY recommender recommender
COPY training training
COPY serving serving
# annoy is compiled: for any x86-64 of the last ten years, not for the machine that happens to build the image
ENV ANNOY_COMPILER_ARGS="-D_CRT_SECURE_NO_WARNINGS,-fpermissive,-march=x86-64-v3,-O3,-ffast-math,-fno-associative-math,-DANNOYLIB_MULTITHREADED_BUILD,-std=c++14"
RUN /venv/bin/pip install --no-cache-dir --constraint constraints.txt ".[postgres]"

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 recommender
COPY --from=build /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 RECOMMENDER_HOST=0.0.0.0
USER recommender
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz/live', timeout=2)"]
ENTRYPOINT ["recommender"]
CMD ["serve", "/data/bundles"]
