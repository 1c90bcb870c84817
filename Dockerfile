# docker build --target serve --tag recommender:serve .    answers over HTTP, asks, batches: under 1 GB, without torch
# docker build --target full --tag recommender:full .      all commands: fits, updates, encodes text and image queries
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install --yes --no-install-recommends g++ && rm -rf /var/lib/apt/lists/*
RUN python -m venv /venv
# Annoy is compiled: for any x86-64 since 2013, not for the machine that builds. Elsewhere: --build-arg MARCH=armv8-a
ARG MARCH=x86-64-v3
ENV PATH=/venv/bin:$PATH PIP_NO_CACHE_DIR=1 \
    ANNOY_COMPILER_ARGS="-D_CRT_SECURE_NO_WARNINGS,-fpermissive,-march=${MARCH},-O3,-ffast-math,-fno-associative-math,-DANNOYLIB_MULTITHREADED_BUILD,-std=c++14"
WORKDIR /src

FROM build AS build-serve
COPY requirements-serve.txt ./
RUN pip install --no-deps --requirement requirements-serve.txt
COPY . .
RUN pip install --no-deps .

FROM build AS build-full
COPY . .
RUN pip install --constraint constraints.txt ".[postgres,redis,s3]"

FROM python:3.11-slim-bookworm AS run
RUN useradd --create-home --uid 10001 recommender
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 RECOMMENDER_HOST=0.0.0.0
USER recommender
WORKDIR /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/healthz/live', timeout=2)"]
ENTRYPOINT ["recommender"]
CMD ["serve", "/data/bundles"]

FROM run AS full
COPY --from=build-full /venv /venv

FROM run AS serve
COPY --from=build-serve /venv /venv
