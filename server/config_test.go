package server

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheDefaultsAreValid(t *testing.T) {
	require.NoError(t, DefaultConfig().Validate())
}

func TestValidateNamesTheFieldAndWhatIsAllowed(t *testing.T) {
	tests := []struct {
		field   string
		other   string
		problem string
		change  func(*Config)
	}{
		{"Consume.MaxUnackedMessages", "", "at least 1", func(c *Config) { c.Consume.MaxUnackedMessages = 0 }},
		{"Consume.MaxUnackedBytes", "", "at least 1", func(c *Config) { c.Consume.MaxUnackedBytes = -1 }},
		{"Consume.AckTimeout", "", "at least 1s", func(c *Config) { c.Consume.AckTimeout = time.Second - 1 }},
		{"Consume.AckTimeout", "Consume.MaxAckTimeout", "must not be longer", func(c *Config) { c.Consume.AckTimeout = c.Consume.MaxAckTimeout + 1 }},
		{"Consume.PartitionWindow", "", "at least 1", func(c *Config) { c.Consume.PartitionWindow = 0 }},
		{"Consume.MaxBufferedBytes", "", "at least 1", func(c *Config) { c.Consume.MaxBufferedBytes = 0 }},
		{"Consume.HandoverTimeout", "", "more than 0", func(c *Config) { c.Consume.HandoverTimeout = 0 }},
		{"Consume.HandoverTimeout", "", "at most 5m", func(c *Config) { c.Consume.HandoverTimeout = 5*time.Minute + 1 }},
		{"Consume.EvictionGrace", "", "more than 0", func(c *Config) { c.Consume.EvictionGrace = 0 }},
		{"Consume.CloseTimeout", "", "more than 0", func(c *Config) { c.Consume.CloseTimeout = 0 }},
		{"Produce.MaxOutstandingMessages", "", "at least 1", func(c *Config) { c.Produce.MaxOutstandingMessages = 0 }},
		{"Produce.MaxOutstandingBytes", "Produce.MaxMessageBytes", "must not be less", func(c *Config) { c.Produce.MaxOutstandingBytes = int64(c.Produce.MaxMessageBytes) - 1 }},
		{"Produce.Timeout", "", "at least 1s", func(c *Config) { c.Produce.Timeout = 0 }},
		{"Produce.MaxMessageBytes", "", "at least 1", func(c *Config) { c.Produce.MaxMessageBytes = 0 }},
		{"Produce.MaxRequestBytes", "", "at least 1", func(c *Config) { c.Produce.MaxRequestBytes = 0 }},
		{"Consume.MaxSubscriptions", "", "at least 1", func(c *Config) { c.Consume.MaxSubscriptions = 0 }},
		{"MaxStreams", "", "at least 1", func(c *Config) { c.MaxStreams = 0 }},
		{"DrainTimeout", "", "more than 0", func(c *Config) { c.DrainTimeout = 0 }},
	}
	for _, test := range tests {
		t.Run(test.field+" "+test.problem, func(t *testing.T) {
			cfg := DefaultConfig()
			test.change(&cfg)
			err := cfg.Validate()
			found := FieldErrors(err)
			require.Len(t, found, 1, "%v", err)
			require.Equal(t, test.field, found[0].Field)
			require.Equal(t, test.other, found[0].Other)
			require.ErrorContains(t, err, test.field)
			require.ErrorContains(t, err, test.problem)

			_, err = New(&fakeBroker{}, cfg)
			require.ErrorContains(t, err, test.field)
		})
	}
}

func TestValidateFindsEverything(t *testing.T) {
	fields := make(map[string]bool)
	for _, e := range FieldErrors((Config{}).Validate()) {
		fields[e.Field] = true
	}
	require.Len(t, fields, 17, "every figure of the zero Config: %v", fields)
	require.Nil(t, FieldErrors(nil))
	require.Nil(t, FieldErrors(errDown))
}
