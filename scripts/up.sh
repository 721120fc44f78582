#!/usr/bin/env bash
# Starts the distributed deployment from locally installed servers: a private Redis and PostgreSQL, two APIs and two
# workers. Everything lies in ./scorewire-fleet and stays there, so that the next start goes on where this one ended.
#
# REDIS_PORT, POSTGRES_PORT: ports (default: free ones). API_1_PORT, API_2_PORT: 3000 and 3001.
# FLEET_DIR: another directory. PG_BIN: where PostgreSQL's programs are. REDIS_APPENDFSYNC: always or everysec (default).
set -euo pipefail

usage="usage: up.sh PATH/TO/scorewire PATH/TO/scorewire-worker"
scorewire=$(realpath -e "${1:?$usage}")
worker=$(realpath -e "${2:?$usage}")
umask 077

fail() { echo "up.sh: $*" >&2; exit 1; }
# A short wait without a process of its own.
pause() { read -rt 0.1 <> <(:) || true; }
taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
free_port() {
    local port=$1
    while taken "$port"; do port=$((port + 1)); done
    echo "$port"
}
# Letters and digits: two of these stand in URLs.
new_secret() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
# The secret of this name, made at the first start.
secret() {
    [ -s "$fleet/$1" ] || new_secret >"$fleet/$1"
    cat "$fleet/$1"
}
# Waits until a command succeeds, unless the process it asks for has ended.
until_ready() {
    local name=$1 pid=$2 tries=600
    shift 2
    until "$@" >/dev/null 2>&1; do
        kill -0 "$pid" 2>/dev/null || fail "$name did not start: see $logs/$name.log"
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || fail "$name does not answer: see $logs/$name.log"
        pause
    done
}

command -v redis-server >/dev/null || fail "redis-server is missing: apt-get install redis-server"
programs=${PG_BIN:-$(compgen -G "/usr/lib/postgresql/*/bin" | sort -V | tail -n 1 || true)}
[ -x "$programs/initdb" ] || fail "PostgreSQL is missing: apt-get install postgresql, or set PG_BIN"

fleet=${FLEET_DIR:-scorewire-fleet}
mkdir -p "$fleet/logs" "$fleet/redis"
fleet=$(realpath "$fleet")
logs=$fleet/logs
exec 9>"$fleet/lock"
flock -n 9 || fail "$fleet is in use by another fleet: stop that one, or set FLEET_DIR"

api_ports=("${API_1_PORT:-3000}" "${API_2_PORT:-3001}")
for port in "${api_ports[@]}"; do
    ! taken "$port" || fail "port $port is taken: set API_1_PORT and API_2_PORT to free ones"
done
redis_port=${REDIS_PORT:-$(free_port 16379)}
postgres_port=${POSTGRES_PORT:-$(free_port 15432)}
for port in "$redis_port" "$postgres_port"; do
    ! taken "$port" || fail "port $port is taken: set REDIS_PORT and POSTGRES_PORT to free ones"
done

# PostgreSQL refuses to run as root.
as_owner=()
if [ "$(id -u)" -eq 0 ]; then
    owner=$(id -un postgres 2>/dev/null || echo nobody)
    as_owner=(setpriv "--reuid=$owner" "--regid=$(id -g "$owner")" --clear-groups)
    chmod 711 "$fleet"
    install -d -o "$owner" -g "$(id -g "$owner")" "$fleet/postgres"
    # It may not be allowed to enter the directory this was started in.
    "${as_owner[@]}" test -w "$fleet/postgres" ||
        fail "user $owner can not enter $fleet: run this as another user than root, or set FLEET_DIR to a directory it can enter"
else
    mkdir -p "$fleet/postgres"
fi

JWT_SECRET=${JWT_SECRET:-$(secret jwt-secret)}
redis_password=$(secret redis-password)
postgres_password=$(secret postgres-password)
export JWT_SECRET
export REDIS_URL=redis://:$redis_password@127.0.0.1:$redis_port/0
export DATABASE_URL=postgres://scorewire:$postgres_password@127.0.0.1:$postgres_port/scorewire

declare -A names=()
apis=() workers=() servers=()

