#!/bin/sh
# Installs from Debian's packages what the servers of the tests need: RabbitMQ, whose private nodes the tests
# start themselves, and the library with which the mongod among the Python packages is linked.
set -eu

packages=""
if [ -z "${SAGAFLOW_TEST_AMQP_URL:-}" ] && [ ! -x /usr/lib/rabbitmq/bin/rabbitmq-server ]; then
    packages="rabbitmq-server"
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

# The package would start the system's own RabbitMQ, unless this file forbids it while it is installed. A file
# that is there already and allows it is set aside for that time.
policy=/usr/sbin/policy-rc.d
aside=$policy.set-aside

restore() {
    rm -f "$policy"
    [ ! -e "$aside" ] || mv "$aside" "$policy"
}

answer=0
[ ! -x "$policy" ] || "$policy" rabbitmq-server start >/dev/null 2>&1 || answer=$?
if [ "$answer" != 101 ]; then
    trap restore EXIT
    trap 'exit 1' HUP INT TERM
    [ ! -e "$policy" ] || mv "$policy" "$aside"
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

echo "Installing for the tests: $packages"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086  # several packages are several words
apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=120 $packages >/dev/null
