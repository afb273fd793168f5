# The NATS server, with `subrosa-launcher health` for health checks: static programs on an empty base, and a user that
# is not root.
#
#   docker build --file deploy/images/nats.Dockerfile --tag subrosa-nats .
#
# The stage `build` is the same, line by line, for all images, so that it is built once. deploy/prebuilt takes the last
# stage alone, with programs from outside.

FROM nats:2.12.8 AS server

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN deploy/static /out

FROM scratch
# Fresh volumes take the owner of the directories that they are mounted on.
COPY --from=build --chown=65532:65532 /out/volumes/nats/ /
COPY --from=build /out/launcher/ /
COPY --from=server /nats-server /
USER 65532:65532
ENTRYPOINT ["/nats-server"]
