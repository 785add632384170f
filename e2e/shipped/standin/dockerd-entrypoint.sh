#!/bin/sh
# Does what the official image's entrypoint does, as far as a job can tell: with DOCKER_TLS_CERTDIR, it makes certificates
# there and has dockerd listen with them on port 2376, without, on port 2375. Anything else than dockerd's options is run.
set -eu

make_certificates() {
	mkdir -p "$1/ca" "$1/server" "$1/client"
	openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/CN=docker:dind CA" -addext basicConstraints=critical,CA:true \
		-keyout "$1/ca/key.pem" -out "$1/ca/cert.pem"
	certify "$1" server "subjectAltName=DNS:docker,DNS:localhost,DNS:$(hostname),IP:127.0.0.1"
	certify "$1" client "extendedKeyUsage=clientAuth"
	chmod 0644 "$1/client/key.pem" # a job's user need not be root
}

certify() {
	openssl req -newkey rsa:2048 -nodes -subj "/CN=docker:dind $2" -keyout "$1/$2/key.pem" -out "$1/$2/csr.pem"
	echo "$3" >"$1/$2/openssl.cnf"
	openssl x509 -req -in "$1/$2/csr.pem" -CA "$1/ca/cert.pem" -CAkey "$1/ca/key.pem" -CAcreateserial \
		-days 365 -extfile "$1/$2/openssl.cnf" -out "$1/$2/cert.pem"
	cp "$1/ca/cert.pem" "$1/$2/ca.pem"
}

if [ $# -gt 0 ] && [ "${1#-}" = "$1" ]; then
	exec "$@"
fi

export OPENSSL_CONF=/etc/ssl/openssl.cnf
certs=${DOCKER_TLS_CERTDIR:-}
if [ -n "$certs" ]; then
	[ -s "$certs/client/ca.pem" ] || make_certificates "$certs"
	set -- --host=tcp://0.0.0.0:2376 --tlsverify --tlscacert="$certs/server/ca.pem" \
		--tlscert="$certs/server/cert.pem" --tlskey="$certs/server/key.pem" "$@"
else
	set -- --host=tcp://0.0.0.0:2375 "$@"
fi
exec dockerd --host=unix:///var/run/docker.sock "$@"