# In a session of its own, so that Ctrl-C reaches this script only, which then ends everything in order.
start() {
    local name=$1
    shift
    setsid "$@" >>"$logs/$name.log" 2>&1 9>&- </dev/null &
    names[$!]=$name
}
# Ends processes by their ids and waits for them; what has ended is no error.
stop() {
    local pid
    for pid in "$@"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "$@"; do wait "$pid" 2>/dev/null || true; done
}
cleanup() {
    trap '' INT TERM
    [ ${#names[@]} -eq 0 ] || echo "Stopping: APIs, workers, Redis, PostgreSQL."
    stop "${apis[@]}"
    stop "${workers[@]}"
    # Redis first; PostgreSQL takes SIGINT as "now, but in order", and would wait for clients after SIGTERM.
    [ ${#servers[@]} -lt 2 ] || stop "${servers[1]}"
    if [ ${#servers[@]} -gt 0 ]; then
        kill -INT "${servers[0]}" 2>/dev/null || true
        wait "${servers[0]}" 2>/dev/null || true
    fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

database=$fleet/postgres/data
if [ ! -f "$database/PG_VERSION" ]; then
    # Read by whoever PostgreSQL runs as.
    first=$fleet/postgres/first-password
    printf '%s' "$postgres_password" >"$first"
    [ ${#as_owner[@]} -eq 0 ] || chown "$owner" "$first"
    (cd / && "${as_owner[@]}" "$programs/initdb" -U scorewire -A scram-sha-256 --pwfile="$first" -E UTF8 --locale C \
        --data-checksums -D "$database") >"$logs/initdb.log" 2>&1 || fail "see $logs/initdb.log"
    rm "$first"
fi
start postgres "${as_owner[@]}" "$programs/postgres" -D "$database" -h 127.0.0.1 -p "$postgres_port" -k "$fleet/postgres"
servers+=($!)
export PGPASSWORD=$postgres_password
ask=(-X -q -h 127.0.0.1 -p "$postgres_port" -U scorewire)
until_ready postgres "${servers[0]}" "$programs/psql" "${ask[@]}" -c 'SELECT 1' postgres
"$programs/psql" "${ask[@]}" -tAc "SELECT 1 FROM pg_database WHERE datname = 'scorewire'" postgres | grep -q 1 ||
    "$programs/psql" "${ask[@]}" -c 'CREATE DATABASE scorewire' postgres
unset PGPASSWORD

# The password stands in a file: arguments can be read by everybody on the machine.
cat >"$fleet/redis.conf" <<CONF
bind 127.0.0.1
port $redis_port
dir $fleet/redis
appendonly yes
appendfsync ${REDIS_APPENDFSYNC:-everysec}
maxmemory-policy noeviction
save ""
requirepass $redis_password
CONF
start redis redis-server "$fleet/redis.conf"
servers+=($!)
redis_is_ready() { [ "$(REDISCLI_AUTH=$redis_password redis-cli -p "$redis_port" ping)" = PONG ]; }
until_ready redis "${servers[1]}" redis_is_ready

"$scorewire" migrate >"$logs/migrate.log" 2>&1 || fail "the migration failed: see $logs/migrate.log"
for n in 1 2; do
    start "worker-$n" "$worker"
    workers+=($!)
done
for n in 1 2; do
    start "api-$n" "$scorewire" serve --role api --listen "127.0.0.1:${api_ports[n - 1]}"
    apis+=($!)
done
for n in 1 2; do
    until_ready "api-$n" "${apis[n - 1]}" "$scorewire" healthcheck --url "http://127.0.0.1:${api_ports[n - 1]}/readyz"
done
for pid in "${workers[@]}"; do
    kill -0 "$pid" 2>/dev/null || fail "${names[$pid]} did not start: see $logs/${names[$pid]}.log"
done
# What it finds is for the reader; the fleet runs either way.
"$scorewire" doctor >"$logs/doctor.log" 2>&1 || true
token=$("$scorewire" token --user dev --scope scores:write:any,users:write --ttl 24h)

one=http://localhost:${api_ports[0]} two=http://localhost:${api_ports[1]}
cat <<TEXT
The fleet runs.
  api-1       process ${apis[0]}, $one
  api-2       process ${apis[1]}, $two
  worker-1    process ${workers[0]}
  worker-2    process ${workers[1]}
  redis       process ${servers[1]}, 127.0.0.1:$redis_port (password in $fleet/redis-password)
  postgres    process ${servers[0]}, 127.0.0.1:$postgres_port (user scorewire, password in $fleet/postgres-password)
  logs        $logs
  doctor      $(tail -n 1 "$logs/doctor.log") ($logs/doctor.log)

Watch one API, post to the other, and kill a worker meanwhile:

  TOKEN=$token
  curl -N $two/scores/stream
  curl -X POST $one/users -H "Authorization: Bearer \$TOKEN" -H "Content-Type: application/json" -d '{"id":1,"name":"Alice"}'
  curl -X POST $one/scores/update -H "Authorization: Bearer \$TOKEN" -H "Content-Type: application/json" -d '{"userId":1,"increment":10}'
  kill -9 ${workers[0]}

Ctrl-C stops everything.
TEXT

# One that ends is told of and not replaced: that is how the rest can be seen going on without it.
while [ ${#names[@]} -gt 0 ]; do
    status=0
    wait -n -p ended || status=$?
    [ -n "${ended:-}" ] || break
    echo "${names[$ended]} (process $ended) ended with status $status; its log: $logs/${names[$ended]}.log"
    unset "names[$ended]"
done
