# Base images and Python packages are the newest of their series, so that a build has their security fixes. What is
# bundled is exact: npm checks the hashes of archives, and the build backend those of the files that are made of them.

# Bundle the browser side and its libraries: the next stage has no npm.
FROM node:22-slim AS browser
WORKDIR /bundle
COPY bundle .
COPY chatproxy/static /static
RUN npm ci --silent --no-audit --no-fund --ignore-scripts \
 && mkdir /static/vendor \
 && npm run --silent vendor -- /static/vendor \
 && npm run --silent bundle -- /static

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml build_backend.py MANIFEST.in setup.cfg LICENSE README.md ./
COPY bundle ./bundle
COPY chatproxy ./chatproxy
COPY --from=browser /static ./chatproxy/static
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel . \
 && python -m venv /opt/chatproxy \
 && /opt/chatproxy/bin/pip install --no-cache-dir "$(echo /wheel/*.whl)[cluster,documents]"

FROM python:3.12-slim
LABEL org.opencontainers.image.title=chatproxy \
      org.opencontainers.image.description="A streaming chat sidecar for Ollama" \
      org.opencontainers.image.licenses=MIT
COPY --from=build /opt/chatproxy /opt/chatproxy
RUN mkdir /data && chown 10001:10001 /data
USER 10001:10001
WORKDIR /data
VOLUME /data
ENV PATH=/opt/chatproxy/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=11435 \
    DATABASE_URL=sqlite:////data/chatproxy.db
EXPOSE 11435
STOPSIGNAL SIGTERM
# Reads HOST and PORT from the environment only, so do not set them by flags. Connecting to the unspecified address
# (0.0.0.0 or ::) reaches this container.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s \
    CMD ["python", "-c", "import http.client as h, os; c = h.HTTPConnection(os.environ['HOST'].strip('[] ') or '127.0.0.1', int(os.environ['PORT'] or 11435), timeout=2); c.request('GET', '/healthz'); exit(c.getresponse().status != 200)"]
ENTRYPOINT ["chatproxy"]
