# The command `subrosa`: one static program on an empty base, and a user that is not root.
#
#   docker build --file deploy/images/cli.Dockerfile --tag subrosa-cli .
#
# The stage `build` is the same, line by line, for all images, so that it is built once. deploy/prebuilt takes the last
# stage alone, with programs from outside.

FROM rust:1.95-bookworm AS build
WORKDIR /source
COPY . .
RUN deploy/static /out

FROM scratch
# Fresh volumes take the owner of the directories that they are mounted on.
COPY --from=build --chown=65532:65532 /out/volumes/cli/ /
COPY --from=build /out/cli/ /
USER 65532:65532
ENTRYPOINT ["/subrosa"]
