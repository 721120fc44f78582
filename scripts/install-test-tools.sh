#!/usr/bin/env bash
# Installs what the tests start, from Debian's packages: Chromium with its WebDriver, a Redis and a PostgreSQL server, nginx
# and curl in front of streams, and docker-compose (1 MB, without an engine), which reads docker-compose.yml.
set -euo pipefail

present() {
    command -v chromedriver >/dev/null && command -v chromium >/dev/null && command -v redis-server >/dev/null &&
        command -v docker-compose >/dev/null && command -v curl >/dev/null &&
        { command -v nginx || [ -x /usr/sbin/nginx ]; } >/dev/null &&
        { [ -n "${PG_BIN:-}" ] || compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; }
}
if present; then
    exit 0
fi
if ! command -v apt-get >/dev/null; then
    echo "The tests need chromium, chromedriver, redis-server, nginx, curl and docker-compose on the PATH, and PostgreSQL's programs in PG_BIN." >&2
    exit 1
fi
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
as_root apt-get install -y -qq --no-install-recommends chromium chromium-driver redis-server postgresql \
    nginx-light curl docker-compose >/dev/null
