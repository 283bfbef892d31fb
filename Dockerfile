# One image per channel, with that channel's dependencies and no other's: docker build --build-arg CHANNEL=telegram .
FROM python:3.11-slim AS build
ARG CHANNEL
ARG UV_VERSION=0.13.9
RUN test -n "$CHANNEL" && pip install --no-cache-dir "uv==$UV_VERSION"
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /app
# Dependencies first: they change less often than the code.
COPY pyproject.toml uv.lock ./
COPY services/${CHANNEL}/pyproject.toml services/${CHANNEL}/
RUN uv sync --frozen --no-default-groups --package "$CHANNEL-connector"
# What reads and writes sound, video and HEIC; its encoders are under the GPL: NOTICES.md.
ARG VIDEO=yes
RUN test "$VIDEO" = no || (uv export --frozen --no-default-groups --package channel-connectors --extra video \
        --no-emit-workspace -o /tmp/video.txt && uv pip install -r /tmp/video.txt)
# What signs tokens for Amazon MSK (KAFKA_SASL_MECHANISM=AWS_MSK_IAM): --build-arg MSK=yes.
ARG MSK=no
RUN test "$MSK" = no || (uv export --frozen --no-default-groups --package channel-connectors --extra msk \
        --no-emit-workspace -o /tmp/msk.txt && uv pip install -r /tmp/msk.txt)
# What sends spans to a collector (`TRACING_ENDPOINT`).
ARG TRACING=yes
RUN test "$TRACING" = no || (uv export --frozen --no-default-groups --package channel-connectors --extra tracing \
        --no-emit-workspace -o /tmp/tracing.txt && uv pip install -r /tmp/tracing.txt)
COPY shared/ shared/
COPY services/__init__.py services/
COPY services/${CHANNEL}/ services/${CHANNEL}/
RUN python -m compileall -q shared services

FROM python:3.11-slim
ARG CHANNEL
ARG VERSION
LABEL org.opencontainers.image.title="${CHANNEL}-connector" org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.licenses="Apache-2.0"
ENV CHANNEL=${CHANNEL} PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 HTTP_HOST=0.0.0.0 HTTP_PORT=8080
RUN useradd --system --uid 10001 --no-create-home connector
COPY --from=build /app /app
COPY LICENSE NOTICES.md /app/
WORKDIR /app
USER 10001
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD python -c "from urllib.request import urlopen; urlopen('http://127.0.0.1:${HTTP_OPS_PORT:-$HTTP_PORT}/livez', timeout=2)"
# `exec` makes the service process 1: it gets SIGTERM itself. Arguments (normalise FILE …) are passed on.
ENTRYPOINT ["/bin/sh", "-c", "exec python -m services.$CHANNEL \"$@\"", "connector"]
