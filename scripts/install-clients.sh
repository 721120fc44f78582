#!/usr/bin/env bash
# Installs the client libraries that `make clients` tries, with the programs of clients/, into a folder:
#   install-clients.sh FOLDER
# Python packages go into a virtual environment there, Node packages beside the programs. Nothing outside is touched.
set -euo pipefail
folder=$1
here=$(cd "$(dirname "$0")/.." && pwd)

for program in python3 node npm; do
    if ! command -v "$program" >/dev/null; then
        echo "make clients needs $program on the PATH (Python 3.9 and Node 18, or newer)." >&2
        exit 1
    fi
done
mkdir -p "$folder"
cp -R "$here/clients/." "$folder/"
# Where a user would download it from a server.
cp "$here/web/scorewire.js" "$folder/node/"

installed=$folder/.installed
wanted=$(cat "$folder/python/requirements.txt" "$folder/node/package-lock.json" "$0" | sha256sum)
if [ -f "$installed" ] && [ "$(cat "$installed")" = "$wanted" ]; then
    exit 0
fi
python3 -m venv --clear "$folder/python/venv"
"$folder/python/venv/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$folder/python/requirements.txt"
(cd "$folder/node" && npm ci --silent)
echo "$wanted" >"$installed"
