//go:build race

package heavy_test

// raced: the race detector is on, with which everything takes ten times as long.
const raced = true
