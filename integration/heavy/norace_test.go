//go:build !race

package heavy_test

const raced = false
