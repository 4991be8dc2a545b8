#!/bin/bash
# Makes the certificates of this folder anew. Their keys are known to everybody: they are for tests only.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }
authority() { # FILE NAME
    key "$1.key"
    openssl req -x509 -new -key "$1.key" -subj "/CN=$2" -days 36500 -out "$1.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}
leaf() { # FILE SAN FROM TO
    key "$1.key"
    : > "$work/index"
    echo 01 > "$work/serial"
    printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s\nserial=%s\nnew_certs_dir=%s\ndefault_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n' \
        "$work/index" "$work/serial" "$work" > "$work/ca.cnf"
    printf 'basicConstraints=CA:FALSE\n%s\n' "$2" > "$work/ext"
    openssl req -new -key "$1.key" -subj "/CN=$1" -out "$work/csr"
    openssl ca -batch -notext -config "$work/ca.cnf" -cert ca.pem -keyfile ca.key -in "$work/csr" \
        -extfile "$work/ext" -startdate "$3" -enddate "$4" -out "$1.pem" 2> "$work/log" || cat "$work/log"
}

authority ca "Test authority"
leaf www subjectAltName=DNS:www.example.test,DNS:example.test 20200101000000Z 21200101000000Z
leaf wild subjectAltName=DNS:*.example.test 20200101000000Z 21200101000000Z
leaf again subjectAltName=DNS:www.example.test 20200101000000Z 21100101000000Z
leaf expired subjectAltName=DNS:old.example.test 20200101000000Z 20200201000000Z
leaf nameless keyUsage=digitalSignature 20200101000000Z 21200101000000Z
# A revocation list that was over long ago.
printf '[ca]\ndefault_ca=d\n[d]\ndatabase=%s\ncrlnumber=%s\ndefault_md=sha256\n' "$work/index" "$work/number" > "$work/crl.cnf"
: > "$work/index"
echo 01 > "$work/number"
openssl ca -gencrl -config "$work/crl.cnf" -cert ca.pem -keyfile ca.key \
    -crl_lastupdate 20200101000000Z -crl_nextupdate 20200201000000Z -out over.crl 2> "$work/log" || cat "$work/log"
cat www.pem ca.pem > chain.pem
cat ca.pem www.pem > reversed.pem
head -c 300 www.pem > half.pem
chmod 600 ./*.key
rm ca.key
