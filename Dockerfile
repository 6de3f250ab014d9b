# Debian 13 carries dolfinx, so route 3 of env/run applies: everything is installed here, and commands start at once.
#   docker build -t bloodpatch .
#   docker run --rm -v "$PWD:/data" -w /data bloodpatch bloodpatch run case.toml --out results/case
FROM debian:13
COPY env /opt/bloodpatch/env
COPY environment.yml /opt/bloodpatch/
ENV BLOODPATCH_ROUTE=3 BLOODPATCH_CACHE=/opt/bloodpatch-cache
RUN /opt/bloodpatch/env/run true && rm -rf /var/lib/apt/lists/* /root/.cache && chmod -R a+rX /opt
COPY . /opt/bloodpatch
ENTRYPOINT ["/opt/bloodpatch/env/run"]
CMD ["bloodpatch", "--help"]
