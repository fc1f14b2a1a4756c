#!/bin/sh
# Makes the certificates beside this file, for tests alone: valid from 2000 to 2120, worth nothing.
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
touch "$work/index"
cat >"$work/config" <<END
[ca]
default_ca = tests
[tests]
database = $work/index
new_certs_dir = $work
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
END
# NAME EXTENSIONS HOW-TO-SIGN...
certificate() {
    name=$1
    printf '%b' "$2" >"$work/extensions"
    shift 2
    openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$name.key"
    openssl req -new -key "$name.key" -subj "/CN=$name" -out "$work/request"
    openssl ca -batch -notext -config "$work/config" -startdate 20000101000000Z \
        -enddate 21200101000000Z -extfile "$work/extensions" -in "$work/request" -out "$name.pem" "$@"
}
server="basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth\nsubjectAltName="
certificate ca "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n" \
    -selfsign -keyfile ca.key
certificate camera "${server}DNS:localhost,DNS:camera.test,IP:127.0.0.1,IP:::1\n" \
    -cert ca.pem -keyfile ca.key
certificate other "${server}DNS:other.test\n" -cert ca.pem -keyfile ca.key
certificate alone "${server}DNS:alone.test\n" -selfsign -keyfile alone.key
rm -r ca.key "$work"
