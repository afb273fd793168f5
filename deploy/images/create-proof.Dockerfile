# The example worker `create-proof`: one static program on an empty base, and a user that is not root.
#
#   docker build --file deploy/images/create-proof.Dockerfile --tag subrosa-create-proof .
#
# The stage `build` is the same, line by line, for all images, so that it is built once. deploy/prebuilt takes the last
# stage alone, with programs from outside.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN deploy/static /out

FROM scratch
COPY --from=build /out/create-proof/ /
USER 65532:65532
ENTRYPOINT ["/create-proof"]
