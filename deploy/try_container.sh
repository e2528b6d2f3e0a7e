#!/usr/bin/env bash
# Build the image from wheels, run it as its own user, check its health, send it a job, and stop it with a drain.
#
#   deploy/try_container.sh WHEELHOUSE        a folder made by: pip wheel --wheel-dir WHEELHOUSE -c constraints.txt '.[server,metrics,dashboard]'
#
# BASE names the base image (default the Containerfile's); BUILD_FLAGS and RUN_FLAGS are added to `podman build` and
# `podman run`, PODMAN replaces `podman`. docs/deploy.md tells with which of them it has been run. Needs `harmovid` on PATH.
set -euo pipefail
wheelhouse=$1
podman=${PODMAN:-podman}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
image=harmovid-try
container=harmovid-try-$$
port=${PORT:-5570}
cleanup() {
  $podman rm --force --time 1 "$container" >/dev/null 2>&1 || true
  own 0:0 "$work/etc" "$work/etc/farm.secret" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT

echo "== build"
$podman build ${BUILD_FLAGS:-} --format docker ${BASE:+--build-arg BASE=$BASE} -t $image -f "$here/Containerfile" "$wheelhouse"

echo "== keys"
harmovid keys new farm --folder "$work/etc"
harmovid keys new anna --folder "$work/client"
harmovid keys authorize "$work/client/anna.public" --folder "$work/etc"
harmovid keys trust anna "$work/etc/farm.public" --folder "$work/client"
cat > "$work/etc/server.toml" <<TOML
bind = "0.0.0.0"
port = $port
data_port = $((port + 1))
server_key = "/etc/harmovid/farm.secret"
authorized_keys = "/etc/harmovid/authorized_keys"
TOML
own() { if [ "$(id -u)" = 0 ]; then chown "$@"; else $podman unshare chown "$@"; fi; }
own 10001:10001 "$work/etc" "$work/etc/farm.secret"

echo "== run"
$podman run --detach --name "$container" --init --read-only --tmpfs /tmp --cap-drop all --security-opt no-new-privileges \
  --publish "$port:$port" --publish "$((port + 1)):$((port + 1))" --volume "$work/etc:/etc/harmovid:ro" ${RUN_FLAGS:-} $image
for _ in $(seq 120); do
  $podman logs "$container" 2>&1 | grep -q ' ready endpoint=' && break
  sleep 1
done
$podman logs "$container" 2>&1 | tail -2
$podman exec "$container" id
$podman healthcheck run "$container" && echo "healthy"

echo "== job"
python3 - "$work" <<'PY'
import sys
from pathlib import Path
import numpy as np
from harmovid.pixels import exr
folder = Path(sys.argv[1]) / "plate"
folder.mkdir()
for frame, level in zip(range(1001, 1007), (0.2, 0.16, 0.2, 0.16, 0.2, 0.16)):
    window = (0, 0, 160, 90)
    texture = np.linspace(0.5, 1.5, 160 * 90, dtype=np.float32).reshape(90, 160)
    channels = {name: (texture * level).astype(np.float16) for name in "RGB"}
    exr.write(exr.make_frame(exr.PartHeader.make(window, window), channels), folder / f"plate.{frame}.exr")
PY
harmovid deflicker "$work/plate/plate.####.exr" -o "$work/out/" --server "127.0.0.1:$port" --key "$work/client/anna.secret"
ls "$work/out"

echo "== stop"
$podman stop --time 90 "$container"
$podman inspect --format 'exit {{.State.ExitCode}}' "$container"
