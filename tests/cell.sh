#!/usr/bin/env bash
# Passes tests in another cell: a release of Debian with its Slurm and its Python (bookworm: 22.05 and 3.11, trixie: 24.11 and 3.13), unpacked once into
# KEMPNER_CELLS or below ~/.cache. Needs root and debootstrap; its exit status is 77 where the release cannot be unpacked or entered.
# tests/cell.sh RELEASE [--lowest] [--accounting] [--user] [arguments of pytest]
#   --lowest       the lowest Snakemake that pyproject.toml allows, with the lowest interfaces; default: the highest
#   --accounting   the Slurm that most tests share has accounting
#   --user         as an ordinary user; default: as root
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
release=${1:?tests/cell.sh RELEASE [--lowest] [--accounting] [--user] [arguments of pytest]}
shift
versions=highest accounting='' user=root
while :; do
    case ${1:-} in
        --lowest) versions=lowest ;;
        --accounting) accounting=yes ;;
        --user) user=somebody ;;
        *) break ;;
    esac
    shift
done
place=${KEMPNER_CELLS:-${XDG_CACHE_HOME:-$HOME/.cache}/snakemake-kempner/cells}/$release

not_here() {
    echo "No cell $release here: $*" >&2
    exit 77
}

unpack() {
    command -v debootstrap || { apt-get update -qq && apt-get install -y -qq --no-install-recommends debootstrap; }
    debootstrap --variant=minbase "$release" "$place" ${KEMPNER_DEBIAN_MIRROR:-}
    cp /etc/resolv.conf /etc/hosts "$place/etc/"
    chroot "$place" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive chroot "$place" apt-get install -y -qq --no-install-recommends \
        ca-certificates git make procps python3-venv slurm-wlm munge slurmdbd mariadb-server
    chroot "$place" useradd --create-home somebody
    touch "$place/.complete"
}

if [ "$(id -u)" != 0 ] || ! unshare --mount true; then not_here "only root may enter it"; fi
export release place checkout=/checkout-$versions-$user user versions accounting
mkdir -p "$place"
if [ ! -e "$place/.complete" ]; then
    echo "Unpacking $release in $place …"
    export -f unpack
    timeout 900 bash -ec unpack >"$place.log" 2>&1 || { tail -n 20 "$place.log" >&2 && not_here "it cannot be unpacked"; }
fi

# What is tested is the working tree, without what git ignores; the environment that was made there before stays.
mkdir -p "$place$checkout"
find "$place$checkout" -mindepth 1 -maxdepth 1 ! -name .venv -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard | tar --null --ignore-failed-read -T - -c | tar -x --no-same-owner -C "$place$checkout"
chroot "$place" chown -R "$user:" "$checkout"

inside() {
    home=$(chroot "$place" getent passwd "$user" | cut -d: -f6)
    chroot "$place" setpriv --reuid "$user" --regid "$user" --init-groups \
        env -u SLURM_CONF HOME="$home" USER="$user" LOGNAME="$user" PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
        KEMPNER_CELL=yes KEMPNER_SNAKEMAKE="$versions" KEMPNER_ACCOUNTING="$accounting" "$@"
}
export -f not_here inside

exec unshare --mount bash -ec '
    for folder in proc sys dev; do mount --rbind "/$folder" "$place/$folder"; done
    mount -t tmpfs none "$place/tmp"
    for file in ${PIP_CERT:-} ${PIP_FIND_LINKS:-}; do
        if [ -d "$file" ]; then mkdir -p "$place$file"; else mkdir -p "$(dirname "$place$file")" && touch "$place$file"; fi
        mount --bind "$file" "$place$file"
    done
    inside bash -ec "source $checkout/.ci/setup test example" || not_here "its Python environment cannot be made"
    inside "$checkout/tests/run.sh" "$@"
' tests/cell.sh "$@"
