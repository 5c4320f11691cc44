#!/bin/sh
# Copy Redis and the store into a new directory, while workers run.
#
# backup.sh REDIS_URL STORE DIRECTORY   It needs redis-cli and tar.
set -eu

if [ $# -ne 3 ]; then
  echo "usage: backup.sh REDIS_URL STORE DIRECTORY" >&2
  exit 2
fi
if [ -e "$3" ]; then
  echo "backup.sh: $3 exists: name a new directory" >&2
  exit 2
fi
part="$3.part"
rm -rf "$part"
mkdir -p "$part"

# Redis first: the versions that its states know are then in the copy of the store. The snapshot is of one moment.
redis-cli -u "$1" --rdb "$part/dump.rdb" >&2

if [ -d "$2" ]; then
  # Pointers before versions: a version never changes, so the version that a pointer names is there afterwards.
  (cd "$2" && find . -type f ! -name '*.safetensors' ! -name '.new-*') > "$part/pointers"
  tar -cf "$part/store.tar" -C "$2" -T "$part/pointers"
  (cd "$2" && find . -type f -name '*.safetensors' -size +0c) > "$part/versions"
  tar -rf "$part/store.tar" --ignore-failed-read -C "$2" -T "$part/versions"
  rm "$part/pointers" "$part/versions"
fi
mv "$part" "$3"
echo "backed up to $3"
