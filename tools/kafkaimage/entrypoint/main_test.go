package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSettingsComeFromTheEnvironment(t *testing.T) {
	settings := settingsFrom([]string{
		"PATH=/bin",
		"KAFKA_HEAP_OPTS=-Xmx1g",
		"KAFKA_LOG_DIRS=/data",
		"KAFKA_ADVERTISED_LISTENERS=PLAINTEXT://host:1?a=b",
		"KAFKA_ONE__UNDERSCORE___DASH=x",
	})
	assert.Equal(t, "log.dirs=/data\nadvertised.listeners=PLAINTEXT://host:1?a=b\none_underscore-dash=x\n", settings)
}
