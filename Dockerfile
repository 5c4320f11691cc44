# The images: `worker` without TensorFlow, `trainer` with it, and `dask`, the trainer's with another command. All can
# share models through a bucket. `docker build .` makes the worker.
# The tag names the line, not the patch, so that a rebuild picks up security fixes; Python packages are exact in constraints.txt.
FROM python:3.11-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    PATH=/opt/tidecast/bin:$PATH \
    TIDECAST_STORE=/store
# A new named volume takes the owner of the directory that it is mounted on. The second one is for compiled code, see below.
RUN groupadd --gid 10001 tidecast \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin tidecast \
 && install --directory --owner=10001 --group=10001 /store /var/cache/tidecast
# A tidecast.toml mounted here is read.
WORKDIR /etc/tidecast
STOPSIGNAL SIGTERM

# The build tools stay here: an image gets only the finished environment of one of the next two stages.
FROM base AS build
ENV PIP_CACHE_DIR=/var/cache/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /src
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY tidecast/ tidecast/
COPY worker/ worker/
COPY trainer/ trainer/
COPY dashboard/ dashboard/
RUN --mount=type=cache,target=/var/cache/pip \
    python -m venv /opt/tidecast \
 && pip wheel --no-deps --wheel-dir /wheels .

FROM build AS worker-environment
RUN --mount=type=cache,target=/var/cache/pip \
    pip install -c constraints.txt "$(echo /wheels/*.whl)[bucket]"

# Compile the loops now, and not at each start of a container. -P: use the installed worker, not the one in /src. On a
# processor of another kind a worker compiles once and keeps the code below XDG_CACHE_HOME: mount a volume there.
RUN python -P -c "from worker.compiling import warm; warm()"

FROM build AS trainer-environment
RUN --mount=type=cache,target=/var/cache/pip \
    pip install -c constraints.txt "$(echo /wheels/*.whl)[bucket,distributed]"
# The gate uses the same loops.
RUN python -P -c "from worker.compiling import warm; warm()"

FROM base AS trainer
ENV TF_CPP_MIN_LOG_LEVEL=3
COPY --from=trainer-environment /opt/tidecast /opt/tidecast
USER 10001:10001
# It ends by itself, so its exit code shows its health.
HEALTHCHECK NONE
ENTRYPOINT ["tidecast"]
CMD ["train", "--help"]

# The scheduler and the workers of a training on several machines.
FROM trainer AS dask
USER 10001:10001
ENTRYPOINT ["dask"]
CMD ["--help"]

FROM base AS worker
ENV TIDECAST_WORKER__HEALTH_HOST=0.0.0.0 \
    TIDECAST_WORKER__HEALTH_PORT=8080 \
    XDG_CACHE_HOME=/var/cache
COPY --from=worker-environment /opt/tidecast /opt/tidecast
USER 10001:10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
  CMD ["python", "-c", "import http.client as h; c = h.HTTPConnection('127.0.0.1', 8080, timeout=3); c.request('GET', '/readyz'); raise SystemExit(c.getresponse().status != 200)"]
ENTRYPOINT ["tidecast"]
CMD ["worker"]
