# The job image: the program, in an image that a GitLab runner can run a script in.

# The program is compiled on the builder's own platform for the image's, so no emulation is needed.
FROM --platform=$BUILDPLATFORM golang:1.26.8-alpine3.24 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY *.go ./
COPY internal ./internal
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
ARG REVISION=
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath \
    -ldflags "-s -w -X main.version=$VERSION -X main.revision=$REVISION" -o /ecr2gitlab .

# A runner needs sh and grep in a job image; Alpine has them. This stage runs nothing, so it builds for every platform
# without emulation.
FROM alpine:3.24.1
# Alpine has these only because apk depends on them; the Go image installs them explicitly.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /ecr2gitlab /usr/local/bin/ecr2gitlab

# Alpine's nobody, as a number for platforms that require one. That is enough: the engine is reached over TCP, and dind
# makes its client key readable by all. A mounted docker.sock needs --user 0, or --group-add with its group.
USER 65534:65534

# No ENTRYPOINT: the runner starts a shell in this image.
CMD ["ecr2gitlab"]

ARG VERSION=dev
ARG REVISION=
LABEL org.opencontainers.image.title="ecr2gitlab" \
      org.opencontainers.image.description="Migrates container images from Amazon ECR to the GitLab container registry" \
      org.opencontainers.image.source="https://gitlab.com/ecr2gitlab/ecr2gitlab" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
