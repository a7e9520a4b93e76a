"""What is run on the servers of a move: POSIX shell, with all values as arguments."""

from __future__ import annotations

# LOCK AUDIT SERVICE DESTINATION SOURCE… -- ACCESSORY…: what there is of a deployment.
LOOK = """\
lock=$1 audit=$2 service=$3 destination=$4
shift 4
if [ -d "$lock" ]; then echo "lock $(base64 -d "$lock/details" 2>/dev/null | tr '\\n' ' ')"; fi
grep -aE 'Booted app version|as the latest image' "$audit" 2>/dev/null |
  tail -n 2 | sed 's/^/boot /'
command -v docker >/dev/null || exit 0
docker ps --all --quiet --filter "label=service=$service" \\
  --filter "label=destination=$destination" --filter label=role |
while read -r id; do
  version=$(docker inspect --format '{{range .Config.Env}}{{println .}}{{end}}' "$id" |
    sed -n 's/^KAMAL_VERSION=//p')
  docker inspect --format "app {{.State.FinishedAt}} {{.State.Status}} \\
{{index .Config.Labels \\"role\\"}} {{.Config.Image}} $version {{.Id}}" "$id"
done
while [ "$1" != -- ]; do
  docker ps --filter "volume=$1" --format '{{.Names}} {{.Label "service"}} {{.Label "role"}}' |
    sed 's/^/open /'
  shift
done
shift
for one; do docker inspect --format "accessory {{.State.Status}} $one" "$one" 2>/dev/null; done
exit 0
"""

# In a container of the app. UPLOADS FILE…: what is on the volume, and what a move has fenced.
VOLUME = """\
if [ -n "$1" ]; then
  echo "uploads $(cd "$1" 2>/dev/null && find . -type f -path './??/??/*' | wc -l)"
fi
shift
for file; do
  fence=$(dirname "$file")/.$(basename "$file")-moved
  if [ -e "$fence" ]; then echo "fenced $(cat "$fence/to" 2>/dev/null) $file"; fi
  if [ -e "$file" ]; then echo "file $(cat "$file" "$file-wal" 2>/dev/null | wc -c) $file"; fi
done
"""

# In a container of the app. FILE…: FILE, table, how many rows, with tabs between them.
ROWS = """\
set -e
for file; do
  [ -e "$file" ] || continue
  sqlite3 -readonly "$file" "SELECT 'SELECT ''' || replace(name, '''', '''''') || ''', count(*)
    FROM \\"' || replace(name, '\\"', '\\"\\"') || '\\";' FROM sqlite_master WHERE type = 'table'
    AND sql NOT LIKE 'CREATE VIRTUAL%' AND name NOT LIKE '\\_litestream%' ESCAPE '\\'" >/tmp/count
  sqlite3 -readonly -separator '\t' "$file" </tmp/count >/tmp/counted
  while IFS= read -r line; do printf '%s\\t%s\\n' "$file" "$line"; done </tmp/counted
done
"""

# In a container of the app, with the keys. FILE…: restores into the container, which is left.
REHEARSE = """\
set -e
for file; do
  rm -f /tmp/rehearsed*
  litestream restore -config "$LITESTREAM_CONFIG" -o /tmp/rehearsed "$file" >&2
  sqlite3 -readonly /tmp/rehearsed 'PRAGMA quick_check' | grep -qx ok
  echo "bytes $(wc -c </tmp/rehearsed)"
done
"""

# In a container of the app, with the keys. FILE…: the newest change here, and the one uploaded
# (Litestream 0.5; 0.3 has no such number).
POSITIONS = """\
set -e
for file; do
  [ -e "$file" ] || continue
  about=$(dirname "$file")/.$(basename "$file")
  here=$(cd "$about-litestream/ltx/0" && find . -name '*.ltx' | sort | tail -n 1)
  here=${here##*-}
  there=$(litestream ltx -config "$LITESTREAM_CONFIG" "$file" | sed 1d | sort -k 3 | tail -n 1)
  # shellcheck disable=SC2086
  set -- $there
  echo "${here%.ltx} ${3:-none} $file"
done
"""

# SERVICE DESTINATION PROXIED: visitors see that it comes back, and nothing of the app runs.
STOP = """\
set -e
docker exec kamal-proxy kamal-proxy stop "$3" --drain-timeout=10s --message="Back in a moment." \\
  >/dev/null 2>&1 || :
docker ps --quiet --filter "label=service=$1" --filter "label=destination=$2" \\
  --filter label=role | xargs -r docker stop -t 30
"""

# ACCESSORY SERIES FILE…: has Litestream upload the last change, waits until it has, and stops it.
UPLOAD = """\
set -e
sidecar=$1 series=$2
shift 2
docker start "$sidecar" >/dev/null
for file; do
  [ "$series" = 0.5 ] || break
  tries=0
  until docker exec "$sidecar" litestream sync -wait -socket /tmp/litestream.sock "$file"; do
    tries=$((tries + 1))
    [ "$tries" -lt 12 ] || exit 1
    sleep 5
  done
done
docker stop -t 35 "$sidecar" >/dev/null
"""

