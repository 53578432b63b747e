# The environment of `make env` as an image; the checkout that is mounted on /baldro is what runs, and where results go.
#   docker build --tag baldro .
#   docker run --rm --gpus all --volume "$PWD:/baldro" baldro snakemake --configfile config.yaml
# Without a mount the copy that the image was built from runs. baldro.def is the same for Apptainer.
FROM python:3.11-slim
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git make \
    && rm -rf /var/lib/apt/lists/*
COPY . /baldro
WORKDIR /baldro
RUN make env VENV=/opt/baldro \
    && git config --system --add safe.directory /baldro
ENV PATH=/opt/baldro/bin:$PATH
CMD ["snakemake", "--configfile", "config.yaml"]
