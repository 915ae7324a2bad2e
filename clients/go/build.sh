#!/usr/bin/env bash
# Generates the messages from the proto files and builds build/quorate-client, with nothing but
# Debian's packages (see ../README.md). In a project with modules: run it with --generate, which only
# writes quoratev1/, and let `go mod tidy` find the rest.
set -euo pipefail
cd "$(dirname "$0")"

package=example.com/quorate-client
protos=${QUORATE_PROTOS:-../../proto}
# Where the messages go is said here, whatever the proto files say themselves.
mapping=
for file in "$protos"/quorate/v1/*.proto; do
  mapping+=,Mquorate/v1/$(basename "$file")=$package/quoratev1
done
protoc -I "$protos" \
  --go_out=. --go_opt="module=$package$mapping" \
  --go-grpc_out=. --go-grpc_opt="module=$package$mapping" \
  "$protos"/quorate/v1/*.proto
[ "${1:-}" = "--generate" ] && exit 0

# Without modules a package has its place in GOPATH; what it needs is in Debian's.
mkdir -p build/gopath/src/example.com
ln -sfn "$PWD" "build/gopath/src/$package"
export GO111MODULE=off GOPATH="$PWD/build/gopath:/usr/share/gocode"
go build -o build/quorate-client "$package"
