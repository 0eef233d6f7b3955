FROM python:3.11-slim-bookworm AS build
WORKDIR /src
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /opt/paramedic \
 && /opt/paramedic/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY runbooks runbooks
COPY activities activities
COPY bot bot
RUN /opt/paramedic/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/paramedic paramedic
COPY --from=build /opt/paramedic /opt/paramedic
USER 10001
WORKDIR /var/lib/paramedic
ENV PATH=/opt/paramedic/bin:$PATH \
    PARAMEDIC_DATA=/var/lib/paramedic \
    PARAMEDIC_RUNBOOKS=/etc/paramedic/runbooks \
    PARAMEDIC_HTTP_HOST=0.0.0.0
VOLUME /var/lib/paramedic
EXPOSE 8700
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8700/healthz', timeout=2)"]
ENTRYPOINT ["paramedic"]
CMD ["up"]
