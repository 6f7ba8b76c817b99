#!/bin/sh
# Installs from Debian's packages what the tests need beside Python: RabbitMQ and PostgreSQL, which they start
# themselves, privately; the library with which the mongod among the Python packages is linked; a browser, and letters
# for it to draw.
set -eu

packages=""
if [ -z "${SAGAFLOW_TEST_AMQP_URL:-}" ] && [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
    packages="rabbitmq-server"
fi
if [ -z "${SAGAFLOW_TEST_POSTGRES_URL:-}" ] && ! command -v postgres >/dev/null &&
    [ -z "$(find /usr/lib/postgresql -path '*/bin/postgres' 2>/dev/null | head -n 1)" ]; then
    packages="$packages postgresql"
fi
if [ -z "${SAGAFLOW_TEST_CHROMIUM:-}" ] && ! command -v chromium >/dev/null && ! command -v chromium-browser >/dev/null
then
    packages="$packages chromium fonts-dejavu-core"
fi
if command -v apt-get >/dev/null && [ -z "$(find /usr/lib -name libcurl.so.4 | head -n 1)" ]; then
    packages="$packages libcurl4"
fi
[ -n "$packages" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "Without root and apt this cannot be installed, and tests will be skipped for lack of it: $packages"
    [ -z "${CI:-}" ] || exit 1
    exit 0
fi

# The packages would start the system's own servers, unless this file forbids it while they are installed. A file
# that is there already and allows it is set aside for that time.
policy=/usr/sbin/policy-rc.d
aside=$policy.set-aside
is_ours=""

# PostgreSQL's would make a database cluster too, and start it whenever the machine starts, unless this one forbids it.
clusters=/etc/postgresql-common/createcluster.d
no_cluster=$clusters/sagaflow.conf

restore() {
    if [ -n "$is_ours" ]; then
        rm -f "$policy"
        [ ! -e "$aside" ] || mv "$aside" "$policy"
    fi
    rm -f "$no_cluster"
    [ ! -d "$clusters" ] || rmdir --ignore-fail-on-non-empty "$clusters"
}

trap restore EXIT
trap 'exit 1' HUP INT TERM
for service in rabbitmq-server postgresql; do
    answer=0
    [ ! -x "$policy" ] || "$policy" "$service" start >/dev/null 2>&1 || answer=$?
    if [ "$answer" != 101 ]; then
        is_ours=yes
        [ ! -e "$policy" ] || mv "$policy" "$aside"
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
    fi
done
mkdir -p "$clusters"
echo "create_main_cluster = false" >"$no_cluster"

echo "Installing for the tests: $packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # several packages are several words
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 $packages >/dev/null
