#!/usr/bin/env bash
# Makes the stores of this folder with the JDK's keytool and OpenSSL; only needed when they are to be made anew.
# Every password is "changeit", the key's own "keypass1" where the store's kind has one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
rm -f -- *.jks *.p12 *.pem
key=(-keyalg EC -groupname secp256r1 -validity 36500 -storepass changeit)
# An authority, and a client certificate that it signed: the chain has two certificates.
keytool -genkeypair -alias authority "${key[@]}" -dname CN=authority -ext bc:c -storetype PKCS12 -keystore authority.p12
keytool -exportcert -rfc -alias authority -keystore authority.p12 -storepass changeit -file authority.pem
keytool -genkeypair -alias client "${key[@]}" -keypass keypass1 -dname CN=client -storetype JKS -keystore client.jks
keytool -certreq -alias client -keystore client.jks -storepass changeit -keypass keypass1 -file client.csr
keytool -gencert -alias authority -keystore authority.p12 -storepass changeit -validity 36500 -rfc -infile client.csr -outfile client.crt
keytool -importcert -noprompt -alias authority -file authority.pem -keystore client.jks -storepass changeit
keytool -importcert -noprompt -alias client -file client.crt -keystore client.jks -storepass changeit -keypass keypass1
keytool -importkeystore -srckeystore client.jks -srcstorepass changeit -srckeypass keypass1 -srcalias client \
  -destkeystore client.p12 -deststoretype PKCS12 -deststorepass changeit -destkeypass changeit
for type in JKS PKCS12; do
  file=trust.$([ "$type" = JKS ] && echo jks || echo p12)
  keytool -importcert -noprompt -alias authority -file authority.pem -storetype "$type" -keystore "$file" -storepass changeit
  keytool -importcert -noprompt -alias client -file client.crt -storetype "$type" -keystore "$file" -storepass changeit
done
# The broker's: good for localhost and 127.0.0.1 only.
keytool -genkeypair -alias broker "${key[@]}" -dname CN=broker -storetype PKCS12 -keystore broker.p12
keytool -certreq -alias broker -keystore broker.p12 -storepass changeit -file broker.csr
keytool -gencert -alias authority -keystore authority.p12 -storepass changeit -validity 36500 -rfc \
  -ext san=dns:localhost,ip:127.0.0.1 -infile broker.csr -outfile broker.crt
keytool -importcert -noprompt -alias authority -file authority.pem -keystore broker.p12 -storepass changeit
keytool -importcert -noprompt -alias broker -file broker.crt -keystore broker.p12 -storepass changeit
# Another authority, which signed nothing.
keytool -genkeypair -alias stranger "${key[@]}" -dname CN=stranger -ext bc:c -storetype PKCS12 -keystore stranger.p12
keytool -exportcert -rfc -alias stranger -keystore stranger.p12 -storepass changeit -file stranger.pem
rm stranger.p12 broker.csr broker.crt
# As old tools wrote it: RC2 and 3DES, which OpenSSL 3 keeps in its legacy provider.
openssl pkcs12 -in client.p12 -passin pass:changeit -nodes -out client.pem
openssl pkcs12 -export -legacy -in client.pem -name client -passout pass:changeit -out legacy.p12
keytool -genseckey -alias secret -keyalg AES -keysize 128 -storetype JCEKS -keystore other.jks -storepass changeit
rm client.csr client.crt
