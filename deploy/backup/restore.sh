#!/bin/sh
# Put a backup in place, while neither Redis nor any worker runs.
#
# restore.sh BACKUP REDIS_DIRECTORY STORE   The directory is that of the setting `dir` of Redis.
set -eu

if [ $# -ne 3 ]; then
  echo "usage: restore.sh BACKUP REDIS_DIRECTORY STORE" >&2
  exit 2
fi
for taken in "$2/dump.rdb" "$2/appendonlydir" "$2/appendonly.aof" "$3"; do
  if [ -e "$taken" ]; then
    echo "restore.sh: $taken exists: move it away first" >&2
    exit 2
  fi
done
mkdir -p "$2"
cp "$1/dump.rdb" "$2/dump.rdb"
if [ -f "$1/store.tar" ]; then
  mkdir -p "$3"
  tar -xf "$1/store.tar" -C "$3"
fi
echo "restored: start Redis with --appendonly no, then the workers"
