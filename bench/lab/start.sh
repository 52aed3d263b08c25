#!/bin/sh
# Started by the lab (peer-*.json) with PORT, LAB_DB, PG_DSN and SQLITE_PATH: loads the lab's rows where they are not
# there yet and serves them in production settings. Run `python3 run.py` once before: it makes the environment.
set -eu
export KABINET_SECRET_KEY=of-the-lab-alone-and-of-no-shop-at-all KABINET_MODE=production KABINET_HOST=127.0.0.1 KABINET_PORT="$PORT" KABINET_ALLOWED_HOSTS=127.0.0.1
# The bucket of each buyer's costs is kept, but must hold what 60 buyers never ask for in a second.
export KABINET_COST_PER_SECOND=10000000 KABINET_COST_BURST=10000000
case "$LAB_DB" in
pg) export KABINET_DATABASE_URL="${PG_DSN%/*}/kabinet" ;;
*) export KABINET_DATABASE_URL="sqlite:///$(dirname "$SQLITE_PATH")/kabinet.db" ;;
esac
unset PYTHONPATH  # the lab's own folder, which has a run.py too
cd "$(dirname "$0")/../.."
exec "${KABINET_PYTHON:-.venv/bin/python}" -m bench.lab.serve "$SQLITE_PATH"
