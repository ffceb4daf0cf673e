# syntax=docker/dockerfile:1
# A static binary in an empty image: no shell, no libraries, nothing to patch but prestop itself.
# glibc, not musl, whose allocator costs up to twice the CPU time (docs/performance.md).

FROM rust:1.95-bookworm AS build
WORKDIR /prestop
COPY . .
# Of the release's commit, for `prestop version`.
ARG REVISION=""
ARG SOURCE_DATE_EPOCH=""
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/prestop/target \
    PRESTOP_REVISION="$REVISION" .ci/build-static /out/prestop

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="prestop" \
      org.opencontainers.image.description="Kubernetes preStop hooks, injected: rolling updates, drains and scale-downs that drop no request" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.url="${SOURCE}" \
      org.opencontainers.image.documentation="${SOURCE}/tree/main/docs" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.vendor="The prestop authors" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY LICENSE /LICENSE
COPY NOTICES /NOTICES
COPY --from=build /out/prestop /prestop
USER 65532:65532
EXPOSE 10250 10251
STOPSIGNAL SIGTERM
ENTRYPOINT ["/prestop"]
CMD ["serve", "--listen", ":10250", "--admin-listen", ":10251"]
