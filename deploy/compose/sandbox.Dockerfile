# The sandbox in a container: simulators, services and console, for a broker outside of it. Not tried, as compose.yaml says.
FROM python:3.11-slim
ARG UV_VERSION=0.13.9
RUN pip install --no-cache-dir "uv==$UV_VERSION"
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
COPY pyproject.toml uv.lock ./
COPY services/ services/
RUN uv sync --frozen --all-packages --no-default-groups --group sandbox
COPY shared/ shared/
COPY sandbox/ sandbox/
ENTRYPOINT ["python", "-m", "sandbox"]
