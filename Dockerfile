# The image of Sawyer: docker build -t localhost/sawyer:0.1.0 .
# For both processors: docker buildx build --platform linux/amd64,linux/arm64 -t … --push .
# `make image` makes the same without docker, for the machine's own processor.

# The user interface is the same for every processor and built once, on the machine's own.
FROM --platform=$BUILDPLATFORM node:24-bookworm-slim AS ui
WORKDIR /src/ui
COPY ui/package.json ui/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY ui ./
RUN npm run build

FROM rust:1.95-bookworm AS build
ARG FEATURES="kafka"
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates g++ make nasm autoconf automake libtool pkg-config libssl-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
COPY --from=ui /src/crates/web-ui/dist crates/web-ui/dist
# A target is named so that only the program is linked statically, not what runs during the build.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/target,id=target-$TARGETARCH \
    target=$(rustc -vV | sed -n 's/^host: //p') && \
    OPENSSL_STATIC=1 RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs" CARGO_TARGET_DIR=/target \
    cargo build --locked --release --package sawyer --target "$target" --features "$FEATURES" && \
    mkdir -p /image/etc/ssl/certs /image/usr/bin /image/usr/share/doc/sawyer /image/var/lib/sawyer /image/tmp && \
    cp "/target/$target/release/sawyer" /image/usr/bin/sawyer && \
    cp /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ && \
    cp LICENSE /image/usr/share/doc/sawyer/ && \
    printf 'root:x:0:0:root:/:/sbin/nologin\nsawyer:x:10001:10001:Sawyer:/var/lib/sawyer:/sbin/nologin\n' > /image/etc/passwd && \
    printf 'root:x:0:\nsawyer:x:10001:\n' > /image/etc/group && \
    printf 'passwd: files\ngroup: files\nhosts: files dns\n' > /image/etc/nsswitch.conf && \
    chmod 1777 /image/tmp && chmod 750 /image/var/lib/sawyer && chown 10001:10001 /image/var/lib/sawyer

FROM scratch
COPY --from=build /image /
USER 10001:10001
WORKDIR /var/lib/sawyer
# An arena of memory for each thread holds twice as much as is in use, and saves next to no time. What batches of
# records were in is used again, and not given back to the system for each of them, which takes a tenth of the time.
ENV GLIBC_TUNABLES=glibc.malloc.arena_max=2:glibc.malloc.mmap_threshold=8388608:glibc.malloc.trim_threshold=8388608
EXPOSE 7280
ENTRYPOINT ["/usr/bin/sawyer"]
CMD ["up", "--listen", "0.0.0.0:7280", "--data", "/var/lib/sawyer"]
