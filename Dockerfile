# The image of the nightly run: `docker build -t meshproof .` in the root of this repository.
# It runs with a read-only root file system: only /tmp is written to.
FROM python:3.13-slim AS build
COPY . /source
RUN python3 -m venv /opt/meshproof && \
    /opt/meshproof/bin/python -m pip install --no-cache-dir /source

FROM python:3.13-slim
COPY --from=build /opt/meshproof /opt/meshproof
ENV PATH=/opt/meshproof/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 65532:65532
ENTRYPOINT ["meshproof"]
CMD ["test"]
