package simulation

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// example fills every field of a part of a plan.
func example(v reflect.Value) reflect.Value {
	for i := range v.NumField() {
		switch field := v.Field(i); {
		case field.Type() == reflect.TypeFor[time.Duration]():
			field.SetInt(int64(1500 * time.Millisecond))
		case field.Kind() == reflect.Bool:
			field.SetBool(true)
		case field.Kind() == reflect.Slice:
			field.Set(reflect.ValueOf([]string{"one", "two"}))
		case field.CanInt():
			field.SetInt(int64(i + 3))
		default:
			field.SetString("some")
		}
	}
	return v
}

func TestEveryPartOfAPlanIsWrittenAndRead(t *testing.T) {
	plan := Plan{
		Seed: -7, Proxies: 2, Brokers: 3, Lasts: time.Hour,
		Topics:        []Topic{example(reflect.ValueOf(&Topic{}).Elem()).Interface().(Topic)},
		Subscriptions: []Subscription{example(reflect.ValueOf(&Subscription{}).Elem()).Interface().(Subscription)},
		Settings:      example(reflect.ValueOf(&Settings{}).Elem()).Interface().(Settings),
	}
	for _, action := range words {
		full, empty := example(reflect.New(action).Elem()), reflect.New(action).Elem()
		if named(action) {
			empty.Field(0).SetString("x")
		}
		plan.Steps = append(plan.Steps, Step{At: time.Minute, Action: full.Interface().(Action)},
			Step{At: 2 * time.Minute, Action: empty.Interface().(Action)})
	}
	read, err := Parse(plan.String())
	require.NoError(t, err)
	require.Equal(t, plan, read)
}

func TestAPlanIsReadable(t *testing.T) {
	const text = `plan seed=7 proxies=2 brokers=1
settings window=10 ack-timeout=5s
topic orders partitions=3
topic prices partitions=1 compacted
subscription billing topics=orders,prices
+0s consume c1 subscription=billing manner=all-but-one
+1.5s produce c2 sdk topic=orders count=20 keys=3
+2s requests commit effect=late delay=10s
+3s compact
`
	plan, err := Parse("# how it is written\n\n" + text)
	require.NoError(t, err)
	require.Equal(t, text, plan.String())
	require.Equal(t, Produce{Client: "c2", SDK: true, Topic: "orders", Count: 20, Keys: 3}, plan.Steps[1].Action)
}

func TestMistakesInAPlanAreNamed(t *testing.T) {
	for text, problem := range map[string]string{
		"nonsense":               `line 1 (nonsense): "nonsense" is no part of a plan`,
		"\n+1s":                  `line 2 (+1s): "+1s" is no part of a plan`,
		"+1s dance":              `"dance" is no action`,
		"+1x kill p1":            `unknown unit`,
		"+1s kill":               `it lacks its proxy`,
		"+1s freeze p1 sice=3s":  `it has no field "sice"`,
		"+1s freeze p1 for=long": `field for: time: invalid duration`,
		"topic a partitions=b":   `field partitions`,
	} {
		_, err := Parse(text)
		require.ErrorContains(t, err, problem)
	}
}
