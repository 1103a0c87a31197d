# hotgraph as a container image; docs/containers.md says how it is run.
#
#   docker build -t hotgraph .
#   docker run --rm -p 8500:8500 -p 8502:8502 hotgraph                                        # the built-in digits
#   docker run --rm -p 8500:8500 -v ~/models:/models:ro hotgraph serve /models/flowers
#   docker run --rm -p 8500:8500 -p 8501:8501 -v ~/models:/models:ro -e MODEL_NAME=flowers \
#     hotgraph tensorflow-model-server                                                        # as tensorflow/serving

# The Python that the tests run with.
ARG PYTHON=3.11-slim-bookworm

# What is to be installed. Of its own, so that a change of pyproject.toml which changes no requirement leaves the
# layers below as they are.
FROM python:${PYTHON} AS wanted
WORKDIR /wanted
COPY pyproject.toml deploy/container/requirements.py ./
RUN python requirements.py pyproject.toml .

# TensorFlow first: it is most of the image, and its layer is built anew only when its version changes.
FROM python:${PYTHON} AS packages
WORKDIR /wanted
RUN python -m venv --without-pip /opt/hotgraph
COPY --from=wanted /wanted/tensorflow.txt ./
RUN python -m pip --python /opt/hotgraph/bin/python install --no-cache-dir --only-binary=:all: -r tensorflow.txt
COPY --from=wanted /wanted/others.txt ./
# dumb-init is process 1: it passes signals on, and takes leave of orphans that end.
RUN python -m pip --python /opt/hotgraph/bin/python install --no-cache-dir --only-binary=:all: \
    -r others.txt dumb-init==1.2.5.post1

FROM python:${PYTHON} AS wheel
WORKDIR /source
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

# No stage needs a compiler, so this one has none either.
FROM python:${PYTHON} AS image
# A number above those of any system's users, which runAsNonRoot of Kubernetes can check.
RUN useradd --no-log-init --uid 10001 --user-group --no-create-home --home-dir /nonexistent hotgraph
COPY --from=packages /opt/hotgraph /opt/hotgraph
COPY --from=wheel /wheels /wheels
RUN python -m pip --python /opt/hotgraph/bin/python install --no-cache-dir --no-deps --no-index /wheels/*.whl

# Nothing is written anywhere: the root may be read-only. HOTGRAPH_HOST: a container's callers are outside of it.
# MODEL_BASE_PATH and MODEL_NAME are those of TensorFlow Serving's image, and read by tensorflow-model-server alone.
ENV PATH=/opt/hotgraph/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1 \
    HOTGRAPH_HOST=0.0.0.0 \
    MODEL_BASE_PATH=/models \
    MODEL_NAME=model
USER 10001:10001
WORKDIR /
# gRPC (and HTTP), metrics and health over HTTP, REST; of tensorflow-model-server 8501 is REST
EXPOSE 8500 8501 8502
STOPSIGNAL SIGTERM
# 0.15 s of a processor each. The start: what TensorFlow takes to load, and the models.
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s --retries=3 CMD ["hotgraph", "health"]
# To hotgraph alone, which tells its own processes: a second signal would end it at once.
ENTRYPOINT ["dumb-init", "--single-child", "--", "hotgraph"]
CMD ["serve"]
