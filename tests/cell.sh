#!/usr/bin/env bash
# Passes tests in another release of Debian, with its Slurm and its Python: bookworm has Slurm 22.05 and Python 3.11, trixie 24.11 and 3.13.
# tests/cell.sh RELEASE [arguments of pytest]; needs root and debootstrap. The release is unpacked once, into KEMPNER_CELLS or below ~/.cache.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
release=${1:?tests/cell.sh RELEASE [arguments of pytest]}
shift
place=${KEMPNER_CELLS:-${XDG_CACHE_HOME:-$HOME/.cache}/snakemake-kempner/cells}/$release

if [ ! -e "$place/.complete" ]; then
    command -v debootstrap >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; } >/dev/null
    mkdir -p "$place"
    debootstrap --variant=minbase "$release" "$place" ${KEMPNER_DEBIAN_MIRROR:-} >/dev/null
    cp /etc/resolv.conf "$place/etc/"
    chroot "$place" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive chroot "$place" apt-get install -y -qq --no-install-recommends \
        ca-certificates git make procps python3-venv slurm-wlm munge slurmdbd mariadb-server >/dev/null
    touch "$place/.complete"
fi

# What is tested is the working tree, without what git ignores; the environment that was made there before stays.
mkdir -p "$place/checkout"
find "$place/checkout" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -c | tar -x -C "$place/checkout"

export place
exec unshare --mount bash -c '
    set -e
    for folder in proc sys dev; do mount --rbind "/$folder" "$place/$folder"; done
    mount -t tmpfs none "$place/tmp"
    for file in ${PIP_CERT:-} ${PIP_FIND_LINKS:-}; do
        if [ -d "$file" ]; then mkdir -p "$place$file"; else mkdir -p "$(dirname "$place$file")" && touch "$place$file"; fi
        mount --bind "$file" "$place$file"
    done
    exec chroot "$place" /usr/bin/env -u SLURM_CONF HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        /checkout/tests/run.sh "$@"
' tests/cell.sh "$@"
