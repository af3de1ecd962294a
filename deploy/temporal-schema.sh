#!/bin/sh
# Bring Temporal's two databases to this release's schema. Safe to repeat: each start of the stack runs it.
set -eu
prepare() {
    temporal-sql-tool --db "$1" create
    temporal-sql-tool --db "$1" setup-schema -v 0.0
    temporal-sql-tool --db "$1" update-schema -d "/etc/temporal/schema/postgresql/v12/$2/versioned"
}
prepare temporal temporal
prepare temporal_visibility visibility
