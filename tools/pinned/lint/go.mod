module github.com/messageproxy/messageproxy/tools/pinned/lint

go 1.26.0

toolchain go1.26.8
