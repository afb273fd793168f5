# The launcher: one static program on an empty base, and a user that is not root.
#
#   docker build --file deploy/images/launcher.Dockerfile --tag subrosa-launcher .
#
# The stage `build` is the same, line by line, for all images, so that it is built once. deploy/prebuilt takes the last
# stage alone, with programs from outside.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN deploy/static /out

FROM scratch
COPY --from=build /out/launcher/ /
USER 65532:65532
ENTRYPOINT ["/subrosa-launcher"]
