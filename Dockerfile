# syntax=docker/dockerfile:1
# One image for every role: `scorewire` (API, workers, tools) and the slim `scorewire-worker`.

FROM rust:1-bookworm AS builder
WORKDIR /src
COPY . .
# The caches keep crates and compiled dependencies between builds; the result is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --package scorewire --package scorewire-workers --bins \
    && install -D -t /out target/release/scorewire target/release/scorewire-worker

FROM debian:bookworm-slim
# Certificates for databases behind TLS.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 65532 scorewire \
    && useradd --uid 65532 --gid 65532 --home-dir /var/lib/scorewire --create-home --shell /usr/sbin/nologin scorewire \
    && chmod 0700 /var/lib/scorewire
COPY --from=builder /out/ /usr/local/bin/
# Embedded, everything is stored here; with DATABASE_URL and REDIS_URL nothing is.
ENV SCOREWIRE_DATA_DIR=/var/lib/scorewire \
    SCOREWIRE_LISTEN=0.0.0.0:3000
WORKDIR /var/lib/scorewire
VOLUME /var/lib/scorewire
USER 65532:65532
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 CMD ["scorewire", "healthcheck"]
ENTRYPOINT ["scorewire"]
CMD ["serve"]