# ACCESSORY KEYS USER ROOT: rounds of bin/copy-uploads, until all files are uploaded.
UPLOAD_FILES = """\
set -e
docker stop -t 30 "$1" >/dev/null
image=$(docker inspect --format '{{.Config.Image}}' "$1")
tries=0
while :; do
  said=$(docker run --rm --volumes-from "$1" --env-file "$2" --user "$3" --env "UPLOADS_ROOT=$4" \\
    --entrypoint sh "$image" -c '
      /usr/local/bin/copy-uploads once >&2 || exit 1
      cd "$UPLOADS_ROOT"
      find . -path "./.*" -prune -o -type f -path "./??/??/*" ! -name "*.partial" -print |
        sed "s|^\\./||" | sort >/tmp/here
      cut -d " " -f 2- .uploads/known | sort >/tmp/there
      comm -23 /tmp/here /tmp/there | wc -l') || said=failed
  if [ "$said" = 0 ]; then exit 0; fi
  tries=$((tries + 1))
  [ "$said" != failed ] || [ "$tries" -lt 10 ] || exit 1
  sleep 3
done
"""

# In a container of the app. TO UPLOADS FILE…: what this server knows of its backups is put away, so
# that bin/one-writer and bin/copy-uploads let nobody go on with them.
FENCE = """\
set -e
to=$1 uploads=$2
shift 2
for file; do
  [ -e "$file" ] || continue
  about=$(dirname "$file")/.$(basename "$file")
  mkdir -p "$about-moved"
  echo "$to" >"$about-moved/to"
  for part in litestream backup; do
    [ -e "$about-$part" ] || continue
    rm -rf "${about:?}-moved/$part"
    mv "$about-$part" "$about-moved/$part"
  done
done
if [ -n "$uploads" ] && [ -e "$uploads/.uploads" ]; then
  rm -rf "${uploads:?}/.uploads-moved"
  mv "$uploads/.uploads" "$uploads/.uploads-moved"
fi
"""

# In a container of the app, with the keys. UPLOADS FILE…: the opposite. Where the new server's
# Litestream was up, though not the app, the backup goes on from here with a new copy.
LIFT = """\
set -e
uploads=$1
shift
for file; do
  [ -e "$file" ] || continue
  about=$(dirname "$file")/.$(basename "$file")
  for part in litestream backup; do
    [ -e "$about-moved/$part" ] || continue
    rm -rf "${about:?}-$part"
    mv "$about-moved/$part" "$about-$part"
  done
  rm -rf "$about-moved"
  code=0
  bin/one-writer ours "$LITESTREAM_CONFIG" "$file" || code=$?
  if [ "$code" = 1 ]; then
    bin/one-writer claim "$LITESTREAM_CONFIG" "$file"
    rm -rf "$about-litestream"
  fi
done
if [ -n "$uploads" ] && [ -e "$uploads/.uploads-moved" ]; then
  rm -rf "${uploads:?}/.uploads"
  mv "$uploads/.uploads-moved" "$uploads/.uploads"
  touch "$uploads/.uploads/claim"
fi
"""

# In a container of the app. STAMP UPLOADS FILE…: as on an empty server; what was here is kept.
CLEAR = """\
set -e
stamp=$1 uploads=$2
shift 2
for file; do
  about=$(dirname "$file")/.$(basename "$file")
  rm -rf "$about-litestream" "$about-backup"
  for part in -wal -shm ''; do
    if [ -e "$file$part" ]; then mv "$file$part" "$file.before-move-$stamp$part"; fi
  done
  rm -rf "$about-moved"
done
if [ -n "$uploads" ]; then rm -rf "${uploads:?}/.uploads" "${uploads:?}/.uploads-moved"; fi
"""

# PROXIED PORT ACCESSORY… -- CONTAINER…: what was stopped is started, and answers.
START = """\
set -e
proxied=$1 port=$2
shift 2
while [ "$1" != -- ]; do
  docker start "$1" >/dev/null
  shift
done
shift
docker start "$@" >/dev/null
tries=0
until docker exec "$1" ruby -rnet/http -e '
    exit Net::HTTP.get_response("127.0.0.1", "/up", ARGV[0].to_i).code.to_i < 500' "$port" \\
    2>/dev/null; do
  tries=$((tries + 1))
  if [ "$tries" -ge 60 ]; then
    echo "the app was started, and does not answer yet: kamal app logs" >&2
    break
  fi
  sleep 1
done
docker exec kamal-proxy kamal-proxy resume "$proxied" >/dev/null 2>&1 || :
"""

# In a container of the app. ROOT, on stdin SIZE PATH of the files that were on the other server:
# how many there were, and how many neither came nor were deleted since.
FILES = """\
cd "$1" || exit 1
cat >/tmp/wanted
cat .uploads/purged/* >/tmp/gone 2>/dev/null || :
awk 'FILENAME == "/tmp/gone" { gone[$0]; next } FILENAME != "/tmp/wanted" { here[$0]; next }
  { path = $0; sub(/^[0-9]+ /, "", path); bytes += $1; files++ }
  !($0 in here) && !(path in gone) { lacking++ }
  END { printf "%d %.0f %d\\n", files, bytes, lacking }' /tmp/gone .uploads/known /tmp/wanted
"""
